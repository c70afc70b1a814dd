"""Shear, translate, rotate and crop, nearest neighbour, in Pillow's fixed point (see ``daas.augment.geometry``).

A shear along x and a translation move whole rows, so they are row copies. A shear along y moves runs of columns, a few
bytes each, so they are copied 16 bytes at a time, the next run overwriting what was too much. Rotate gathers.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from daas.augment.cpu.bilinear import matrix
from daas.augment.cpu.jit import Bytes, compiled
from daas.augment.cpu.memory import copy_bytes, fill_bytes
from daas.augment.space import INDEX

_SHEAR_X, _SHEAR_Y = INDEX["ShearX"], INDEX["ShearY"]
_TRANSLATE_X, _TRANSLATE_Y = INDEX["TranslateX"], INDEX["TranslateY"]
_FLIP_X, _FLIP_Y = INDEX["HFlip"], INDEX["VFlip"]
_ONE = 65536
_CHUNK = 16  # bytes: one vector register on any CPU


@compiled
def geometric(
    source: Bytes,
    target: Bytes,
    op: int,
    value: float,
    center: npt.NDArray[np.float64],
    height: int,
    width: int,
    fill: Bytes,
    numbers: npt.NDArray[np.uint32],
) -> None:
    """Applies one geometric operation to one image.

    Args:
        source: One image, flat.
        target: Another buffer of its size.
        op: Index of the operation.
        value: Signed: shear factor, share of the size, or degrees counter-clockwise.
        center: [2] in [0, 1), x then y: where a crop lies.
        height: Of the image.
        width: Of the image.
        fill: One value per channel.
        numbers: Scratch, at least 2 ``width`` + 2 entries.
    """
    if op == _TRANSLATE_X:
        _rows(source, target, 0, np.int64(math.floor(value * width + 0.5)) * _ONE + _ONE // 2, height, width, fill)
    elif op == _TRANSLATE_Y:
        _move_y(source, target, np.int64(math.floor(value * height + 0.5)), height, width, fill)
    elif op == _SHEAR_X:
        _rows(source, target, _fix(value), _fix(0.5 + 0.5 * value), height, width, fill)
    elif op == _SHEAR_Y:
        _columns(source, target, _fix(value), _fix(0.5 * value + 0.5), height, width, fill, numbers)
    elif op == _FLIP_X:
        _flip_x(source, target, height * len(fill), width)
    elif op == _FLIP_Y:
        _flip_y(source, target, height, width, len(fill))
    else:
        _affine(source, target, _fixed(op, value, center, height, width), height, width, fill)


@compiled
def _fix(value: float) -> int:
    return math.floor(value * _ONE + 0.5)


@compiled
def _fixed(
    op: int, value: float, center: npt.NDArray[np.float64], height: int, width: int
) -> tuple[int, int, int, int, int, int]:
    a, b, c, d, e, f = matrix(op, value, center, height, width)
    return _fix(a), _fix(b), _fix(c + 0.5 * a + 0.5 * b), _fix(d), _fix(e), _fix(f + 0.5 * d + 0.5 * e)


@compiled
def _flip_x(source: Bytes, target: Bytes, rows: int, width: int) -> None:
    for row in range(rows):
        s, t = source[row * width : (row + 1) * width], target[row * width : (row + 1) * width]
        for x in range(width):
            t[x] = s[width - 1 - x]


@compiled
def _flip_y(source: Bytes, target: Bytes, height: int, width: int, channels: int) -> None:
    for c in range(channels):
        for y in range(height):
            copy_bytes(target, (c * height + y) * width, source, (c * height + height - 1 - y) * width, width)


@compiled
def _rows(source: Bytes, target: Bytes, slope: int, start: int, height: int, width: int, fill: Bytes) -> None:
    """Row y shows the source from x + ((slope y + start) >> 16) on."""
    for c in range(len(fill)):
        for y in range(height):
            shift = (slope * y + start) >> 16
            row = (c * height + y) * width
            first = min(max(0, -shift), width)
            stop = max(min(width, width - shift), first)
            fill_bytes(target, row, fill[c], first)
            copy_bytes(target, row + first, source, row + first + shift, stop - first)
            fill_bytes(target, row + stop, fill[c], width - stop)


@compiled
def _move_y(source: Bytes, target: Bytes, pixels: int, height: int, width: int, fill: Bytes) -> None:
    first = min(max(0, -pixels), height)
    stop = max(min(height, height - pixels), first)
    for c in range(len(fill)):
        plane = c * height * width
        fill_bytes(target, plane, fill[c], first * width)
        copy_bytes(target, plane + first * width, source, plane + (first + pixels) * width, (stop - first) * width)
        fill_bytes(target, plane + stop * width, fill[c], (height - stop) * width)


@compiled
def _columns(
    source: Bytes,
    target: Bytes,
    slope: int,
    start: int,
    height: int,
    width: int,
    fill: Bytes,
    numbers: npt.NDArray[np.uint32],
) -> None:
    """Column x shows the source from y + ((slope x + start) >> 16) on; neighbours with the same shift form a run."""
    firsts, shifts = numbers[: width + 1], numbers[width + 1 :]
    runs, widest = 0, 0
    for x in range(width):
        shift = (slope * x + start) >> 16
        if runs == 0 or shift != np.int64(np.int32(shifts[runs - 1])):
            firsts[runs], shifts[runs] = np.uint32(x), np.uint32(shift)
            runs += 1
        widest = max(widest, x + 1 - np.int64(firsts[runs - 1]))
    firsts[runs] = np.uint32(width)
    end = len(target) - _CHUNK - width
    for c in range(len(fill)):
        for y in range(height):
            row = (c * height + y) * width
            first, stop = _runs_inside(shifts, runs, y, height)
            left, right = np.int64(firsts[first]), np.int64(firsts[stop])
            fill_bytes(target, row, fill[c], left)
            bottom = row + width * max(np.int64(np.int32(shifts[0])), np.int64(np.int32(shifts[runs - 1])))
            if widest <= _CHUNK and row <= end and bottom <= end:
                for k in range(first, stop):
                    x = np.int64(firsts[k])
                    copy_bytes(target, row + x, source, row + x + np.int64(np.int32(shifts[k])) * width, _CHUNK)
            else:
                for k in range(first, stop):
                    x = np.int64(firsts[k])
                    count = np.int64(firsts[k + 1]) - x
                    copy_bytes(target, row + x, source, row + x + np.int64(np.int32(shifts[k])) * width, count)
            fill_bytes(target, row + right, fill[c], width - right)


@compiled
def _runs_inside(shifts: npt.NDArray[np.uint32], runs: int, y: int, height: int) -> tuple[int, int]:
    """The runs whose source rows exist: neighbours, because shifts only grow or only fall."""
    first, stop = 0, runs
    while first < stop and not 0 <= y + np.int64(np.int32(shifts[first])) < height:
        first += 1
    while stop > first and not 0 <= y + np.int64(np.int32(shifts[stop - 1])) < height:
        stop -= 1
    return first, stop


@compiled
def _affine(
    source: Bytes,
    target: Bytes,
    fixed: tuple[int, int, int, int, int, int],
    height: int,
    width: int,
    fill: Bytes,
) -> None:
    """Target (x, y) shows source ((a x + b y + c) >> 16, (d x + e y + f) >> 16): inside on an interval of each row."""
    a, b, c, d, e, f = fixed
    plane = height * width
    limit_x, limit_y = width * _ONE, height * _ONE
    for y in range(height):
        u, v = b * y + c, e * y + f
        first, stop = 0, width
        while first < stop and not (0 <= a * first + u < limit_x and 0 <= d * first + v < limit_y):
            first += 1
        while stop > first and not (0 <= a * (stop - 1) + u < limit_x and 0 <= d * (stop - 1) + v < limit_y):
            stop -= 1
        for channel in range(len(fill)):
            fill_bytes(target, channel * plane + y * width, fill[channel], first)
            fill_bytes(target, channel * plane + y * width + stop, fill[channel], width - stop)
        u, v = a * first + u, d * first + v
        out = target[y * width + first :]
        if len(fill) == 3:
            _gather_three(source, out, stop - first, u, v, a, d, width, plane)
        else:
            _gather_one(source, out, stop - first, u, v, a, d, width)


@compiled
def _gather_three(
    source: Bytes, target: Bytes, count: int, u: int, v: int, a: int, d: int, width: int, plane: int
) -> None:
    red, green, blue = source[:plane], source[plane : 2 * plane], source[2 * plane :]
    to_red, to_green, to_blue = target, target[plane:], target[2 * plane :]
    for x in range(count):
        at = np.uint64((v >> 16) * width + (u >> 16))
        to_red[x], to_green[x], to_blue[x] = red[at], green[at], blue[at]
        u += a
        v += d


@compiled
def _gather_one(source: Bytes, target: Bytes, count: int, u: int, v: int, a: int, d: int, width: int) -> None:
    for x in range(count):
        target[x] = source[np.uint64((v >> 16) * width + (u >> 16))]
        u += a
        v += d
