"""Data sets by name: what timm opens is read by index or as a stream, and what it cannot open is refused clearly."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm.data
import torch
from PIL import Image
from torch.utils.data import IterableDataset
from torchvision.datasets import FakeData

from daas.data import load_images, named
from daas.errors import BadInput


def picture(index: int, size: int = 20) -> Image.Image:
    return Image.new("RGB", (size, size), (index, 10, 20))


class Reader:
    """A timm reader: files and labels by index; the third file is no picture."""

    class_to_idx = {"dog": 1, "cat": 0}  # noqa: RUF012  # as timm's readers have it

    def __init__(self, bad: bool) -> None:
        self.bad = bad

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[io.BytesIO, int]:
        file = io.BytesIO()
        picture(index).save(file, "PNG")
        return (io.BytesIO(b"nothing") if self.bad and index == 2 else io.BytesIO(file.getvalue())), index % 2

    def iter_targets(self) -> Iterator[int]:
        return (index % 2 for index in range(len(self)))


class Stream(IterableDataset[tuple[Image.Image, int]]):
    def __iter__(self) -> Iterator[tuple[Image.Image, int]]:
        return ((picture(index, 700), index % 3) for index in range(6))


def opened(monkeypatch: pytest.MonkeyPatch, found: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {}

    def create_dataset(name: str, **options: Any) -> Any:
        asked.update(options, name=name)
        return found

    monkeypatch.setattr(timm.data, "create_dataset", create_dataset)
    return asked


def test_a_reader_is_read_past_timms_replacement_of_bad_images(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(monkeypatch, timm.data.ImageDataset("", reader=Reader(bad=False)))
    data = load_images("hfds/x")
    assert data.class_names == ("cat", "dog")
    assert data.labels.tolist() == [0, 1, 0, 1]
    assert data.fetch(torch.arange(4))[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    opened(monkeypatch, timm.data.ImageDataset("", reader=Reader(bad=True)))
    with pytest.raises(BadInput, match="image 2 of hfds/x cannot be read"):
        load_images("hfds/x")
    assert load_images("hfds/x", skip_bad_images=True).labels.tolist() == [0, 1, 1]


def test_a_stream_is_read_once_and_kept_small(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = opened(monkeypatch, Stream())
    data = load_images("wds/x", "/place", split="test")
    assert asked == {"name": "wds/x", "root": "/place", "split": "test", "is_training": False, "download": True}
    assert (len(data), data.image_size, data.class_names) == (6, 64, ("0", "1", "2"))
    assert load_images("wds/x", image_size=24).fetch(torch.tensor([5]))[0, 0, 3, 3] == 5


def test_a_torchvision_set_has_classes_and_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = opened(monkeypatch, FakeData(size=5, image_size=(3, 20, 20), num_classes=3))
    data = load_images("torch/x", download=False)
    assert asked["download"] is False
    assert asked["root"] == str(Path.home() / ".cache" / "daas")
    assert (len(data), data.image_size) == (5, 32)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch/no_such_set", "Unknown torchvision dataset"),
        ("no_such_prefix", "could not be opened"),
    ],
)
def test_what_cannot_be_opened(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        load_images(name, tmp_path / "nowhere")


def test_digits_need_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "find_spec", lambda _: None)
    with pytest.raises(BadInput, match=r"pip install 'timm-daas\[demo\]'"):
        load_images("digits")
