"""A set of images of one size: in memory as one uint8 tensor, or decoded when asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor


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
        """[B] indices -> [B, 3, S, S] uint8."""
        return self.images[indices]

    def subset(self, indices: Tensor) -> MemoryImages:
        """The images at these indices."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])


@dataclass(frozen=True)
class DiskImages(ImageData):
    """Images that are read, resized and cropped each time they are asked for, by several threads.

    Attributes:
        read: Index in the original set -> image.
        origin: [N] int64, indices in the original set.
        threads: Threads that decode.
    """

    name: str
    read: Callable[[int], Image.Image]
    origin: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    image_size: int
    skipped: int = 0
    threads: int = 4

    def fetch(self, indices: Tensor) -> Tensor:
        """[B] indices -> [B, 3, S, S] uint8."""
        return decode(self.read, self.origin[indices].tolist(), self.image_size, self.threads)

    def subset(self, indices: Tensor) -> DiskImages:
        """The images at these indices."""
        return replace(self, origin=self.origin[indices], labels=self.labels[indices])


def decode(read: Callable[[int], Image.Image], indices: Sequence[int], size: int, threads: int) -> Tensor:
    """Reads images in parallel (Pillow releases the interpreter while it decodes): [B, 3, size, size] uint8."""
    out = torch.empty(len(indices), size, size, 3, dtype=torch.uint8)

    def one(row: int) -> None:
        out[row] = torch.from_numpy(np.asarray(fitted(read(indices[row]), size)).copy())

    if threads <= 1 or len(indices) < 2:
        for row in range(len(indices)):
            one(row)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(len(indices))))
    return out.permute(0, 3, 1, 2)


def fitted(image: Image.Image, size: int) -> Image.Image:
    """RGB, the shorter side resized to ``size`` (bicubic), the centre cropped; untouched where it fits already."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, (255, 255, 255))
        image.paste(rgba, mask=rgba.getchannel("A"))
    elif image.mode.startswith(("I;16", "I", "F")):
        image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257.0).clip(0, 255).astype(np.uint8))
    image = image.convert("RGB")
    if image.size == (size, size):
        return image
    width, height = image.size
    scale = size / min(width, height)
    image = image.resize((max(size, round(width * scale)), max(size, round(height * scale))), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))
