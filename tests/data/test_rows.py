"""Hugging Face's data sets as they come: which columns are meant, what they call their classes, what cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from torch import Tensor
from torch.utils.data import Subset, random_split
from torchvision.transforms.v2.functional import to_pil_image

import daas
from daas.data import images_from
from daas.errors import BadInput

IMAGES = torch.randint(256, (8, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
LABELS = [0, 1, 1, 0, 1, 0, 0, 1]


def rows(label: Any = None, **more: Any) -> datasets.Dataset:
    features = {"image": datasets.Image(), "label": label or datasets.ClassLabel(names=["cat", "dog"])}
    content = {"image": [to_pil_image(image) for image in IMAGES], "label": LABELS}
    made = datasets.Dataset.from_dict(content, features=datasets.Features(features))
    for name, column in more.items():
        made = made.add_column(name, column)
    return made


def pixels(data: Any) -> Tensor:
    return data.fetch(torch.arange(len(data)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "changed",
    [
        lambda data: data,
        lambda data: data.with_format("torch"),
        lambda data: data.rename_columns({"image": "img", "label": "breed"}),
        lambda data: data.cast_column("image", datasets.Image(decode=False)),
        lambda data: data.add_column("path", ["x"] * 8),
        lambda data: data.select(range(8)).flatten_indices(),
        lambda data: Subset(data, range(8)),
    ],
)  # fmt: skip
def test_the_image_column_and_the_class_labels_are_taken(changed: Any) -> None:
    found = images_from(changed(rows()), image_size=16)
    assert torch.equal(pixels(found), IMAGES)
    assert found.labels.tolist() == LABELS
    assert found.class_names == ("cat", "dog")


def test_parts_and_grey_images_and_labels_that_are_numbers() -> None:
    some = rows().select([6, 1, 3])
    assert torch.equal(pixels(images_from(some, image_size=16)), IMAGES[[6, 1, 3]])
    one, two = random_split(rows(), [4, 4], torch.Generator().manual_seed(0))  # type: ignore[arg-type]  # it has a length
    assert sorted(images_from(one).labels.tolist() + images_from(two).labels.tolist()) == sorted(LABELS)
    grey = rows(datasets.Value("int64")).cast_column("image", datasets.Image(mode="L"))
    found = images_from(grey, image_size=16)
    assert torch.equal(pixels(found)[:, 0], pixels(found)[:, 1])
    assert found.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda data: datasets.DatasetDict(a=data, test=data), r"DatasetDict of the splits a, test.*data\['a'\]"),
        (lambda data: data.to_iterable_dataset(), "without streaming=True"),
        (lambda data: data.with_transform(lambda batch: batch), r"data\.with_format\(None\)"),
        (lambda data: data.remove_columns("image"), r"no column of images; it has label \(int64\).*Image\(\)"),
        (lambda data: data.remove_columns("label"), "no column of class labels; it has image"),
        (lambda data: data.add_column("x", [b""] * 8).cast_column("x", datasets.Image()), r"image, x.*\(\['x'\]\)"),
        (lambda data: data.cast_column("label", datasets.Value("string")), r"label \(string\).*class_encode_column"),
        (lambda data: data.cast_column("label", datasets.Value("int64")).add_column("id", range(8)), "label, id"),
        (lambda data: data.select([]), "is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_comes_with_the_way_out(changed: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        images_from(changed(rows()))


def test_the_way_out_of_names_as_labels_is_one() -> None:
    named = rows().cast_column("label", datasets.Value("string")).class_encode_column("label")
    assert images_from(named).labels.tolist() == LABELS


def test_a_training_on_rows_is_that_on_tensors(tmp_path: Path) -> None:
    options: Any = {
        "model": "test_resnet", "epochs": 1, "batch_size": 4, "warmup_epochs": 0, "workers": 0, "device": "cpu",
        "img_size": 16, "output": str(tmp_path),
    }  # fmt: skip
    tensors = (IMAGES, LABELS)
    one = daas.train(rows(), val=rows(), experiment="rows", **options)
    two = daas.train(tensors, val=tensors, experiment="tensors", **options)
    assert one["loss"] == two["loss"]
