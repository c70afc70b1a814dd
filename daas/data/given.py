"""What people hold in their hands -> images of one size: tensors, a torch data set, a folder, an archive, a name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from daas.data.images import ImageData, MemoryImages, Source
from daas.data.labels import checked, class_names, gaps, numbers, said, two_classes
from daas.data.rows import of_rows
from daas.data.sources import load_images, read_source
from daas.errors import BadInput

Given = ImageData | tuple[Any, Any] | list[Any] | Dataset[Any] | Path | str
"""What ``images_from`` takes."""
_KINDS = (
    "images and labels (uint8 [n, 3, H, W], int64 [n]), a torch Dataset of (image, label), a split of Hugging Face's "
    "datasets, the path of a folder of class folders or of an archive of one, or the name of a data set (digits, "
    "torch/cifar10, hfds/...)"
)
_NAMED = ("torch/", "tfds/", "hfds/", "hfids/", "wds/")


def images_from(
    data: Given,
    *,
    split: str = "train",
    image_size: int | None = None,
    skip_bad_images: bool = False,
    workers: int = 4,
) -> ImageData:
    """Takes labelled images in any of the forms that people have them in.

    Args:
        data: ``(images, labels)``: uint8 [n, 3, H, W] and int64 [n], tensors or arrays; a map-style torch ``Dataset``
            whose items are (image, label), the image a picture of Pillow's, uint8 [3, H, W], or float [3, H, W] in
            [0, 1], without augmentation, or a list of such items; a ``datasets.Dataset`` with a column of images and
            one of class labels; the path of a folder of class folders or of an archive of one; the name of a data set
            (``digits``, ``torch/cifar10``, ``hfds/...``); or an ``ImageData``.
        split: Of a path or a name, as ``load_images`` has it.
        image_size: Side in pixels; by default the side of square tensors, and what ``load_images`` chooses otherwise.
        skip_bad_images: Leave out and count images and items that cannot be read.
        workers: Threads that decode files.

    Returns:
        The images.

    Raises:
        BadInput: Something else, a wrong shape or type, fewer than two classes, an unreadable image (named).

    >>> import torch
    >>> images = torch.zeros(6, 3, 8, 8, dtype=torch.uint8)
    >>> images_from((images, torch.tensor([0, 1, 2, 0, 1, 2]))).class_names
    ('0', '1', '2')
    """
    if isinstance(data, ImageData):
        return data
    if isinstance(data, str | Path):
        dataset, data_dir = named_or_path(data)
        return load_images(
            dataset, data_dir, split=split, image_size=image_size, skip_bad_images=skip_bad_images, workers=workers
        )
    if isinstance(data, tuple | list) and len(data) == 2 and not _is_pair(data):
        return _from_tensors(data[0], data[1], image_size, split)
    data = of_rows(data)
    if hasattr(data, "iloc"):
        raise BadInput(
            "data is a table; pass its images and labels as a list of pairs, for example [(PIL.Image.open(path), "
            "label) for path, label in zip(table.image, table.label)], the labels as numbers from 0."
        )
    if isinstance(data, IterableDataset):
        raise BadInput("A data set that can only be iterated over cannot be split and shuffled; pass a map-style one.")
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, tuple | dict):
        source, items = _dataset_source(data, split, skip_bad_images)
        found = read_source(source, image_size, skip_bad_images)
        items.check()
        return found
    raise BadInput(f"data is {said(data)}; it can be {_KINDS}.{_way_in(data)}")


def _way_in(data: Any) -> str:
    """How data of another kind are passed; empty where that is not clear."""
    if isinstance(data, DataLoader):
        return " Pass the data set of the loader (loader.dataset), without augmentation."
    if isinstance(data, dict):
        return " A dict becomes that by (data['image'], data['label'])."
    if hasattr(data, "__getitem__") and not isinstance(data, tuple):
        return " A Dataset needs __len__, too."
    return " What can only be iterated over becomes that by list(...)." if isinstance(data, Iterator) else ""


def named_or_path(data: str | Path) -> tuple[str, Path | None]:
    """Tells the name of a data set from a path: (name, None) or ("", path). A ``Path`` is always a path.

    Raises:
        BadInput: A text that is neither.
    """
    if isinstance(data, str) and _is_name(data):
        return data, None
    path = Path(os.path.expanduser(data))
    if not os.path.exists(path):
        raise BadInput(
            f"{data}: there is no such folder or archive, and no data set has this name. Known forms are digits, "
            "torch/cifar10, hfds/..., wds/...; a path leads to one folder per class."
        )
    return "", path


def meant(word: str) -> str:
    """The words of a command line that a lone word was probably meant for: images, by name or by path.

    >>> meant("photos"), meant("torch/cifar10")
    ('--data-dir photos', '--dataset torch/cifar10')
    """
    return f"--{'dataset' if _is_name(word) else 'data-dir'} {shlex.quote(word)}"


def _is_name(text: str) -> bool:
    """Whether a text is the name of a data set, and no path."""
    return text == "digits" or text.startswith(_NAMED)


def _from_tensors(images: Any, labels: Any, image_size: int | None, split: str) -> ImageData:
    images, labels = _tensor(images, "images"), numbers(labels)
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
        raise BadInput(f"images is {said(images)}; it must be uint8 [n, 3, H, W].{_way_to_bytes(images)}")
    labels = checked(labels, len(images))
    height, width = images.shape[2:]
    names = tuple(map(str, range(int(labels.max()) + 1)))
    two_classes(names)
    if height == width and image_size in (None, height):
        return MemoryImages(
            "given images", images.detach().cpu().contiguous(), labels, names,
            warnings=tuple(f"given images: {text}" for text in gaps(labels, names, split)),
        )  # fmt: skip

    def read(index: int) -> Image.Image:
        return _picture(images[index])

    source = Source("given images", read, labels.tolist(), names, "image {}".format, notes=gaps(labels, names, split))
    return read_source(source, image_size)


def _is_pair(data: Any) -> bool:
    """Whether a list of two is two pairs of an image and its label, not the images and the labels."""
    return isinstance(data, list) and all(isinstance(item, tuple) and len(item) == 2 for item in data)


def _way_to_bytes(images: Tensor) -> str:
    """How images of another kind become uint8 [n, 3, H, W]; empty where that is not clear."""
    if images.dim() == 3 and len(images) == 3:
        return (
            " One colour image is images[None]; grey images become colour by images.unsqueeze(1).expand(-1, 3, -1, -1)."
        )
    if images.dim() == 3:
        return " Grey images become colour by images.unsqueeze(1).expand(-1, 3, -1, -1)."
    if images.dim() == 4 and images.shape[1] == 1:
        return " Grey images become colour by images.expand(-1, 3, -1, -1)."
    if images.dim() == 4 and images.shape[1] != 3 and images.shape[3] == 3:
        return " Channels come first: images.permute(0, 3, 1, 2)."
    if images.dtype == torch.uint8 or images.is_complex() or not images.numel():
        return ""
    low, high = float(images.min()), float(images.max())
    if images.is_floating_point() and low >= 0 and high <= 1:
        return " Floats in [0, 1] become bytes by (255 * images).round().to(torch.uint8)."
    if low >= 0 and high <= 255:
        return " Levels from 0 to 255 become bytes by images.to(torch.uint8)."
    return f" Its values go from {low:.3g} to {high:.3g}: undo the normalisation; the search does its own."


def _dataset_source(data: Any, split: str, skip: bool) -> tuple[Source, _Items]:
    """A torch data set as a source, and what reads it; without a list of labels it is read through once for them."""
    if not len(data):
        raise BadInput("The data set is empty.")
    known = _known_labels(data)
    first, image, label = _first(data, skip)
    _picture(image)  # says what is wrong with all of them
    told, unread = _told_labels(data, label, skip) if known is None else (known, frozenset[int]())
    labels = checked(numbers(told), len(data))
    names = class_names(data, int(labels.max()) + 1)
    two_classes(names)

    items = _Items(data, None if known is None else labels.tolist(), unread)
    items(first)
    items.check()
    source = Source(
        type(data).__name__, items, labels.tolist(), names, "item {} of the data set".format,
        notes=gaps(labels, names, split),
    )  # fmt: skip
    return source, items


class _Items:
    """Reads the pictures of a data set, and looks whether its items have the labels that it lists.

    Args:
        data: The data set.
        listed: Its own list of labels; None where they are of the items themselves.
        unread: Items that could not be read for their labels.
    """

    def __init__(self, data: Any, listed: list[int] | None, unread: frozenset[int]) -> None:
        self.data, self.listed, self.unread = data, listed, unread
        self.wrong: tuple[int, Any] | None = None

    def __call__(self, index: int) -> Image.Image:
        if index in self.unread:
            raise BadInput("it could not be read for its label")
        image, label = _pair(self.data[index])
        if self.listed is not None and not _is_label(label, self.listed[index]):
            self.wrong = self.wrong or (index, label)
        return _picture(image)

    def check(self) -> None:
        """Raises BadInput where an item that was read has another label than the list."""
        if self.wrong is not None and self.listed is not None:
            index, label = self.wrong
            raise BadInput(
                f"The data set's own list of labels, .targets, says {self.listed[index]} of item {index}, and the item "
                f"says {label}. Make them agree, or wrap it in a Dataset without .targets."
            )


def _first(data: Any, skip: bool) -> tuple[int, Any, Any]:
    """The first item that can be read: its number, its image, its label."""
    failed = None
    for index in range(len(data)):
        try:
            return index, *_item(data, index)
        except BadInput as error:
            if not skip:
                raise
            failed = failed or error
    raise BadInput(f"None of the {len(data)} items of the data set can be read: {failed}")


def _told_labels(data: Any, label: Any, skip: bool) -> tuple[list[Any], frozenset[int]]:
    """The labels that the items say, and which items cannot be read; these have ``label`` until they are left out."""
    labels, unread = [], set()
    for index in range(len(data)):
        try:
            labels.append(_item(data, index)[1])
        except BadInput:
            if not skip:
                raise
            labels.append(label)
            unread.add(index)
    return labels, frozenset(unread)


def _item(data: Any, index: int) -> tuple[Any, Any]:
    """An item that is read for its label: image and label.

    Raises:
        BadInput: It cannot be read, or is something else.
    """
    try:
        return _pair(data[index])
    except (Exception, MemoryError) as error:  # a program's own data set raises anything
        why = error if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        raise BadInput(
            f"item {index} of the data set cannot be read ({why}). Repair it, or leave such items out with "
            "skip_bad_images=True (--skip-bad-images)."
        ) from error


def _pair(item: Any) -> tuple[Any, Any]:
    """Image and label; raises BadInput for anything else."""
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    way = "; a dict becomes that by (item['image'], item['label'])" if isinstance(item, dict) else ""
    raise BadInput(f"it is {said(item)}; items must be (image, label){way}")


def _is_label(told: Any, listed: int) -> bool:
    """Whether what an item says is the label of the list."""
    try:
        return bool(numbers([told]).flatten().tolist() == [listed])
    except BadInput:  # no number, and so another one
        return False


def _known_labels(data: Any) -> Any:
    """The labels of a data set that has them in one piece, as torchvision's do, or None."""
    if isinstance(data, Subset):
        of_all = _known_labels(data.dataset)
        if of_all is None:
            return None
        try:
            return numbers(of_all)[torch.tensor([int(index) for index in data.indices])]
        except IndexError as error:
            raise BadInput(f"A Subset names items that its data set does not have ({error}).") from error
    if getattr(data, "target_transform", None) is not None:
        return None
    return getattr(data, "targets", None)


def _picture(image: Any) -> Image.Image:
    """A picture of Pillow's from one, from uint8 [1 or 3, H, W], or from floats in [0, 1].

    Raises:
        BadInput: Anything else, above all images that are normalised already.
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, str | os.PathLike):
        raise BadInput("An image is a path. Open it: PIL.Image.open(path). A folder of class folders is data, too.")
    tensor = _tensor(image, "an image")
    if tensor.dim() != 3 or tensor.shape[0] not in (1, 3):
        way = " PIL.Image.fromarray(image) makes a picture of it." if tensor.dim() == 3 and tensor.shape[2] == 3 else ""
        raise BadInput(f"An image is {said(tensor)}; it must be a picture, or a tensor [3, H, W] or [1, H, W].{way}")
    if tensor.is_floating_point():
        if not bool(((tensor >= 0) & (tensor <= 1)).all()):
            raise BadInput(
                f"An image has values from {float(tensor.min()):.3g} to {float(tensor.max()):.3g}; floats must lie in "
                "[0, 1]. Leave normalisation out: the search does its own."
            )
        tensor = (255 * tensor).round().to(torch.uint8)
    if tensor.dtype != torch.uint8:
        raise BadInput(f"An image is {said(tensor)}; it must be uint8, or float in [0, 1].")
    pixels = tensor.detach().cpu().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])


def _tensor(value: Any, name: str) -> Tensor:
    try:
        return value if isinstance(value, Tensor) else torch.as_tensor(np.ascontiguousarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{name} is {said(value)}, which is no tensor; data can be {_KINDS}.") from error
