"""Shear, translate, rotate and crop with bilinear interpolation, in the float64 arithmetic of Pillow's transform."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from daas.augment.affine import OFFSETS, ZOOMS
from daas.augment.cpu.jit import Bytes, compiled
from daas.augment.space import INDEX

_SHEAR_X, _SHEAR_Y = INDEX["ShearX"], INDEX["ShearY"]
_TRANSLATE_X, _TRANSLATE_Y, _ROT90 = INDEX["TranslateX"], INDEX["TranslateY"], INDEX["Rot90"]
_CROP = INDEX["Crop"]


@compiled
def matrix(
    op: int, value: float, center: npt.NDArray[np.float64], height: int, width: int
) -> tuple[float, float, float, float, float, float]:
    """Target (x, y) shows source (a x + b y + c, d x + e y + f), both measured from the images' corner."""
    if op == _SHEAR_X:
        return 1.0, value, 0.0, 0.0, 1.0, 0.0
    if op == _SHEAR_Y:
        return 1.0, 0.0, 0.0, value, 1.0, 0.0
    if op == _TRANSLATE_X:
        return 1.0, 0.0, value * width, 0.0, 1.0, 0.0
    if op == _TRANSLATE_Y:
        return 1.0, 0.0, 0.0, 0.0, 1.0, value * height
    if op == _CROP:
        zoom = math.floor((1.0 - value) * ZOOMS + 0.5) / ZOOMS
        left = math.floor(center[0] * (1.0 - zoom) * width * OFFSETS) / OFFSETS
        top = math.floor(center[1] * (1.0 - zoom) * height * OFFSETS) / OFFSETS
        return zoom, 0.0, left, 0.0, zoom, top
    if op == _ROT90:
        value = 90.0 * math.copysign(math.floor(abs(value) + 0.5), value)
    angle = -value * (math.pi / 180.0)
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2.0, height / 2.0
    return cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y


@compiled
def geometric_bilinear(
    source: Bytes,
    target: Bytes,
    op: int,
    value: float,
    center: npt.NDArray[np.float64],
    height: int,
    width: int,
    fill: Bytes,
) -> None:
    """Applies one geometric operation to one image; a source outside of the image is ``fill``, as a whole."""
    a, b, c, d, e, f = matrix(op, value, center, height, width)
    plane = height * width
    for y in range(height):
        for x in range(width):
            u = a * (x + 0.5) + b * (y + 0.5) + c
            v = d * (x + 0.5) + e * (y + 0.5) + f
            at = y * width + x
            if not (0.0 <= u < width and 0.0 <= v < height):
                for channel in range(len(fill)):
                    target[channel * plane + at] = fill[channel]
                continue
            left, top = math.floor(u - 0.5), math.floor(v - 0.5)
            du, dv = u - 0.5 - left, v - 0.5 - top
            x0, x1 = max(left, 0), min(left + 1, width - 1)
            y0, y1 = max(top, 0) * width, min(top + 1, height - 1) * width
            for channel in range(len(fill)):
                start = channel * plane
                above = _between(source[start + y0 + x0], source[start + y0 + x1], du)
                below = _between(source[start + y1 + x0], source[start + y1 + x1], du)
                target[start + at] = np.uint8(np.int32(_between(above, below, dv)))


@compiled
def _between(first: float, second: float, part: float) -> float:
    return float(first) + (float(second) - float(first)) * part
