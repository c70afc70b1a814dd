"""Contrast's grey level, Color and Sharpness: the enhancements that look at more than one value."""

from __future__ import annotations

import math

import numpy as np

from daas.augment.cpu.jit import Bytes, compiled
from daas.augment.cpu.memory import copy_bytes
from daas.augment.cpu.point import level


@compiled
def _luma(r: np.uint8, g: np.uint8, b: np.uint8) -> np.float32:
    """ITU-R 601 in Pillow's 16-bit fixed point; all numbers are whole and below 2 ** 24, so float32 is exact."""
    total = np.float32(19595.0) * np.float32(r) + np.float32(38470.0) * np.float32(g)
    total += np.float32(7471.0) * np.float32(b) + np.float32(32768.0)
    grey: np.float32 = np.float32(np.int32(total * np.float32(1.0 / 65536.0)))
    return grey


@compiled
def mean_grey(source: Bytes, channels: int) -> float:
    """The mean luma of an image, rounded to a whole level."""
    total = np.int64(0)
    size = len(source) // channels
    if channels == 1:
        for i in range(size):
            total += np.int64(source[i])
    else:
        r, g, b = source[:size], source[size : 2 * size], source[2 * size :]
        for i in range(size):
            total += np.int64(_luma(r[i], g[i], b[i]))
    return float(math.floor(total / size + 0.5))


@compiled
def color(source: Bytes, target: Bytes, factor: float, channels: int) -> None:
    """Interpolates between the grey image and the image."""
    if channels == 1:
        copy_bytes(target, 0, source, 0, len(source))
        return
    slope = np.float32(factor)
    size = len(source) // 3
    r, g, b = source[:size], source[size : 2 * size], source[2 * size :]
    red, green, blue = target[:size], target[size : 2 * size], target[2 * size :]
    for i in range(size):
        grey = _luma(r[i], g[i], b[i])
        red[i] = level(grey + slope * (np.float32(r[i]) - grey))
        green[i] = level(grey + slope * (np.float32(g[i]) - grey))
        blue[i] = level(grey + slope * (np.float32(b[i]) - grey))


@compiled
def sharpness(source: Bytes, target: Bytes, factor: float, channels: int, height: int, width: int) -> None:
    """Interpolates between the image under Pillow's 3 x 3 smoothing filter and the image; the border stays."""
    if height < 3 or width < 3:
        copy_bytes(target, 0, source, 0, len(source))
        return
    size = height * width
    for c in range(channels):
        s, t = source[c * size : (c + 1) * size], target[c * size : (c + 1) * size]
        _sharpen_inner(s, t, np.float32(factor), width)
        t[:width] = s[:width]
        t[size - width :] = s[size - width :]
        for y in range(1, height - 1):
            t[y * width] = s[y * width]
            t[y * width + width - 1] = s[y * width + width - 1]


@compiled
def _sharpen_inner(s: Bytes, t: Bytes, slope: np.float32, width: int) -> None:
    """All rows but the first and the last as one run; what this writes into the border is put right afterwards."""
    count = len(s) - 2 * width - 2
    above, same, below = s[:-1], s[width:], s[2 * width :]
    out = t[width + 1 :]
    for i in range(count):
        total = np.int32(above[i]) + np.int32(above[i + 1]) + np.int32(above[i + 2])
        total += np.int32(below[i]) + np.int32(below[i + 1]) + np.int32(below[i + 2])
        total += np.int32(same[i]) + np.int32(same[i + 2])
        x = np.int32(same[i + 1])
        # floor((2 n + 13) / 26), n <= 3315, by a multiplication
        smooth = np.int32(np.int32((2 * (total + 5 * x) + 13) * 20165) >> 19)
        base = np.float32(smooth)
        out[i] = level(base + slope * (np.float32(x) - base))
