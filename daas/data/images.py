"""A set of images of one size: in memory as one uint8 tensor, or decoded when asked for."""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from daas.errors import BadInput

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises on files that are no images, or not whole."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by EXIF orientation (1 is upright)."""


class Census:
    """Counts sizes and modes of images while they are read; threads may add at the same time."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int, str, bool]] = []

    def add(self, image: Image.Image, turned: bool) -> None:
        """Counts one image, upright; ``turned`` says whether it was stored in another orientation."""
        self._seen.append((image.width, image.height, image.mode, turned))

    def facts(self, of: int) -> dict[str, Any] | None:
        """How the images are stored, or None where none was counted.

        Args:
            of: Number of images of the set.

        Returns:
            ``smallest`` and ``largest`` (width and height, by area), ``modes`` (Pillow's names, with counts),
            ``turned`` (images with an EXIF orientation), ``counted`` images ``of`` how many.
        """
        if not self._seen:
            return None
        sizes = sorted(
            {(width, height) for width, height, _, _ in self._seen}, key=lambda size: (math.prod(size), size)
        )
        return {
            "smallest": list(sizes[0]),
            "largest": list(sizes[-1]),
            "modes": dict(Counter(mode for _, _, mode, _ in self._seen).most_common()),
            "turned": sum(turned for _, _, _, turned in self._seen),
            "counted": len(self._seen),
            "of": of,
        }


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
    """

    name: str
    read: Callable[[int], Image.Image]
    labels: Sequence[int]
    class_names: tuple[str, ...]
    describe: Callable[[int], str]
    original: bool = True
    held_out: bool = False

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
            image = upright(stored)
            array = np.asarray(fitted(image, size)).copy()
            if census is not None:
                census.add(image, turned=image is not stored)
            return torch.from_numpy(array)
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
        originals: How the images are stored (``Census.facts``), where that is known.
        held_out: Whether images to validate on lie beside these, in the same folder or archive.
    """

    name: str
    labels: Tensor
    class_names: tuple[str, ...]
    image_size: int
    skipped: int
    originals: dict[str, Any] | None
    held_out: bool

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
        """A hash of classes, labels and images: of pixels in memory, of the names of files that stay on disk."""
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
    held_out: bool = False

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

    def _contents(self) -> Iterator[bytes]:
        return (f"{self.source.describe(index)}\n".encode() for index in self.origin.tolist())


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


def upright(image: Image.Image) -> Image.Image:
    """Turns a photograph as its EXIF orientation says; the same object where there is nothing to turn.

    Damaged EXIF data turn nothing: the pixels are still good.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow's parser raises whatever damaged tags make it raise
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    if turn is None:
        return image
    turned = image.transpose(turn)
    for key in ("exif", "xmp", "XML:com.adobe.xmp"):  # they still say how the image was stored
        turned.info.pop(key, None)
    return turned


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
