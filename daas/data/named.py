"""Data sets by name: the embedded digits, and everything that timm's ``create_dataset`` opens."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import IterableDataset
from tqdm import tqdm

from daas.data.formats import read_image
from daas.data.images import MemoryImages, Source
from daas.data.labels import distinct
from daas.data.pixels import UNREADABLE, fitted, picture
from daas.errors import BadInput

DIGITS_SIZE = 16
_DIGITS_TRAIN = 1297
_DIGITS = Path("datasets", "data", "digits.csv.gz")  # within scikit-learn
_STREAM_SIDE = 256  # images of a stream are kept at this size until their own is known
_REFUSALS = (AssertionError, AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError)
"""What timm, torchvision and datasets raise on names, splits and places that they cannot open."""


def digits(split: str, size: int) -> MemoryImages:
    """scikit-learn's 1,797 scanned digits of 8 x 8 pixels, enlarged: 1,297 to train, 500 to test, always the same.

    The file is read as ``sklearn.datasets.load_digits`` reads it, without the import, which takes longer.

    Raises:
        BadInput: scikit-learn is not installed.
    """
    package = find_spec("sklearn")
    place = None if package is None else Path(*package.submodule_search_locations or ()) / _DIGITS
    if place is None or not os.path.isfile(place):
        raise BadInput("--dataset digits comes with scikit-learn: pip install 'timm-daas[demo]'.")
    rows = torch.from_numpy(np.loadtxt(place, delimiter=","))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    chosen = order[:_DIGITS_TRAIN] if split == "train" else order[_DIGITS_TRAIN:]
    small = rows[:, :-1].reshape(-1, 8, 8).float()[chosen].mul(255.0 / 16.0).unsqueeze(1)
    large = torch.nn.functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)
    images = large.round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    labels = rows[:, -1].long()[chosen]
    return MemoryImages("digits", images, labels, tuple(map(str, range(10))))


def usual_place() -> Path:
    """Where ``torch/`` data sets are stored that nobody named a place for.

    Raises:
        BadInput: There is no home folder.
    """
    try:
        return Path.home() / ".cache" / "daas"
    except RuntimeError as error:
        raise BadInput(
            "There is no home folder to store data sets in (HOME is not set). Set it, or name a place with --data-dir."
        ) from error


def timm_source(dataset: str, root: Path | None, split: str, download: bool, image_size: int | None) -> Source:
    """A data set that timm opens; those that can only be streamed are read once, from the first image to the last.

    Args:
        dataset: ``torch/cifar10``, ``hfds/user/name``, ``hfids/...``, ``wds/...``, ``tfds/...``.
        root: Where it is stored; ``~/.cache/daas`` for ``torch/`` if None, and the library's own place for the others.
        split: As the data set calls it.
        download: Fetch it if it is not there and can be fetched.
        image_size: What a stream's images are reduced to while they are read.

    Raises:
        BadInput: timm cannot open it; the message has timm's reason.
    """
    from timm.data import create_dataset

    if root is None and dataset.lower().startswith("torch/"):
        root = usual_place()
    try:
        found: Any = create_dataset(
            dataset, root=None if root is None else str(root), split=split, is_training=False, download=download
        )
        read = _Stream(dataset, found, image_size) if isinstance(found, IterableDataset) else _Indexed(found)
        labels = read.labels()
    except _REFUSALS as error:
        where = "its usual place" if root is None else str(root)
        raise BadInput(
            f"--dataset {dataset} (split {split}, stored in {where}) could not be opened: "
            f"{error or type(error).__name__}. Known forms are digits, torch/cifar10, torch/cifar100, hfds/..., "
            "wds/...; for a folder use --data-dir alone."
        ) from error
    if not labels:
        raise BadInput(f"--dataset {dataset} (split {split}) holds no images.")
    if min(labels) < 0:
        raise BadInput(f"--dataset {dataset} (split {split}) has images without a label.")
    names = _class_names(found, max(labels) + 1)
    stored = not isinstance(read, _Stream)
    return Source(dataset, read, labels, names, lambda index: f"image {index} of {dataset}", original=stored)


def _class_names(found: Any, count: int) -> tuple[str, ...]:
    known = getattr(found, "classes", None)
    if known is None:
        by_name = getattr(getattr(found, "reader", None), "class_to_idx", None) or {}
        known = sorted(by_name, key=lambda name: int(by_name[name]))
    names = distinct(tuple(map(str, known)))
    return names if len(names) >= count else tuple(map(str, range(count)))


class _Indexed:
    """Reads a data set with random access; past timm's ``ImageDataset``, which replaces unreadable images by others."""

    def __init__(self, found: Any) -> None:
        self.found = found
        self.reader = getattr(found, "reader", None)

    def __call__(self, index: int) -> Image.Image:
        if self.reader is None:
            image = self.found[index][0]
            if not isinstance(image, Image.Image):
                raise ValueError(f"it is no picture but {type(image).__name__}")
            return image
        with self.reader[index][0] as file:
            return read_image(file)

    def labels(self) -> list[int]:
        targets: Iterable[Any]
        if self.reader is not None:
            targets = self.reader.iter_targets()
        elif hasattr(self.found, "targets"):
            targets = self.found.targets
        else:
            targets = (self.found[index][1] for index in range(len(self.found)))
        return [-1 if label is None else int(label) for label in targets]


class _Stream:
    """The images of a data set that can only be read from front to back, reduced while they are read."""

    def __init__(self, dataset: str, found: Iterable[tuple[Image.Image, Any]], image_size: int | None) -> None:
        self.images: list[Image.Image] = []
        self.targets: list[int] = []
        for image, label in _progress(found, dataset):
            try:
                self.images.append(_reduced(image, image_size))
            except UNREADABLE as error:
                raise BadInput(f"image {len(self.images)} of {dataset} cannot be read ({error}).") from error
            self.targets.append(int(label))

    def __call__(self, index: int) -> Image.Image:
        return self.images[index]

    def labels(self) -> list[int]:
        return self.targets


def _progress(found: Iterable[tuple[Image.Image, Any]], name: str) -> Iterator[tuple[Image.Image, Any]]:
    return iter(tqdm(found, unit="img", desc=f"reading {name}", disable=None, leave=False))


def _reduced(image: Image.Image, image_size: int | None) -> Image.Image:
    image = picture(image)
    if image_size is not None:
        return fitted(image, image_size)
    image.thumbnail((_STREAM_SIDE, _STREAM_SIDE))
    return image
