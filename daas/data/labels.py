"""Labels that people hand over, and what the classes are called: numbers from 0, names that are all different."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset

from daas.data.layout import held_out
from daas.errors import BadInput

_MOST_CLASSES = 2**20  # as --num-classes may have


def said(value: Any) -> str:
    """What something is, for messages: type and shape, or length."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"of type {type(value).__name__}"


def numbers(labels: Any) -> Tensor:
    """Labels as a tensor.

    Args:
        labels: A tensor, a sequence, or what NumPy can make an array of: its own arrays, columns of a table.

    Raises:
        BadInput: They are no numbers.
    """
    if isinstance(labels, Tensor):
        return labels
    values = labels
    try:
        if not isinstance(labels, tuple | list):
            values = np.asarray(labels).tolist()  # whatever its memory and its type of numbers are like
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        listed = values if isinstance(values, Sequence) and values else [values]
        one = next((value for value in listed if not isinstance(value, Real)), listed[0])
        way = "They must be int, counted from 0."
        if isinstance(one, str):
            way += " Names become such labels by numpy.unique(names, return_inverse=True)[1]."
        elif isinstance(one, Tensor | np.ndarray | list | tuple):
            way += " One-hot labels become such labels by their argmax."
        raise BadInput(
            f"The labels are no class numbers; one is {one!r:.40} (of type {type(one).__name__}). {way}"
        ) from error


def checked(labels: Tensor, count: int) -> Tensor:
    """[n] int64 on the CPU.

    Args:
        labels: Of the images, [n], or [n, 1] as tables and Keras have them.
        count: How many images there are.

    Raises:
        BadInput: Another shape or type, no images, or numbers that are no classes.
    """
    if labels.dim() == 2 and labels.shape[1] == 1:
        labels = labels.squeeze(1)
    if labels.dim() != 1 or len(labels) != count or labels.is_floating_point() or labels.is_complex():
        hint = ""
        if labels.dim() == 2 and len(labels) == count:
            hint = " One-hot rows are labels.argmax(1)."
        elif labels.is_floating_point():
            hint = " Whole numbers are labels.long()."
        raise BadInput(f"labels is {said(labels)}; it must be int64 [{count}], one class number per image.{hint}")
    if not count:
        raise BadInput("There are no images.")
    labels = labels.detach().cpu().long()
    if int(labels.min()) < 0:
        raise BadInput(f"A label is {int(labels.min())}; classes are numbered from 0.")
    if int(labels.max()) >= _MOST_CLASSES:
        raise BadInput(
            f"A label is {int(labels.max())}; classes are numbered from 0, one after the other. Numbers of another "
            "kind become such labels by torch.unique(labels, return_inverse=True)[1]."
        )
    return labels


def gaps(labels: Tensor, names: tuple[str, ...], split: str) -> tuple[str, ...]:
    """A sentence about classes that no training image has."""
    missing = [names[label] for label, count in enumerate(labels.bincount(minlength=len(names)).tolist()) if not count]
    if not missing or held_out(split):
        return ()
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return (
        f"{len(missing)} of {len(names)} classes have no images: {', '.join(missing[:5])}{more}. Their outputs learn "
        "nothing. Number classes from 0, one after the other.",
    )


def two_classes(names: tuple[str, ...]) -> None:
    """Raises BadInput for fewer than two."""
    if len(names) < 2:
        raise BadInput("All labels are the same; a search needs at least 2 classes.")


def class_names(data: Any, count: int) -> tuple[str, ...]:
    """What a data set calls its classes, one name per label; their numbers where it does not name them all.

    Args:
        data: torchvision's, timm's, or another one with ``classes`` or ``class_to_idx``; or parts of such ones.
        count: Labels that occur.

    Raises:
        BadInput: Parts that were put together call one label by different names.
    """
    found = _named(data)
    return distinct(found) if found is not None and len(found) >= count else tuple(map(str, range(count)))


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names with the label behind those that several classes have: labels are matched by name.

    >>> distinct(["crane", "heron", "crane"])
    ('crane (0)', 'heron', 'crane (2)')
    """
    count = Counter(names)
    return tuple(name if count[name] == 1 else f"{name} ({label})" for label, name in enumerate(names))


def _named(data: Any) -> tuple[str, ...] | None:
    """One name per label, or None."""
    if isinstance(data, Subset):
        return _named(data.dataset)
    if isinstance(data, ConcatDataset):
        return _agreed([_named(part) for part in data.datasets])
    if getattr(data, "target_transform", None) is not None:
        return None  # the names are of the labels before it
    classes, index = getattr(data, "classes", None), getattr(getattr(data, "reader", data), "class_to_idx", None)
    if isinstance(classes, Sequence | np.ndarray) and not isinstance(classes, str):
        return tuple(map(str, classes))
    index = classes if isinstance(classes, Mapping) else index
    if isinstance(index, Mapping) and _ordered(index) == list(range(len(index))):
        return tuple(map(str, sorted(index, key=index.__getitem__)))
    return None


def _ordered(index: Mapping[Any, Any]) -> list[Any]:
    """The numbers that names of classes are mapped to, in order."""
    try:
        return sorted(index.values())
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in index.values()})
        raise BadInput(
            f"The data set's class_to_idx has values of the types {', '.join(kinds)}; it maps every name to the int "
            "that is its class, from 0."
        ) from error


def _agreed(parts: list[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    named = [names for names in parts if names is not None]
    longest = max(named, key=len, default=())
    for names in named:
        for label, (name, other) in enumerate(zip(names, longest, strict=False)):
            if name != other:
                raise BadInput(
                    f"Data sets that were put together call label {label} {other!r} and {name!r}. Give their images "
                    "the same labels first (target_transform=...), or put their files into one folder per class."
                )
    return longest if named and len(named) == len(parts) else None
