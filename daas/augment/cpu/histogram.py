"""AutoContrast and Equalize as look-up tables of one image, and the histogram that they need."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from daas.augment.cpu.jit import Bytes, compiled


@compiled
def autocontrast_lut(source: Bytes, lut: Bytes, channels: int) -> bool:
    """Stretches each channel to the full range (in float64, as ``PIL.ImageOps.autocontrast`` does).

    Returns:
        False where all channels are constant: nothing to do, and ``lut`` is not written.
    """
    size = len(source) // channels
    changes = False
    for c in range(channels):
        low, high = _range(source[c * size : (c + 1) * size])
        table = lut[256 * c : 256 * c + 256]
        if high <= low:
            for i in range(256):
                table[i] = np.uint8(i)
        else:
            changes = True
            scale = 255.0 / (high - low)
            offset = -low * scale
            for i in range(256):
                table[i] = np.uint8(np.int32(min(max(np.float64(i) * scale + offset, 0.0), 255.0)))
    return changes


@compiled
def _range(source: Bytes) -> tuple[float, float]:
    low, high = np.uint8(255), np.uint8(0)
    for i in range(len(source)):
        x = source[i]
        low = x if x < low else low
        high = x if x > high else high
    return float(low), float(high)


@compiled
def equalize_lut(source: Bytes, lut: Bytes, counts: npt.NDArray[np.uint32], channels: int) -> None:
    """Flattens the histogram of each channel by the integer arithmetic of ``PIL.ImageOps.equalize``.

    Args:
        source: One image.
        lut: 256 entries per channel.
        counts: Scratch, 1024 entries.
        channels: Of the image.
    """
    size = len(source) // channels
    for c in range(channels):
        _histogram(source[c * size : (c + 1) * size], counts)
        table = lut[256 * c : 256 * c + 256]
        last = 255
        while counts[last] == 0:
            last -= 1
        step = (size - counts[last]) // 255
        if step == 0:
            for i in range(256):
                table[i] = np.uint8(i)
            continue
        before = step // 2
        for i in range(256):
            count = counts[i]
            counts[i] = before
            before += count
        # A quotient of whole numbers below 2 ** 53 has the right floor in float64.
        divisor = np.float64(step)
        for i in range(256):
            table[i] = np.uint8(np.int32(min(np.float64(counts[i]) / divisor, 255.0)))


@compiled
def _histogram(source: Bytes, counts: npt.NDArray[np.uint32]) -> None:
    """Counts into four tables in turn, so that equal neighbours do not wait for each other; the first is the sum."""
    counts[:] = 0
    a, b, c, d = counts[:256], counts[256:512], counts[512:768], counts[768:1024]
    whole = len(source) // 4 * 4
    for i in range(0, whole, 4):
        a[source[i]] += 1
        b[source[i + 1]] += 1
        c[source[i + 2]] += 1
        d[source[i + 3]] += 1
    for i in range(whole, len(source)):
        a[source[i]] += 1
    for i in range(256):
        a[i] += b[i] + c[i] + d[i]
