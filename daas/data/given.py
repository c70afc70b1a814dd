"""What people hold in their hands -> images of one size: tensors, a torch data set, a folder, an archive, a name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset

from daas.data.images import ImageData, MemoryImages, Source
from daas.data.layout import held_out
from daas.data.sources import load_images, read_source
from daas.errors import BadInput

Given = ImageData | tuple[Any, Any] | list[Any] | Dataset[Any] | Path | str
"""What ``images_from`` takes."""
_KINDS = (
    "images and labels (uint8 [n, 3, H, W], int64 [n]), a torch Dataset of (image, label), the path of a folder of "
    "class folders or of an archive of one, or the name of a data set (digits, torch/cifar10, hfds/...)"
)
_MOST_CLASSES = 2**20  # as --num-classes may have
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
            [0, 1], without augmentation; the path of a folder of class folders or of an archive of one; the name of a
            data set (``digits``, ``torch/cifar10``, ``hfds/...``); or an ``ImageData``.
        split: Of a path or a name, as ``load_images`` has it.
        image_size: Side in pixels; by default the side of square tensors, and what ``load_images`` chooses otherwise.
        skip_bad_images: Leave out and count images that cannot be read.
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
    if isinstance(data, tuple | list) and len(data) == 2:
        return _from_tensors(data[0], data[1], image_size, split)
    if isinstance(data, IterableDataset):
        raise BadInput("A data set that can only be iterated over cannot be split and shuffled; pass a map-style one.")
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, tuple | list | dict):
        return read_source(_dataset_source(data, split), image_size, skip_bad_images)
    raise BadInput(f"data is {_said(data)}; it can be {_KINDS}.")


def named_or_path(data: str | Path) -> tuple[str, Path | None]:
    """Tells the name of a data set from a path: (name, None) or ("", path). A ``Path`` is always a path.

    Raises:
        BadInput: A text that is neither.
    """
    if isinstance(data, str) and (data == "digits" or data.startswith(_NAMED)):
        return data, None
    path = Path(os.path.expanduser(data))
    if not os.path.exists(path):
        raise BadInput(
            f"{data}: there is no such folder or archive, and no data set has this name. Known forms are digits, "
            "torch/cifar10, hfds/..., wds/...; a path leads to one folder per class."
        )
    return "", path


def _from_tensors(images: Any, labels: Any, image_size: int | None, split: str) -> ImageData:
    images, labels = _tensor(images, "images"), _tensor(labels, "labels")
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
        hint = ""
        if images.is_floating_point():
            hint = " Floats in [0, 1] become bytes by (255 * images).round().to(torch.uint8)."
        elif images.dim() == 4 and images.shape[1] == 1:
            hint = " Grey images become colour by images.expand(-1, 3, -1, -1)."
        elif images.dim() == 4 and images.shape[3] == 3:
            hint = " Channels come first: images.permute(0, 3, 1, 2)."
        raise BadInput(f"images is {_said(images)}; it must be uint8 [n, 3, H, W].{hint}")
    labels = _labels(labels, len(images))
    height, width = images.shape[2:]
    names = tuple(map(str, range(int(labels.max()) + 1)))
    _two_classes(names)
    if height == width and image_size in (None, height):
        return MemoryImages(
            "given images", images.detach().cpu().contiguous(), labels, names,
            warnings=tuple(f"given images: {text}" for text in _gaps(labels, names, split)),
        )  # fmt: skip

    def read(index: int) -> Image.Image:
        return _picture(images[index])

    source = Source("given images", read, labels.tolist(), names, "image {}".format, notes=_gaps(labels, names, split))
    return read_source(source, image_size)


def _labels(labels: Tensor, count: int) -> Tensor:
    """[n] int64 on the CPU, checked."""
    if labels.dim() != 1 or len(labels) != count or labels.is_floating_point() or labels.is_complex():
        raise BadInput(f"labels is {_said(labels)}; it must be int64 [{count}], one class number per image.")
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


def _gaps(labels: Tensor, names: tuple[str, ...], split: str) -> tuple[str, ...]:
    """A sentence about classes that no training image has."""
    missing = [names[label] for label, count in enumerate(labels.bincount(minlength=len(names)).tolist()) if not count]
    if not missing or held_out(split):
        return ()
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return (
        f"{len(missing)} of {len(names)} classes have no images: {', '.join(missing[:5])}{more}. Their outputs learn "
        "nothing. Number classes from 0, one after the other.",
    )


def _dataset_source(data: Any, split: str) -> Source:
    """A torch data set as a source; where it does not tell its labels, it is read through once for them."""
    known = _known_labels(data)
    try:
        first = data[0]
    except IndexError as error:
        raise BadInput("The data set is empty.") from error
    if not isinstance(first, tuple | list) or len(first) != 2:
        raise BadInput(f"The items of the data set are {_said(first)}; they must be (image, label).")
    _picture(first[0])  # says what is wrong with all of them
    labels = _labels(_class_numbers([data[i][1] for i in range(len(data))] if known is None else known), len(data))
    if known is not None and _class_numbers([first[1]]).tolist() != [int(labels[0])]:
        raise BadInput(
            f"The data set's own list of labels, .targets, says {int(labels[0])} of item 0, and the item says "
            f"{first[1]}. Make them agree, or wrap it in a Dataset without .targets."
        )
    names = getattr(data.dataset if isinstance(data, Subset) else data, "classes", None)
    count = int(labels.max()) + 1
    names = tuple(map(str, names)) if names is not None and len(names) >= count else tuple(map(str, range(count)))
    _two_classes(names)
    return Source(
        type(data).__name__, lambda i: _picture(data[i][0]), labels.tolist(), names, "item {} of the data set".format,
        notes=_gaps(labels, names, split),
    )  # fmt: skip


def _class_numbers(labels: Any) -> Tensor:
    """The labels of a data set as a tensor.

    Raises:
        BadInput: They are no numbers.
    """
    try:
        return torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        first = labels[0]
        raise BadInput(
            f"The labels of the data set are no class numbers; the first is {first!r:.40} (of type "
            f"{type(first).__name__}). They must be int, counted from 0."
        ) from error


def _known_labels(data: Any) -> Any:
    """The labels of a data set that has them in one piece, as torchvision's do, or None."""
    if isinstance(data, Subset):
        of_all = _known_labels(data.dataset)
        return None if of_all is None else torch.as_tensor(of_all)[torch.as_tensor(data.indices)]
    if getattr(data, "target_transform", None) is not None:
        return None
    return getattr(data, "targets", None)


def _two_classes(names: tuple[str, ...]) -> None:
    if len(names) < 2:
        raise BadInput("All labels are the same; a search needs at least 2 classes.")


def _picture(image: Any) -> Image.Image:
    """A picture of Pillow's from one, from uint8 [1 or 3, H, W], or from floats in [0, 1].

    Raises:
        BadInput: Anything else, above all images that are normalised already.
    """
    if isinstance(image, Image.Image):
        return image
    tensor = _tensor(image, "an image")
    if tensor.dim() != 3 or tensor.shape[0] not in (1, 3):
        raise BadInput(f"An image is {_said(tensor)}; it must be a picture, or a tensor [3, H, W] or [1, H, W].")
    if tensor.is_floating_point():
        if not bool(((tensor >= 0) & (tensor <= 1)).all()):
            raise BadInput(
                f"An image has values from {float(tensor.min()):.3g} to {float(tensor.max()):.3g}; floats must lie in "
                "[0, 1]. Leave normalisation out: the search does its own."
            )
        tensor = (255 * tensor).round().to(torch.uint8)
    if tensor.dtype != torch.uint8:
        raise BadInput(f"An image is {_said(tensor)}; it must be uint8, or float in [0, 1].")
    pixels = tensor.detach().cpu().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])


def _tensor(value: Any, name: str) -> Tensor:
    try:
        return value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{name} is {_said(value)}, which is no tensor; data can be {_KINDS}.") from error


def _said(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"of type {type(value).__name__}"
