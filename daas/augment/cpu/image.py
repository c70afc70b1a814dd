"""One image through its operations: which buffer each operation reads and writes, and when a look-up table waits.

Operations that are a look-up table of the image (AutoContrast, Equalize) do not run over its pixels at once. The table
waits, the point operations that follow run on the table instead of the image, and at the end the table is applied in
the same pass as the normalisation.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from daas.augment.cpu.bilinear import geometric_bilinear
from daas.augment.cpu.enhance import color, mean_grey, sharpness
from daas.augment.cpu.geometric import geometric
from daas.augment.cpu.histogram import autocontrast_lut, equalize_lut
from daas.augment.cpu.jit import Bytes, compiled
from daas.augment.cpu.memory import copy_bytes, fill_bytes
from daas.augment.cpu.point import blend, invert, look_up, posterize, solarize
from daas.augment.space import INDEX

_ROTATE, _AUTOCONTRAST, _EQUALIZE = INDEX["Rotate"], INDEX["AutoContrast"], INDEX["Equalize"]
_INVERT, _SOLARIZE, _POSTERIZE = INDEX["Invert"], INDEX["Solarize"], INDEX["Posterize"]
_CONTRAST, _COLOR, _BRIGHTNESS = INDEX["Contrast"], INDEX["Color"], INDEX["Brightness"]
_SHARPNESS, _CUTOUT, _GRAYSCALE = INDEX["Sharpness"], INDEX["Cutout"], INDEX["Grayscale"]
_FLIP_X, _FLIP_Y, _ROT90, _CROP = INDEX["HFlip"], INDEX["VFlip"], INDEX["Rot90"], INDEX["Crop"]


@compiled
def operations(
    image: Bytes,
    op: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    center: npt.NDArray[np.float64],
    size: tuple[int, int],
    bilinear: bool,
    colors: Bytes,
    pixels: Bytes,
    luts: Bytes,
    numbers: npt.NDArray[np.uint32],
) -> tuple[Bytes, bool, Bytes]:
    """Runs all slots of one image.

    Args:
        image: [C * H * W], only read.
        op: [K].
        value: [K], signed.
        center: [K, 2], x then y.
        size: Height and width.
        bilinear: Interpolation of geometric operations, instead of the nearest neighbour.
        colors: [2, C], what geometric operations and Cutout fill with.
        pixels: Scratch for two images.
        luts: Scratch, [2 * C * 256].
        numbers: Scratch, at least 1024 and 2 W + 2 entries.

    Returns:
        The buffer that holds the result (possibly the input itself), whether a look-up table waits, and that table.
    """
    fill, grey = colors[0], colors[1]
    channels = len(fill)
    current, free, other = image, pixels[: len(image)], pixels[len(image) :]
    lut, free_lut = luts[: 256 * channels], luts[256 * channels :]
    waiting = False
    for slot in range(len(op)):
        o = op[slot]
        if o < 0:
            continue
        on_lut = waiting and o in (_INVERT, _SOLARIZE, _POSTERIZE, _BRIGHTNESS)
        if waiting and not on_lut:
            look_up(current, free, lut, channels)
            current, free, other = free, other, free
            waiting = False
        if o == _AUTOCONTRAST:
            waiting = autocontrast_lut(current, lut, channels)
        elif o == _EQUALIZE:
            equalize_lut(current, lut, numbers, channels)
            waiting = True
        else:
            source, target = (lut, free_lut) if on_lut else (current, free)
            _operation(o, value[slot], center[slot], source, target, size, bilinear, fill, grey, numbers)
            if on_lut:
                lut, free_lut = free_lut, lut
            else:
                current, free, other = free, other, free
    return current, waiting, lut


@compiled
def _operation(
    op: int,
    value: float,
    center: npt.NDArray[np.float64],
    source: Bytes,
    target: Bytes,
    size: tuple[int, int],
    bilinear: bool,
    fill: Bytes,
    grey: Bytes,
    numbers: npt.NDArray[np.uint32],
) -> None:
    height, width = size
    channels = len(fill)
    turned = op <= _ROTATE or op in (_ROT90, _CROP)
    if turned and bilinear:
        geometric_bilinear(source, target, op, value, center, height, width, fill)
    elif turned or op in (_FLIP_X, _FLIP_Y):
        geometric(source, target, op, value, center, height, width, fill, numbers)
    elif op == _INVERT:
        invert(source, target)
    elif op == _SOLARIZE:
        solarize(source, target, value)
    elif op == _POSTERIZE:
        posterize(source, target, np.int64(min(max(value, 0.0), 8.0)))
    elif op in (_CONTRAST, _BRIGHTNESS):
        blend(source, target, mean_grey(source, channels) if op == _CONTRAST else 0.0, value)
    elif op in (_COLOR, _GRAYSCALE):
        color(source, target, value if op == _COLOR else 0.0, channels)
    elif op == _SHARPNESS:
        sharpness(source, target, value, channels, height, width)
    elif op == _CUTOUT:
        _cutout(source, target, value, center, height, width, grey)


@compiled
def _cutout(
    source: Bytes, target: Bytes, value: float, center: npt.NDArray[np.float64], height: int, width: int, grey: Bytes
) -> None:
    """Fills a square of ``value`` times the width; one that the left or top border would cut is moved inside."""
    copy_bytes(target, 0, source, 0, len(source))
    side = value * width
    if side <= 0.0:
        return
    left = max(0.0, math.trunc(center[0] * width - side / 2.0))
    top = max(0.0, math.trunc(center[1] * height - side / 2.0))
    x0, x1 = np.int64(left), min(np.int64(left + side), width - 1)
    y0, y1 = np.int64(top), min(np.int64(top + side), height - 1)
    for c in range(len(grey)):
        for row in range(y0, y1 + 1):
            fill_bytes(target, (c * height + row) * width + x0, grey[c], x1 + 1 - x0)
