"""Labels of all kinds of data sets: what the classes are called, and what cannot be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, Subset

from daas.data import images_from
from daas.data.labels import checked, class_names, distinct, numbers
from daas.errors import BadInput
from daas.train.labels import by_name


class Items(Dataset[Any]):
    """Twelve pictures of three classes, and whatever a data set says of itself."""

    def __init__(self, **attributes: Any) -> None:
        self.labels = [0, 1, 2] * 4
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, Any]:
        return Image.new("RGB", (8, 8), (20 * index, 0, 0)), self.labels[index]


XYZ = ["x", "y", "z"]


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (Items(classes=XYZ), ("x", "y", "z")),
        (Items(classes=np.array(XYZ)), ("x", "y", "z")),
        (Subset(Subset(Items(classes=XYZ), range(9)), range(6)), ("x", "y", "z")),
        (ConcatDataset([Items(classes=XYZ), Items(classes=[*XYZ, "w"])]), ("x", "y", "z", "w")),
        (ConcatDataset([Items(classes=XYZ), Items()]), ("0", "1", "2")),
        (Items(class_to_idx={"z": 2, "x": 0, "y": 1}), ("x", "y", "z")),
        (Items(classes={"z": 2, "x": 0, "y": 1}), ("x", "y", "z")),
        (Items(reader=SimpleNamespace(class_to_idx={"y": 1, "x": 0, "z": 2})), ("x", "y", "z")),
        (Items(classes=["crane", "tern", "crane"]), ("crane (0)", "tern", "crane (2)")),
        (Items(classes=set(XYZ)), ("0", "1", "2")),  # without an order
        (Items(classes=3), ("0", "1", "2")),
        (Items(classes=["x", "y"]), ("0", "1", "2")),
        (Items(classes=XYZ, target_transform=lambda label: 2 - label), ("0", "1", "2")),  # names of other labels
    ],
)
def test_the_names_of_the_classes(data: Any, names: tuple[str, ...]) -> None:
    assert class_names(data, 3) == names
    assert images_from(data, image_size=8).class_names == names


def test_labels_that_mean_different_classes_are_not_put_together() -> None:
    with pytest.raises(BadInput, match="label 0 'z' and 'x'"):
        images_from(ConcatDataset([Items(classes=XYZ[::-1]), Items(classes=XYZ)]))


def test_classes_with_one_name_are_matched_each_with_itself() -> None:
    names = distinct(["crane", "tern", "crane"])
    assert by_name(names, names, "the training images").tolist() == [0, 1, 2]


def test_a_list_of_labels_that_an_item_contradicts_is_named() -> None:
    with pytest.raises(BadInput, match=r"\.targets, says 1 of item 2, and the item says 2"):
        images_from(Items(targets=[0, 1, 1] + [0, 1, 2] * 3), skip_bad_images=True)
    assert len(images_from(Items(targets=torch.tensor([0, 1, 2] * 4)))) == 12


class Torn(Items):
    """Items that cannot be read, or are none."""

    def __getitem__(self, index: int) -> Any:
        if index in (0, 5):
            raise KeyError(f"row {index}")
        return None if index == 7 else super().__getitem__(index)


@pytest.mark.parametrize("of_its_own", [{}, {"targets": [0, 1, 2] * 4}])
def test_items_that_cannot_be_read_are_named_or_left_out(of_its_own: dict[str, Any]) -> None:
    torn = Torn(**of_its_own)
    for first, said in ((0, "KeyError: 'row 0'"), (5, "row 5"), (7, "it is of type NoneType; items must be")):
        part = Subset(torn, [1, first, 2, 3]) if first else torn
        with pytest.raises(BadInput, match=f"item {int(first > 0)} of the data set cannot be read .*{said}"):
            images_from(part)
    found = images_from(torn, image_size=8, skip_bad_images=True)
    assert found.skipped == 3
    assert found.labels.tolist() == [1, 2, 0, 1, 0, 2, 0, 1, 2]
    assert torch.equal(found.fetch(torch.tensor([0]))[0, 0], torch.full((8, 8), 20, dtype=torch.uint8))
    with pytest.raises(BadInput, match="None of the 3 items"):
        images_from(Subset(torn, [0, 5, 7]), skip_bad_images=True)


@pytest.mark.parametrize("label", [2, "x", None, [1, 0]])
def test_an_item_of_another_label_is_not_left_out_as_unreadable(label: Any) -> None:
    labels = [0, 1, 2] * 3 + [0, label, 2]
    with pytest.raises(BadInput, match=r"\.targets, says 1 of item 10, and the item says"):
        images_from(Items(labels=labels, targets=[0, 1, 2] * 4), skip_bad_images=True)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Subset(Items(targets=[0, 1, 2] * 4), []), "The data set is empty"),
        (Subset(Items(targets=[0, 1, 2] * 4), [0, 40]), "names items that its data set does not have"),
        (Subset(Items(targets=["x", "y", "z"] * 4), [0, 1]), "one is 'x'"),
        (Items(class_to_idx={"x": 0, "y": "1", "z": 2}), "class_to_idx has values of the types int, str"),
    ],
)
def test_data_sets_that_do_not_hold_what_they_say_are_told(data: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        images_from(data)


class Column:
    """A column of a table whose rows are not numbered from 0."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, key: int) -> int:
        raise KeyError(key)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([0, 1, 2] * 4, dtype)


@pytest.mark.parametrize(
    "labels",
    [Column(), np.array([0, 1, 2] * 4, object), np.array([2, 1, 0] * 4)[::-1], np.array([0, 1, 2] * 4, ">i8")],
)
def test_labels_are_what_numpy_makes_an_array_of(labels: Any) -> None:
    images = np.arange(12 * 3 * 16, dtype=np.uint8).reshape(12, 3, 4, 4)
    found = images_from((images[::-1], labels))
    assert found.labels.tolist() == [0, 1, 2] * 4
    assert found.fetch(torch.arange(12)).tolist() == images[::-1].tolist()
    assert images_from(Items(targets=labels)).labels.tolist() == [0, 1, 2] * 4


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["ant", "bee"], "numpy.unique"),
        (np.array(["ant", "bee"]), "numpy.unique"),
        ([torch.tensor([1, 0]), torch.tensor([0, 1])], "argmax"),
        ([0, None], "one is None (of type NoneType)"),
        (torch.eye(2, dtype=torch.int64), "labels.argmax(1)"),
        (torch.tensor([0.0, 1.0]), "labels.long()"),
    ],
)
def test_labels_of_other_kinds_come_with_the_way_out(labels: Any, said: str) -> None:
    with pytest.raises(BadInput) as error:
        checked(numbers(labels), 2)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.rand(2, 3, 4, 4), "(255 * images)"),
        (torch.rand(2, 3, 4, 4) * 200 + 50, "Levels from 0 to 255 become bytes by images.to(torch.uint8)"),
        (torch.randn(2, 3, 4, 4) * 3, "undo the normalisation"),
        (torch.arange(96).view(2, 3, 4, 4), "images.to(torch.uint8)"),
        (torch.zeros(2, 4, 4, 3), "images.permute"),
    ],
)
def test_images_of_other_kinds_too(images: torch.Tensor, said: str) -> None:
    with pytest.raises(BadInput) as error:
        images_from((images, torch.tensor([0, 1])))
    assert said in str(error.value)
