"""Sizes, modes and brightness of images, counted while they are read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daas.data.formats import STORED_SIZE

_DARK = 36  # brightest value of 255 up to which an image counts as dark: an eighth, and what resizing adds to it
_FLAT = 2  # distance of the brightest and the darkest value up to which an image counts as one colour


class _Seen(NamedTuple):
    position: int
    size: tuple[int, int]
    mode: str
    turned: bool
    low: int
    high: int


class Census:
    """Counts images while they are read; threads may add at the same time."""

    def __init__(self) -> None:
        self._seen: list[_Seen] = []

    def add(self, index: int, image: Image.Image, turned: bool, pixels: NDArray[np.uint8]) -> None:
        """Counts one image.

        Args:
            index: Of the image.
            image: Upright, with the mode that it is stored in.
            turned: Whether it was stored in another orientation.
            pixels: What became of it, of any shape.
        """
        width, height = image.info.get(STORED_SIZE, image.size)
        if (width < height) != (image.width < image.height):
            width, height = height, width
        self._seen.append(_Seen(index, (width, height), image.mode, turned, int(pixels.min()), int(pixels.max())))

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
        sizes = sorted({seen.size for seen in self._seen}, key=lambda size: (math.prod(size), size))
        return {
            "smallest": list(sizes[0]),
            "largest": list(sizes[-1]),
            "modes": dict(Counter(seen.mode for seen in self._seen).most_common()),
            "turned": sum(seen.turned for seen in self._seen),
            "counted": len(self._seen),
            "of": of,
        }

    def warnings(self, describe: Callable[[int], str]) -> list[str]:
        """What is striking about the values of the pixels, in sentences.

        Args:
            describe: Index -> what to call the image.
        """
        found, count = [], len(self._seen)
        flat = [seen for seen in self._seen if seen.high - seen.low <= _FLAT]
        if flat:
            name = describe(min(seen.position for seen in flat))
            found.append(
                f"{len(flat)} of {count} images that were looked at are of (nearly) one colour, {name} for example. If "
                "they should not be, their values use too little of their range: save them with 8 bits."
            )
        dark = [seen.high for seen in self._seen if seen.high - seen.low > _FLAT and seen.high <= _DARK]
        if 2 * len(dark) > count:
            share = 2 ** round(math.log2(255 / max(dark)))
            found.append(
                f"{len(dark)} of {count} images that were looked at are dark: their brightest pixel is {max(dark)} of "
                f"255, so they use about 1/{share} of the range. Values of 12 bits in files of 16? Spread them over "
                "all of it, or save them with 8 bits."
            )
        return found
