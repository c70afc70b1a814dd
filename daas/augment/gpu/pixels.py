"""What happens to the pixels of one image in one slot: measured, made into a look-up table, painted.

The arithmetic is Pillow's, and no compiler may fuse a product and a sum into one rounding where it would show. Nearly
everything is whole numbers. Three places are not: the blends (float32), AutoContrast's table and bilinear geometry
(float64). There each product goes through ``rounded_64``, or its like in 32 bits: its bits plus a zero that only the
caller knows, which no compiler can see through. The kernels are compiled with ``enable_fp_fusion=False`` besides.

An image is a pointer with three strides (channel, row, column); ``LINEAR`` says that rows follow each other, so that
neighbours are read together.
"""

from __future__ import annotations

import triton.language as tl

from daas.augment.gpu import records
from daas.augment.gpu.jit import kernel

_WARP, _BILINEAR = tl.constexpr(records.WARP), tl.constexpr(records.BILINEAR)
_COLOR, _SHARPNESS, _CUTOUT = tl.constexpr(records.COLOR), tl.constexpr(records.SHARPNESS), tl.constexpr(records.CUTOUT)
_EQUALIZE, _AUTOCONTRAST = tl.constexpr(records.EQUALIZE), tl.constexpr(records.AUTOCONTRAST)
_INVERT, _SOLARIZE = tl.constexpr(records.INVERT), tl.constexpr(records.SOLARIZE)
_POSTERIZE, _BRIGHTNESS = tl.constexpr(records.POSTERIZE), tl.constexpr(records.BRIGHTNESS)
_CONTRAST, _FIRST_TABLE = tl.constexpr(records.CONTRAST), tl.constexpr(records.EQUALIZE)


@kernel
def _rounded_32(product, zero):
    return (product.to(tl.int32, bitcast=True) + zero).to(tl.float32, bitcast=True)


@kernel
def rounded_64(product, zero):
    """A product, rounded before anything is added to it."""
    return (product.to(tl.int64, bitcast=True) + zero).to(tl.float64, bitcast=True)


@kernel
def _blended(x, base, factor, zero):
    """``base + factor (x - base)`` in float32, clipped and truncated; x and base are whole numbers."""
    product = _rounded_32(factor * (x - base).to(tl.float32), zero)
    return tl.minimum(tl.maximum(base.to(tl.float32) + product, 0.0), 255.0).to(tl.int32)


@kernel
def _place(at, width, row, column, LINEAR: tl.constexpr):
    """Where pixels lie in a channel."""
    if LINEAR:
        found = at
    else:
        y = at // width
        found = y * row + (at - y * width) * column
    return found


@kernel
def _luma(source, channel, place, inside, CHANNELS: tl.constexpr):
    """ITU-R 601 in Pillow's 16-bit fixed point."""
    red = tl.load(source + place, mask=inside, other=0).to(tl.int32)
    if CHANNELS == 3:
        green = tl.load(source + channel + place, mask=inside, other=0).to(tl.int32)
        blue = tl.load(source + 2 * channel + place, mask=inside, other=0).to(tl.int32)
        red = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    return red


@kernel
def measure(
    source, channel, row, column, record, histogram, total, start, stop, width,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, SHARED: tl.constexpr, LINEAR: tl.constexpr,
):  # fmt: skip
    """Adds what the operation wants to know of pixels ``start`` to ``stop``: a histogram per channel, or all luma.

    ``SHARED``: other programs look at other pixels of the image, and the numbers were 0 before.
    """
    code = tl.load(record)
    if (code == _EQUALIZE) | (code == _AUTOCONTRAST):
        levels = tl.arange(0, 256)
        for c in tl.static_range(CHANNELS):
            counts = tl.zeros([256], tl.int32)
            for first in range(start, stop, BLOCK):
                at = first + tl.arange(0, BLOCK)
                inside = at < stop
                place = _place(at, width, row, column, LINEAR)
                x = tl.load(source + c * channel + place, mask=inside, other=0).to(tl.int32)
                counts += tl.histogram(x, 256, mask=inside)
            if SHARED:
                tl.atomic_add(histogram + c * 256 + levels, counts)
            else:
                tl.store(histogram + c * 256 + levels, counts)
    if code == _CONTRAST:
        sums = tl.zeros([BLOCK], tl.int64)
        for first in range(start, stop, BLOCK):
            at = first + tl.arange(0, BLOCK)
            inside = at < stop
            grey = _luma(source, channel, _place(at, width, row, column, LINEAR), inside, CHANNELS)
            sums += tl.where(inside, grey, 0).to(tl.int64)
        if SHARED:
            tl.atomic_add(total, tl.sum(sums, 0))
        else:
            tl.store(total, tl.sum(sums, 0))


@kernel
def _equalized(counts, levels, size):
    """Pillow's table of whole numbers."""
    last = tl.max(tl.where(counts > 0, levels, 0), 0)
    step = (size - tl.sum(tl.where(levels == last, counts, 0), 0)) // 255
    before = tl.cumsum(counts, 0) - counts
    table = tl.minimum((before + step // 2) // tl.maximum(step, 1), 255)
    return tl.where(step > 0, table, levels)


@kernel
def _stretched(counts, levels, zero):
    """AutoContrast's table, in float64 as Pillow does."""
    low = tl.min(tl.where(counts > 0, levels, 255), 0)
    high = tl.max(tl.where(counts > 0, levels, 0), 0)
    scale = tl.full([256], 255.0, tl.float64) / tl.maximum(high - low, 1).to(tl.float64)
    offset = rounded_64(low.to(tl.float64) * scale, zero)
    product = rounded_64(levels.to(tl.float64) * scale, zero)
    table = tl.minimum(tl.maximum(product - offset, 0.0), 255.0).to(tl.int32)
    return tl.where(high > low, table, levels)


@kernel
def tabulate(record, table, histogram, total, size, zero, CHANNELS: tl.constexpr):
    """Writes the look-up table of an operation that is one: 256 levels per channel."""
    code = tl.load(record)
    word = tl.load(record + 1).to(tl.int32)
    levels = tl.arange(0, 256)
    if code >= _FIRST_TABLE:
        for c in tl.static_range(CHANNELS):
            found = levels
            if (code == _EQUALIZE) | (code == _AUTOCONTRAST):
                counts = tl.load(histogram + c * 256 + levels)
                found = _equalized(counts, levels, size)
                if code == _AUTOCONTRAST:
                    found = _stretched(counts, levels, zero)
            if code == _INVERT:
                found = 255 - levels
            if code == _SOLARIZE:
                found = tl.where(levels >= word, 255 - levels, levels)
            if code == _POSTERIZE:
                found = levels & word
            if (code == _BRIGHTNESS) | (code == _CONTRAST):
                mean = tl.load(total)
                mean = ((2 * mean + size) // (2 * size)).to(tl.int32)  # rounded, half upwards
                base = tl.where(code == _CONTRAST, mean, 0) + tl.zeros([256], tl.int32)
                found = _blended(levels, base, word.to(tl.float32, bitcast=True), zero)
            tl.store(table + c * 256 + levels, found.to(tl.uint8))


@kernel
def _give(target, level, mask, constants, c, CHANNELS: tl.constexpr, NORMALIZE: tl.constexpr):
    """Levels into an image of bytes, or ``(x - shift) * factor`` into one of any float type."""
    if NORMALIZE:
        shift = tl.load(constants + 2 * CHANNELS + c).to(tl.int32).to(tl.float32, bitcast=True)
        factor = tl.load(constants + 3 * CHANNELS + c).to(tl.int32).to(tl.float32, bitcast=True)
        tl.store(target, ((level.to(tl.float32) - shift) * factor).to(target.dtype.element_ty), mask=mask)
    else:
        tl.store(target, level.to(tl.uint8), mask=mask)


@kernel
def _level(source, inside):
    return tl.load(source, mask=inside, other=0).to(tl.float64)


@kernel
def _bilinear(
    source, channel, row, column, target, other, there, record, constants, x, y, here, height, width, zero,
    CHANNELS: tl.constexpr, NORMALIZE: tl.constexpr,
):  # fmt: skip
    """Pillow's bilinear transform, in float64; a source outside of the image is the fill, as a whole."""
    a, b = tl.load(record + 1).to(tl.float64, bitcast=True), tl.load(record + 2).to(tl.float64, bitcast=True)
    c, d = tl.load(record + 3).to(tl.float64, bitcast=True), tl.load(record + 4).to(tl.float64, bitcast=True)
    e, f = tl.load(record + 5).to(tl.float64, bitcast=True), tl.load(record + 6).to(tl.float64, bitcast=True)
    px, py = x.to(tl.float64) + 0.5, y.to(tl.float64) + 0.5
    u = rounded_64(a * px, zero) + rounded_64(b * py, zero) + c
    v = rounded_64(d * px, zero) + rounded_64(e * py, zero) + f
    inside = here & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v = tl.where(inside, u, 0.5) - 0.5, tl.where(inside, v, 0.5) - 0.5
    left, top = tl.floor(u), tl.floor(v)
    du, dv = u - left, v - top
    x0, y0 = left.to(tl.int32), top.to(tl.int32)
    x1, y1 = tl.minimum(x0 + 1, width - 1) * column, tl.minimum(y0 + 1, height - 1) * row
    x0, y0 = tl.maximum(x0, 0) * column, tl.maximum(y0, 0) * row
    for number in tl.static_range(CHANNELS):
        plane = source + number * channel
        first, second = _level(plane + y0 + x0, inside), _level(plane + y0 + x1, inside)
        above = first + rounded_64((second - first) * du, zero)
        first, second = _level(plane + y1 + x0, inside), _level(plane + y1 + x1, inside)
        below = first + rounded_64((second - first) * du, zero)
        mixed = (above + rounded_64((below - above) * dv, zero)).to(tl.int32)
        mixed = tl.where(inside, mixed, tl.load(constants + number).to(tl.int32))
        _give(target + number * other + there, mixed, here, constants, number, CHANNELS, NORMALIZE)


@kernel
def _sharpened(plane, level, place, row, column, inner, factor, zero):
    """Away from Pillow's 3 x 3 filter (centre 5, neighbours 1, over 13, rounded); the border stays."""
    summed = 4 * level
    for dy in tl.static_range(3):
        for dx in tl.static_range(3):
            near = plane + place + (dy - 1) * row + (dx - 1) * column
            summed += tl.load(near, mask=inner, other=0).to(tl.int32)
    smooth = (2 * summed + 13) // 26
    return tl.where(inner, _blended(level, smooth, factor, zero), level)


@kernel
def paint(
    source, channel, row, column, target, other, down, right, record, table, constants, start, stop, height, width,
    zero, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, LINEAR: tl.constexpr, TO_LINEAR: tl.constexpr,
    NORMALIZE: tl.constexpr,
):  # fmt: skip
    """Applies the operation to pixels ``start`` to ``stop``; the source is whole, and another one than the target."""
    code = tl.load(record)
    factor = tl.load(record + 1).to(tl.int32).to(tl.float32, bitcast=True)
    for first in range(start, stop, BLOCK):
        at = first + tl.arange(0, BLOCK)
        here = at < stop
        y = at // width
        x = at - y * width
        there = _place(at, width, down, right, TO_LINEAR)
        if code == _BILINEAR:
            _bilinear(
                source, channel, row, column, target, other, there, record, constants, x, y, here, height, width, zero,
                CHANNELS, NORMALIZE,
            )  # fmt: skip
        elif code == _WARP:
            u = (tl.load(record + 1) * x + tl.load(record + 2) * y + tl.load(record + 3)) >> 16
            v = (tl.load(record + 4) * x + tl.load(record + 5) * y + tl.load(record + 6)) >> 16
            inside = here & (u >= 0) & (u < width) & (v >= 0) & (v < height)
            place = v.to(tl.int32) * row + u.to(tl.int32) * column
            for c in tl.static_range(CHANNELS):
                level = tl.load(source + c * channel + place, mask=inside, other=0).to(tl.int32)
                level = tl.where(inside, level, tl.load(constants + c).to(tl.int32))
                _give(target + c * other + there, level, here, constants, c, CHANNELS, NORMALIZE)
        else:
            place = _place(at, width, row, column, LINEAR)
            grey = _luma(source, channel, place, here, CHANNELS)
            left, top = tl.load(record + 1), tl.load(record + 2)
            last, bottom = tl.load(record + 3), tl.load(record + 4)
            boxed = (x >= left) & (x <= last) & (y >= top) & (y <= bottom)
            inner = here & (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
            for c in tl.static_range(CHANNELS):
                level = tl.load(source + c * channel + place, mask=here, other=0).to(tl.int32)
                if code >= _FIRST_TABLE:
                    level = tl.load(table + c * 256 + level, mask=here, other=0).to(tl.int32)
                if code == _COLOR:
                    level = _blended(level, grey, factor, zero)
                if code == _SHARPNESS:
                    level = _sharpened(source + c * channel, level, place, row, column, inner, factor, zero)
                if code == _CUTOUT:
                    level = tl.where(boxed, tl.load(constants + CHANNELS + c).to(tl.int32), level)
                _give(target + c * other + there, level, here, constants, c, CHANNELS, NORMALIZE)
