"""timm's own --aa strings: known ones, and images of which Posterize keeps no bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from timm.data import create_transform

from daas.errors import BadInput
from daas.train import TrainOptions
from daas.train.augmentation import policy_of
from daas.train.timm_strings import check_string, keep_no_bit
from tests.train.conftest import Train


@pytest.mark.parametrize(
    "text", ["rand-m9-mstd0.5-inc1", "rand-m9-n3", "original", "originalr-mstd0.5", "v0", "3a", "augmix-m5-w4-d2"]
)
def test_what_timm_knows_is_let_through(text: str) -> None:
    check_string(text)
    assert policy_of(TrainOptions(aa=text)) is None


@pytest.mark.parametrize("text", ["randaugment", "autoaugment", "none", "rand-m9.5", "rand-x3", "augmix-x1", "DAAS:x"])
def test_what_timm_does_not_know_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(BadInput, match=f"--aa {text}: timm does not know it.*rand-m9-mstd0.5-inc1.*daas:NAME.*trivial"):
        policy_of(TrainOptions(aa=text))


def _posterizing(transform: Any) -> list[Any]:
    parts = transform.transforms
    ops = [op for part in parts for op in getattr(part, "ops", ())]
    ops += [op for part in parts for sub in getattr(part, "policy", ()) for op in sub]
    return [op for op in ops if op.name.startswith("Posterize")]


@pytest.mark.parametrize("text", ["rand-m10-inc1", "augmix-m10", "originalr", "v0r"])
def test_posterize_keeps_what_its_magnitude_says_down_to_nothing(text: str) -> None:
    transform = create_transform(32, is_training=True, auto_augment=text)
    keep_no_bit(transform)
    found = _posterizing(transform)
    assert found
    image = Image.new("RGB", (4, 4), (200, 100, 50))
    for op in found:
        assert op.aug_fn(image, 0).getpixel((1, 1)) == (0, 0, 0)
        assert op.aug_fn(image, 1).getpixel((1, 1)) == (128, 0, 0)
        assert op.aug_fn(image, 8) is image


def test_a_training_at_the_strongest_magnitude_runs_to_its_end(tmp_path: Path, run_train: Train) -> None:
    for index in range(16):
        path = tmp_path / "photos" / "train" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (index, 100, 50)).save(path)
    shutil.copytree(tmp_path / "photos" / "train", tmp_path / "photos" / "val")
    Image.new("RGB", (16, 16)).save(tmp_path / "photos" / "val" / "a" / "0.png")
    code, _ = run_train(
        *("--data-dir", str(tmp_path / "photos"), "--img-size", "16", "--batch-size", "8", "--workers", "0"),
        *("--aa", "rand-m10-n8-p1-inc1"), leave_out=("--dataset", "--train-split", "--val-split"),
    )  # fmt: skip
    assert code == 0
