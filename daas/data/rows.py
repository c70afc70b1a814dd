"""Hugging Face's data sets, whose items are rows, as torch data sets of (image, label)."""

from __future__ import annotations

import sys
from typing import Any

from torch.utils.data import Dataset, Subset

from daas.errors import BadInput


class HuggingFaceDataset(Dataset[tuple[Any, Any]]):
    """The images and labels of a ``datasets.Dataset``.

    Args:
        rows: The data set, without a format.
        image: The column of its images.
        label: The column of its labels.

    Attributes:
        targets: The labels.
        classes: What they are called; None where the column does not say.
    """

    def __init__(self, rows: Any, image: str, label: str) -> None:
        self._rows, self._image, self._label = rows, image, label
        self.targets = rows[label][:]
        self.classes = getattr(rows.features[label], "names", None)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        row = self._rows[index]
        return row[self._image], row[self._label]


def of_rows(data: Any) -> Any:
    """A data set of Hugging Face's, or a ``Subset`` of one, as one of (image, label); anything else as it is.

    The images are those of its one column of images, the labels those of its one column of class labels, or of whole
    numbers where there is none.

    Raises:
        BadInput: It has splits, is streamed, has a transform, or does not say which columns are meant.
    """
    library = sys.modules.get("datasets")  # whoever holds one of its data sets has imported it
    if library is None:
        return data
    if isinstance(data, Subset):
        inner = of_rows(data.dataset)
        return data if inner is data.dataset else Subset(inner, data.indices)
    if isinstance(data, (library.DatasetDict, library.IterableDatasetDict)):
        first = next(iter(data), "train")
        raise BadInput(
            f"data is a {type(data).__name__} of the splits {', '.join(map(str, data))}. Pass one, for example "
            f"data[{first!r}], and images to validate on as val=."
        )
    if isinstance(data, library.IterableDataset):
        raise BadInput("A data set that is streamed cannot be split and shuffled; load it without streaming=True.")
    if not isinstance(data, library.Dataset):
        return data
    if data.format["type"] == "custom":
        raise BadInput(
            "The data set has a transform of its own (set_transform, with_transform), and images are augmented and "
            "normalised here. Pass data.with_format(None), its rows without the transform; what the transform does "
            "besides, such as a crop, belongs before it (map)."
        )
    plain = data.with_format(None)
    image = _column(
        plain, "images", library.Image, " Paths and bytes become them by cast_column(NAME, datasets.Image())."
    )
    stored = plain.features[image]
    if not stored.decode:
        plain = plain.cast_column(image, library.Image(mode=stored.mode))
    names = " Texts become them by class_encode_column(NAME)."
    label = _column(plain, "class labels", library.ClassLabel, names, "int")
    return HuggingFaceDataset(plain, image, label)


def _column(data: Any, what: str, kind: type, way_out: str, instead: str = "") -> str:
    """The only column of a kind, or of numbers called ``instead`` where there is none.

    Raises:
        BadInput: There is none, or there are several.
    """
    types = {name: str(getattr(feature, "dtype", type(feature).__name__)) for name, feature in data.features.items()}
    found = [str(name) for name, feature in data.features.items() if isinstance(feature, kind)]
    if not found and instead:
        found = [name for name, said in types.items() if instead in said]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(
            f"The data set has {len(found)} columns that may be its {what}: {', '.join(found)}. Leave out those "
            f"that are not meant: data.remove_columns({found[1:]})."
        )
    columns = ", ".join(f"{name} ({said})" for name, said in types.items())
    raise BadInput(f"The data set has no column of {what}; it has {columns}.{way_out}")
