"""Images to validate on that are images to train on: the same folders, or copies of the same files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from daas.data.images import DiskImages, ImageData, MemoryImages, Source
from daas.errors import BadInput

_LOOKED_AT = 1000  # images to validate on that are looked at, evenly spaced
_COMPARED = 5000  # training images of a size among theirs that are read
_BEGINNING = 2**16  # bytes of a file that are compared
_WORTH = 0.01  # share of copies from which they are said


def refuse_training_images(train: ImageData | Source, val: ImageData | Source) -> None:
    """Checks that images to validate on are none to train on, however their folders are spelled or linked.

    Raises:
        BadInput: They lie in the same folders.
    """
    shared = sorted(train.folders & val.folders)
    if shared:
        raise BadInput(
            f"Validation would use the training images: {shared[0]} is in both. Put the images into train/CLASS/ and "
            "val/CLASS/, or name a folder of other images with --val-dir."
        )


def copies(train: ImageData | Source, val: ImageData | Source) -> tuple[str, ...]:
    """A sentence about images to validate on whose content is that of training images; none from 1 in 100 downwards.

    Images in memory are compared by their pixels, files on disk by their sizes and first 64 KiB. A thousand images to
    validate on are looked at; of training files of the same sizes, five thousand. Files are not compared with pixels.
    """
    ours, theirs = _side(train), _side(val)
    if ours is None or theirs is None or ours.pixels != theirs.pixels:
        return ()
    looked_at = _spaced(range(len(theirs.rough)), _LOOKED_AT)
    wanted = {theirs.rough[index] for index in looked_at}
    alike = _spaced([index for index, rough in enumerate(ours.rough) if rough in wanted], _COMPARED)
    known = {ours.exact(index) for index in alike}
    found = [index for index in looked_at if known and theirs.exact(index) in known]
    if len(found) < max(1.0, _WORTH * len(looked_at)):
        return ()
    return (
        f"{len(found)} of {len(looked_at)} images to validate on that were looked at are copies of training images "
        f"({theirs.describe(found[0])}): what is measured on them says nothing of new images. Keep each image in one "
        "of the two alone.",
    )


class _Side(NamedTuple):
    """What is compared of a set.

    Attributes:
        pixels: Whether it is pixels, and not files.
        rough: One number per image, equal for equal ones.
        exact: Index -> content.
        describe: Index -> what to call the image.
    """

    pixels: bool
    rough: Sequence[int]
    exact: Callable[[int], bytes]
    describe: Callable[[int], str]


def _side(images: ImageData | Source) -> _Side | None:
    if isinstance(images, MemoryImages):
        pixels = images.images
        sums = [int(value) for part in pixels.split(1024) for value in part.flatten(1).sum(1)]
        return _Side(True, sums, lambda index: pixels[index].cpu().numpy().tobytes(), "image {}".format)
    if isinstance(images, DiskImages):
        return _files(images.source, images.origin.tolist())
    return _files(images, range(len(images.labels))) if isinstance(images, Source) else None


def _files(source: Source, indices: Sequence[int]) -> _Side | None:
    read = source.content
    if read is None:
        return None

    def content(index: int, limit: int) -> tuple[int, bytes]:
        try:
            return read(indices[index], limit)
        except OSError:  # gone or closed: said where it is read as an image
            return -1 - index, b""

    sizes = [content(index, 0)[0] for index in range(len(indices))]
    return _Side(
        False, sizes, lambda index: content(index, _BEGINNING)[1], lambda index: source.describe(indices[index])
    )


def _spaced(indices: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly spaced."""
    if len(indices) <= most:
        return list(indices)
    return [indices[position] for position in np.linspace(0, len(indices) - 1, most).astype(int)]
