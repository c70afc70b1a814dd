"""A set of images of one size: in memory as one uint8 tensor, or decoded when asked for."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from daas.data.census import Census
from daas.data.formats import failure, without_pillows_warnings
from daas.data.pixels import UNREADABLE, as_rgb, depth, fitted, picture, upright
from daas.errors import BadInput
from daas.sending import sent

_FINGERPRINTED, _BEGINNING = 1000, 2**16  # files of which the beginning is hashed, and bytes of it


@dataclass(frozen=True)
class Source:
    """Labelled images that can be read by index, before anything is decoded.

    Attributes:
        name: Of the set, for people.
        read: Index -> image, of any size and mode.
        labels: One per image.
        class_names: One per label.
        describe: Index -> what to call the image in a message.
        original: Whether ``read`` gives images as they were stored, not reduced before.
        held_out: Whether images to validate on lie beside these.
        unread: Files that look like images and are not read, by reason.
        notes: What else people should know about the files, in sentences.
        folders: Real paths of the folders that hold the images, where they are files.
        content: (index, limit) -> bytes of the file, and its first ``limit`` ones; None where there are no files.
        called: Index -> the name of the image wherever its set lies; by default what ``describe`` says.
    """

    name: str
    read: Callable[[int], Image.Image]
    labels: Sequence[int]
    class_names: tuple[str, ...]
    describe: Callable[[int], str]
    original: bool = True
    held_out: bool = False
    unread: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    folders: frozenset[str] = frozenset()
    content: Callable[[int, int], tuple[int, bytes]] | None = None
    called: Callable[[int], str] | None = None

    def fingerprint(self, indices: Sequence[int]) -> Iterator[bytes]:
        """What tells images from others under the same names without decoding them.

        That is the name and size of every file and, of a thousand of them at most, evenly spaced, the first 64 KiB.
        Neither times nor folders count: a copy of a set is the same set, wherever it lies.

        Args:
            indices: Of the images.
        """
        every, called = -(-len(indices) // _FINGERPRINTED), self.called or self.describe
        for position, index in enumerate(indices):
            yield f"{called(index)}\n".encode("utf-8", "surrogateescape")
            if self.content is not None:
                try:
                    size, start = self.content(index, 0 if position % every else _BEGINNING)
                except OSError:  # gone since it was listed, which makes another set of these
                    size, start = 0, b"gone"
                yield size.to_bytes(8, "little") + start

    def picture(self, index: int) -> Image.Image:
        """An image of any size: upright, RGB, 8 bits.

        Raises:
            BadInput: It cannot be read; the message names it.
        """
        try:
            return picture(self.read(index))
        except UNREADABLE as error:
            raise self._unreadable(index, error) from error

    def pixels(self, index: int, size: int, census: Census | None = None) -> Tensor:
        """[size, size, 3] uint8.

        Args:
            index: Of the image.
            size: Wanted side.
            census: Counts the image, if given.

        Raises:
            BadInput: The image cannot be read; the message names it.
        """
        try:
            stored = self.read(index)
            image, bits = upright(stored), depth(stored)
            turned = image is not stored
            del stored  # large images lie in memory as seldom as possible
            array = np.asarray(fitted(as_rgb(image, bits), size)).copy()
        except UNREADABLE as error:
            raise self._unreadable(index, error) from error
        if census is not None:
            census.add(index, image, turned, array)
        return torch.from_numpy(array)

    def _unreadable(self, index: int, error: Exception) -> BadInput:
        return BadInput(
            f"{self.describe(index)} cannot be read as an image ({failure(error)}). Remove or repair it, or leave such "
            "images out with --skip-bad-images."
        )


class ImageData(ABC):
    """Labelled images of one size.

    Attributes:
        name: Of the set, for people.
        labels: [N] int64.
        class_names: One per label.
        image_size: Side in pixels.
        skipped: Images that could not be read and were left out.
        originals: How the images are stored (``Census.facts``), where that is known.
        held_out: Whether images to validate on lie beside these, in the same folder or archive.
        unread: Files that look like images and were not read, by reason.
        warnings: What people should know before they trust these images, in sentences.
        folders: Real paths of the folders that hold the images, where they are files.
    """

    name: str
    labels: Tensor
    class_names: tuple[str, ...]
    image_size: int
    skipped: int
    originals: dict[str, Any] | None
    held_out: bool
    unread: Mapping[str, int]
    warnings: tuple[str, ...]
    folders: frozenset[str]

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def fetch(self, indices: Tensor) -> Tensor:
        """[B] indices -> [B, 3, S, S] uint8."""

    @abstractmethod
    def subset(self, indices: Tensor) -> ImageData:
        """The images at these indices; classes and labels keep their numbers."""

    @abstractmethod
    def _contents(self) -> Iterator[bytes]:
        """What tells these images from others."""

    def digest(self) -> str:
        """A hash of classes, labels and images: of pixels in memory, of ``Source.fingerprint`` for files on disk."""
        found = hashlib.blake2b(json.dumps([self.class_names, self.image_size]).encode(), digest_size=16)
        found.update(self.labels.numpy().tobytes())
        for part in self._contents():
            found.update(part)
        return found.hexdigest()


@dataclass(frozen=True)
class MemoryImages(ImageData):
    """All images in one tensor.

    Attributes:
        images: [N, 3, S, S] uint8.
    """

    name: str
    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    skipped: int = 0
    originals: dict[str, Any] | None = None
    held_out: bool = False
    unread: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    folders: frozenset[str] = frozenset()

    @property
    def image_size(self) -> int:  # type: ignore[override]  # computed, where the base class declares an attribute
        """Side in pixels."""
        return int(self.images.shape[-1])

    def fetch(self, indices: Tensor) -> Tensor:
        """[B] indices -> [B, 3, S, S] uint8, on the device of the images."""
        return self.images[sent(indices, self.images.device)]

    def subset(self, indices: Tensor) -> MemoryImages:
        """The images at these indices."""
        return replace(self, images=self.fetch(indices), labels=self.labels[indices])

    def _contents(self) -> Iterator[bytes]:
        return (part.cpu().numpy().tobytes() for part in self.images.split(1024))

    def to(self, device: torch.device) -> MemoryImages:
        """The same set with its images on a device; labels stay on the CPU."""
        return replace(self, images=self.images.to(device))


@dataclass(frozen=True)
class DiskImages(ImageData):
    """Images that are read, resized and cropped each time they are asked for, by several threads.

    Attributes:
        source: Reads them.
        origin: [N] int64, indices in the source.
        threads: Threads that decode.
    """

    source: Source
    origin: Tensor
    labels: Tensor
    image_size: int
    skipped: int = 0
    threads: int = 4
    originals: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:  # type: ignore[override]  # the source's
        """Of the set, for people."""
        return self.source.name

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]  # the source's
        """One per label."""
        return self.source.class_names

    @property
    def held_out(self) -> bool:  # type: ignore[override]  # the source's
        """Whether images to validate on lie beside these, in the same folder or archive."""
        return self.source.held_out

    @property
    def unread(self) -> Mapping[str, int]:  # type: ignore[override]  # the source's
        """Files that look like images and were not read, by reason."""
        return self.source.unread

    @property
    def folders(self) -> frozenset[str]:  # type: ignore[override]  # the source's
        """Real paths of the folders that hold the images, where they are files."""
        return self.source.folders

    def fetch(self, indices: Tensor) -> Tensor:
        """[B] indices -> [B, 3, S, S] uint8.

        Raises:
            BadInput: An image cannot be read (any more).
        """
        return decode(self.source, self.origin[indices].tolist(), self.image_size, self.threads)

    def subset(self, indices: Tensor) -> DiskImages:
        """The images at these indices."""
        return replace(self, origin=self.origin[indices], labels=self.labels[indices])

    def _contents(self) -> Iterator[bytes]:
        return self.source.fingerprint(self.origin.tolist())


@without_pillows_warnings()
def decode(source: Source, indices: Sequence[int], size: int, threads: int) -> Tensor:
    """Reads images in parallel (Pillow releases the interpreter while it decodes): [B, 3, size, size] uint8."""
    out = torch.empty(len(indices), size, size, 3, dtype=torch.uint8)

    def one(row: int) -> None:
        out[row] = source.pixels(indices[row], size)

    if threads <= 1 or len(indices) < 2:
        for row in range(len(indices)):
            one(row)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(len(indices))))
    return out.permute(0, 3, 1, 2)
