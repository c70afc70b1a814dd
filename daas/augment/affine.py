"""The affine maps of geometric operations: target (x, y) shows source (a x + b y + c, d x + e y + f), in pixels.

Each function maps (value [b], height, width) to [b, 6]; values are signed. Pixels are measured from the corner.
"""

from __future__ import annotations

import numpy as np

from daas.augment.operation import Doubles

ZOOMS, OFFSETS = 32768.0, 65536.0
"""Steps of a crop's zoom, and of its offset per pixel."""
_IDENTITY = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])


def shear_x(value: Doubles, height: int, width: int) -> Doubles:
    """Shears rows, about the top left corner."""
    return _changed(value, 1, value)


def shear_y(value: Doubles, height: int, width: int) -> Doubles:
    """Shears columns, about the top left corner."""
    return _changed(value, 3, value)


def translate_x(value: Doubles, height: int, width: int) -> Doubles:
    """Moves by a share of the width: positive values move the content left."""
    return _changed(value, 2, value * width)


def translate_y(value: Doubles, height: int, width: int) -> Doubles:
    """Moves by a share of the height: positive values move the content up."""
    return _changed(value, 5, value * height)


def rotate(value: Doubles, height: int, width: int) -> Doubles:
    """Turns by degrees, counter-clockwise about the centre."""
    angle = -np.radians(value)
    cos, sin = np.round(np.cos(angle), 15), np.round(np.sin(angle), 15)
    x, y = width / 2.0, height / 2.0
    return np.stack([cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y], -1)


def quarter_turns(value: Doubles, height: int, width: int) -> Doubles:
    """Turns by whole quarters, the nearest to ``value``, counter-clockwise about the centre, within the frame."""
    return rotate(90.0 * np.copysign(np.floor(np.abs(value) + 0.5), value), height, width)


def flip_x(value: Doubles, height: int, width: int) -> Doubles:
    """Exchanges left and right."""
    return np.tile(np.array([-1.0, 0.0, width, 0.0, 1.0, 0.0]), (len(value), 1))


def flip_y(value: Doubles, height: int, width: int) -> Doubles:
    """Exchanges top and bottom."""
    return np.tile(np.array([1.0, 0.0, 0.0, 0.0, -1.0, height]), (len(value), 1))


def crop(value: Doubles, center: Doubles, height: int, width: int) -> Doubles:
    """Cuts a share of both sides off and enlarges the rest, which lies at ``center`` of where it can.

    Zoom and offset are whole multiples of powers of two, so that Pillow's running sums are exact.
    """
    zoom = np.floor((1.0 - value) * ZOOMS + 0.5) / ZOOMS
    result = _changed(value, 0, zoom)
    result[:, 4] = zoom
    for axis, size, column in ((0, width, 2), (1, height, 5)):
        result[:, column] = np.floor(center[:, axis] * (1.0 - zoom) * size * OFFSETS) / OFFSETS
    return result


def _changed(value: Doubles, column: int, entry: Doubles) -> Doubles:
    result = np.tile(_IDENTITY, (len(value), 1))
    result[:, column] = entry
    return result
