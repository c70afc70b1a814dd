"""A set of images of one size: in memory as one uint8 tensor, or decoded when asked for."""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from daas.errors import BadInput

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises on files that are no images, or not whole."""


@dataclass(frozen=True)
class Source:
    """Labelled images that can be read by index, before anything is decoded.

    Attributes:
        name: Of the set, for people.
        read: Index -> image, of any size and mode.
        labels: One per image.
        class_names: One per label.
        describe: Index -> what to call the image in a message.
    """

    name: str
    read: Callable[[int], Image.Image]
    labels: Sequence[int]
    class_names: tuple[str, ...]
    describe: Callable[[int], str]

    def pixels(self, index: int, size: int) -> Tensor:
        """[size, size, 3] uint8.

        Raises:
            BadInput: The image cannot be read; the message names it.
        """
        try:
            return torch.from_numpy(np.asarray(fitted(self.read(index), size)).copy())
        except UNREADABLE as error:
            raise BadInput(
                f"{self.describe(index)} cannot be read as an image ({error}). Remove or repair it, or leave such "
                "images out with --skip-bad-images."
            ) from error


class ImageData(ABC):
    """Labelled images of one size.

    Attributes:
        name: Of the set, for people.
        labels: [N] int64.
        class_names: One per label.
        image_size: Side in pixels.
        skipped: Images that could not be read and were left out.
    """

    name: str
    labels: Tensor
    class_names: tuple[str, ...]
    image_size: int
    skipped: int

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def fetch(self, indices: Tensor) -> Tensor:
        """[B] indices -> [B, 3, S, S] uint8."""

    @abstractmethod
    def subset(self, indices: Tensor) -> ImageData:
        """The images at these indices; classes and labels keep their numbers."""


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

    @property
    def image_size(self) -> int:  # type: ignore[override]  # computed, where the base class declares an attribute
        """Side in pixels."""
        return int(self.images.shape[-1])

    def fetch(self, indices: Tensor) -> Tensor:
        """[B] indices -> [B, 3, S, S] uint8, on the device of the images."""
        return self.images[indices.to(self.images.device)]

    def subset(self, indices: Tensor) -> MemoryImages:
        """The images at these indices."""
        return replace(self, images=self.fetch(indices), labels=self.labels[indices])

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

    @property
    def name(self) -> str:  # type: ignore[override]  # the source's
        """Of the set, for people."""
        return self.source.name

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]  # the source's
        """One per label."""
        return self.source.class_names

    def fetch(self, indices: Tensor) -> Tensor:
        """[B] indices -> [B, 3, S, S] uint8.

        Raises:
            BadInput: An image cannot be read (any more).
        """
        return decode(self.source, self.origin[indices].tolist(), self.image_size, self.threads)

    def subset(self, indices: Tensor) -> DiskImages:
        """The images at these indices."""
        return replace(self, origin=self.origin[indices], labels=self.labels[indices])


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


def fitted(image: Image.Image, size: int) -> Image.Image:
    """RGB, the shorter side resized to ``size`` (bicubic), the centre cropped; untouched where it fits already.

    Transparent images are laid on white; 16-bit grey is divided by 257.

    Raises:
        ValueError: A floating-point image, whose range nothing tells.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no range that is known; save it with 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, (255, 255, 255))
        image.paste(rgba, mask=rgba.getchannel("A"))
    elif image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257.0).clip(0, 255).astype(np.uint8))
    image = image.convert("RGB")
    if image.size == (size, size):
        return image
    width, height = image.size
    scale = size / min(width, height)
    image = image.resize((max(size, round(width * scale)), max(size, round(height * scale))), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))
