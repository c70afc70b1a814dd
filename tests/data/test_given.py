"""What people pass as data: each form gives the same images, and what cannot be used is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from daas.data import ImageData, images_from, load_images
from daas.errors import BadInput
from tests.conftest import write_folder

LABELS = torch.arange(2).repeat(5)


def pictures(height: int = 16, width: int = 16) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(256, (10, 3, height, width), generator=random, dtype=torch.uint8)


class Items(Dataset[Any]):
    def __init__(self, images: list[Any], targets: Any = None, classes: list[str] | None = None) -> None:
        self.images = images
        if targets is not None:
            self.targets = targets
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.images[index], int(LABELS[index])


class Endless(Dataset[Any]):
    def __getitem__(self, index: int) -> tuple[Any, int]:
        return pictures()[0], index % 2


def pixels(data: ImageData) -> Tensor:
    return data.fetch(torch.arange(len(data)))


def test_square_tensors_come_through_as_they_are() -> None:
    images = pictures()
    for given in ((images, LABELS), (images.numpy(), LABELS.numpy()), [images, LABELS.int()]):
        data = images_from(given)
        assert torch.equal(pixels(data), images)
        assert torch.equal(data.labels, LABELS)
        assert data.labels.dtype == torch.int64
        assert data.class_names == ("0", "1")
    assert torch.equal(images_from((images, LABELS.unsqueeze(1).numpy())).labels, LABELS)  # a column, as Keras has
    assert images_from(data) is data


def test_other_shapes_are_fitted_as_files_are(tmp_path: Path) -> None:
    images = pictures(20, 12)
    folder = write_folder(tmp_path, images, LABELS, ("a", "b"))
    for size in (8, None):
        expected = pixels(load_images(data_dir=folder, image_size=size))
        of_class = torch.cat([torch.arange(0, 10, 2), torch.arange(1, 10, 2)])  # files lie class by class
        assert torch.equal(pixels(images_from((images, LABELS), image_size=size))[of_class], expected)


@pytest.mark.parametrize("kind", ["pictures", "bytes", "floats", "grey"])
def test_a_data_set_gives_the_same_images_whatever_its_items_are(kind: str) -> None:
    images = pictures()
    if kind == "grey":
        images = images[:, :1].expand(-1, 3, -1, -1)
    items: list[Any] = list(images)
    if kind == "pictures":
        items = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    elif kind == "floats":
        items = [image.float() / 255 for image in images]
    elif kind == "grey":
        items = [image[:1] for image in images]
    for targets, classes in ((None, None), (LABELS.tolist(), ["cat", "dog"])):
        data = images_from(Items(items, targets, classes), image_size=16)
        assert torch.equal(pixels(data), images)
        assert torch.equal(data.labels, LABELS)
        assert data.class_names == (("0", "1") if classes is None else ("cat", "dog"))
    data = images_from(list(zip(items, LABELS.tolist(), strict=True)), image_size=16)
    assert torch.equal(pixels(data), images)
    assert torch.equal(data.labels, LABELS)


def test_unzipped_images_and_labels_are_no_pairs_and_two_pairs_are() -> None:
    pictures = [torch.full((3, 4, 4), value, dtype=torch.uint8) for value in (3, 200)]
    unzipped = tuple(zip(*[(picture, label) for label, picture in enumerate(pictures)], strict=True))
    for given in (unzipped, [(picture, label) for label, picture in enumerate(pictures)]):
        found = images_from(given)
        assert found.labels.tolist() == [0, 1]
        assert found.fetch(torch.tensor([0, 1]))[:, 0, 0, 0].tolist() == [3, 200]


def test_a_subset_keeps_its_labels_and_class_names() -> None:
    images = pictures()
    data = images_from(Subset(Items(list(images), LABELS.tolist(), ["cat", "dog"]), [1, 4, 7]), image_size=16)
    assert torch.equal(pixels(data), images[[1, 4, 7]])
    assert data.labels.tolist() == [1, 0, 1]
    assert data.class_names == ("cat", "dog")


def test_paths_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "digits", pictures(), LABELS, ("a", "b"))
    assert images_from(str(folder)).class_names == images_from(folder).class_names == ("a", "b")
    monkeypatch.chdir(tmp_path)
    assert len(images_from("digits")) == 1297  # a text is a name first
    assert len(images_from(Path("digits"))) == 10


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "of type int"),
        ((pictures(),), "tuple of 1"),
        ((pictures().float(), LABELS), "float32 [10, 3, 16, 16]; it must be uint8"),
        ((pictures()[:, :1], LABELS), "images.expand"),
        ((pictures().permute(0, 2, 3, 1), LABELS), "images.permute"),
        ((pictures(), LABELS[:9]), "int64 [10]"),
        ((pictures(), LABELS.float()), "labels is float32"),
        ((pictures(), LABELS - 1), "numbered from 0"),
        ((pictures(), LABELS * 0), "at least 2 classes"),
        ((pictures(), LABELS * 2_000_000_000), "A label is 2000000000; classes are numbered from 0, one after the"),
        ((pictures()[:0], LABELS[:0]), "no images"),
        (Items([]), "empty"),
        (Items([image.float() - 100 for image in pictures()]), "Leave normalisation out"),
        (Items([image[0] for image in pictures()]), "[3, H, W]"),
        (Items([image.long() for image in pictures()]), "int64 [3, 16, 16]"),
        ([pictures()[0]] * 10, "uint8 [3, 16, 16]; items must be (image, label)"),
        (DataLoader(Items(list(pictures()))), "(loader.dataset), without augmentation"),
        ({"image": pictures(), "label": LABELS}, "by (data['image'], data['label'])"),
        (zip(pictures(), LABELS, strict=True), "by list(...)"),
        (Endless(), "needs __len__"),
        (pandas.DataFrame({"image": ["a.jpg", "b.jpg"], "label": [0, 1]}), "in zip(table.image, table.label)"),
        ([("a.jpg", 0), ("b.jpg", 1), ("c.jpg", 0)], "PIL.Image.open(path)"),
        ([(image.permute(1, 2, 0), 0) for image in pictures()], "PIL.Image.fromarray(image)"),
        ((pictures()[:, 0], LABELS), "images.unsqueeze(1).expand"),
        (Items(list(pictures()), targets=(1 - LABELS).tolist()), "says 1 of item 0, and the item says 0"),
        (Items(list(pictures()), targets=["cat"] * 10), "one is 'cat'"),
        ("no/such/place", "no data set has this name"),
        (Path("digits/nowhere"), "no such folder"),
    ],
)
def test_what_cannot_be_used_is_named(given: Any, said: str) -> None:
    with pytest.raises(BadInput) as error:
        images_from(given)
    assert said in str(error.value)


def test_classes_without_images_are_said() -> None:
    """Labels that were counted from 1, say, or a part of a data set with its class names."""
    names = [f"c{label}" for label in range(8)]
    for given in ((pictures(), LABELS + 1), (pictures(20, 12), LABELS + 1)):
        (said,) = images_from(given).warnings
        assert "1 of 3 classes have no images: 0. " in said
        assert not images_from(given, split="val").warnings
    (said,) = images_from(Items(list(pictures()), classes=names)).warnings
    assert "6 of 8 classes have no images: c2, c3, c4, c5, c6 and 1 more. " in said
    assert not images_from((pictures(), LABELS)).warnings
