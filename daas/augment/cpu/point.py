"""Operations that map each value on its own. They run on an image, or just as well on a look-up table.

All functions take flat buffers of one image, channel after channel; ``target`` is never ``source``: where the two may
overlap, the compiler gives up on vector instructions.
"""

from __future__ import annotations

import numpy as np

from daas.augment.cpu.jit import Bytes, Floats, compiled
from daas.augment.cpu.memory import copy_bytes


@compiled
def invert(source: Bytes, target: Bytes) -> None:
    """255 - x."""
    for i in range(len(source)):
        target[i] = np.uint8(255) ^ source[i]


@compiled
def solarize(source: Bytes, target: Bytes, threshold: float) -> None:
    """Inverts what reaches the threshold."""
    if threshold > 255.0:
        copy_bytes(target, 0, source, 0, len(source))
        return
    first = np.uint8(max(0.0, np.ceil(threshold)))
    for i in range(len(source)):
        x = source[i]
        target[i] = x if x < first else np.uint8(255) ^ x


@compiled
def posterize(source: Bytes, target: Bytes, bits: int) -> None:
    """Keeps the highest bits."""
    mask = np.uint8((255 << (8 - bits)) & 255)
    for i in range(len(source)):
        target[i] = source[i] & mask


@compiled
def blend(source: Bytes, target: Bytes, base: float, factor: float) -> None:
    """``base + factor * (x - base)`` in float32, clipped and truncated: Brightness (base 0) and Contrast (the mean)."""
    origin, slope = np.float32(base), np.float32(factor)
    for i in range(len(source)):
        x = np.float32(source[i])
        target[i] = level(origin + slope * (x - origin))


@compiled
def level(x: np.float32) -> np.uint8:
    """Clips to 0..255 and truncates."""
    clipped: np.uint8 = np.uint8(np.int32(min(max(x, np.float32(0.0)), np.float32(255.0))))
    return clipped


@compiled
def look_up(source: Bytes, target: Bytes, lut: Bytes, channels: int) -> None:
    """Maps each channel through its 256 entries of ``lut``."""
    size = len(source) // channels
    for c in range(channels):
        table = lut[256 * c : 256 * c + 256]
        s, t = source[c * size : (c + 1) * size], target[c * size : (c + 1) * size]
        for i in range(size):
            t[i] = table[s[i]]


@compiled
def normalize(source: Bytes, target: Floats, shift: Floats, scale: Floats) -> None:
    """``(x - shift) * scale``, per channel."""
    channels = len(shift)
    size = len(source) // channels
    for c in range(channels):
        s, t = source[c * size : (c + 1) * size], target[c * size : (c + 1) * size]
        a, b = shift[c], scale[c]
        for i in range(size):
            t[i] = (np.float32(s[i]) - a) * b


@compiled
def look_up_normalized(source: Bytes, target: Floats, lut: Bytes, table: Floats, shift: Floats, scale: Floats) -> None:
    """``look_up`` and ``normalize`` in one pass; ``table`` is scratch for 256 entries per channel."""
    channels = len(shift)
    normalize(lut, table, shift, scale)
    size = len(source) // channels
    for c in range(channels):
        floats = table[256 * c : 256 * c + 256]
        s, t = source[c * size : (c + 1) * size], target[c * size : (c + 1) * size]
        for i in range(size):
            t[i] = floats[s[i]]
