"""The kernels: an image in one program, or in many where it is large.

Between two slots an image lies in ``scratch``, twice: a slot reads one and writes the other. Where one program does all
of it these stay in the cache, and a barrier stands between what is written and what is read.
"""

from __future__ import annotations

import triton.language as tl

from daas.augment.gpu.jit import kernel
from daas.augment.gpu.pixels import measure, paint, tabulate


@kernel
def _take(
    images, target, sb, sc, sh, sw, image, start, stop, height, width, CHANNELS: tl.constexpr, BLOCK: tl.constexpr
):
    """An image of any layout, into scratch."""
    for first in range(start, stop, BLOCK):
        at = first + tl.arange(0, BLOCK)
        here = at < stop
        place = image * sb + (at // width).to(tl.int64) * sh + (at % width).to(tl.int64) * sw
        for c in tl.static_range(CHANNELS):
            level = tl.load(images + place + c * sc, mask=here, other=0)
            tl.store(target + c * height * width + at, level, mask=here)


@kernel
def _give(
    source,
    out,
    constants,
    ob,
    oc,
    oh,
    ow,
    image,
    start,
    stop,
    height,
    width,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    NORMALIZE: tl.constexpr,
):
    """Out of scratch, into any layout: bytes, or ``(x - shift) * factor`` of any float type."""
    for first in range(start, stop, BLOCK):
        at = first + tl.arange(0, BLOCK)
        here = at < stop
        place = image * ob + (at // width).to(tl.int64) * oh + (at % width).to(tl.int64) * ow
        for c in tl.static_range(CHANNELS):
            level = tl.load(source + c * height * width + at, mask=here, other=0)
            if NORMALIZE:
                shift = tl.load(constants + 2 * CHANNELS + c).to(tl.int32).to(tl.float32, bitcast=True)
                factor = tl.load(constants + 3 * CHANNELS + c).to(tl.int32).to(tl.float32, bitcast=True)
                value = (level.to(tl.float32) - shift) * factor
                tl.store(out + place + c * oc, value.to(out.dtype.element_ty), mask=here)
            else:
                tl.store(out + place + c * oc, level, mask=here)


@kernel
def whole(
    images,
    out,
    scratch,
    words,
    constants,
    table,
    histogram,
    total,
    sb,
    sc,
    sh,
    sw,
    ob,
    oc,
    oh,
    ow,
    slots,
    height,
    width,
    zero,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    NORMALIZE: tl.constexpr,
    WORDS: tl.constexpr,
):
    """All slots of one image per program."""
    image = tl.program_id(0).to(tl.int64)
    size = height * width
    plane = size * CHANNELS
    scratch += image * 2 * plane
    table += image * 256 * CHANNELS
    histogram += image * 256 * CHANNELS
    total += image
    words += image * slots * WORDS
    _take(images, scratch, sb, sc, sh, sw, image, 0, size, height, width, CHANNELS, BLOCK)
    for slot in range(slots):
        source = scratch + (slot % 2) * plane
        target = scratch + (1 - slot % 2) * plane
        record = words + slot * WORDS
        tl.debug_barrier()
        measure(source, record, histogram, total, 0, size, size, CHANNELS, BLOCK, False)
        tl.debug_barrier()
        tabulate(record, table, histogram, total, size, zero, CHANNELS)
        tl.debug_barrier()
        paint(source, target, record, table, constants, 0, size, height, width, zero, CHANNELS, BLOCK)
    tl.debug_barrier()
    _give(
        scratch + (slots % 2) * plane,
        out,
        constants,
        ob,
        oc,
        oh,
        ow,
        image,
        0,
        size,
        height,
        width,
        CHANNELS,
        BLOCK,
        NORMALIZE,
    )


@kernel
def take(
    images, scratch, sb, sc, sh, sw, height, width, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr
):
    """A tile of one image per program, into scratch."""
    image = tl.program_id(0).to(tl.int64)
    size = height * width
    start = tl.program_id(1) * TILE
    _take(
        images,
        scratch + image * 2 * size * CHANNELS,
        sb,
        sc,
        sh,
        sw,
        image,
        start,
        tl.minimum(start + TILE, size),
        height,
        width,
        CHANNELS,
        BLOCK,
    )


@kernel
def look(
    scratch,
    words,
    histogram,
    total,
    slot,
    slots,
    height,
    width,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    WORDS: tl.constexpr,
):
    """The statistics of a tile, added to those of its image and slot."""
    image = tl.program_id(0).to(tl.int64)
    size = height * width
    start = tl.program_id(1) * TILE
    number = image * slots + slot
    source = scratch + (image * 2 + slot % 2) * size * CHANNELS
    measure(
        source,
        words + number * WORDS,
        histogram + number * 256 * CHANNELS,
        total + number,
        start,
        tl.minimum(start + TILE, size),
        size,
        CHANNELS,
        BLOCK,
        True,
    )


@kernel
def make(words, table, histogram, total, slot, slots, size, zero, CHANNELS: tl.constexpr, WORDS: tl.constexpr):
    """The look-up table of one image per program."""
    image = tl.program_id(0).to(tl.int64)
    number = image * slots + slot
    tabulate(
        words + number * WORDS,
        table + image * 256 * CHANNELS,
        histogram + number * 256 * CHANNELS,
        total + number,
        size,
        zero,
        CHANNELS,
    )


@kernel
def work(
    scratch,
    words,
    constants,
    table,
    slot,
    slots,
    height,
    width,
    zero,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    WORDS: tl.constexpr,
):
    """One slot on a tile."""
    image = tl.program_id(0).to(tl.int64)
    size = height * width
    start = tl.program_id(1) * TILE
    source = scratch + (image * 2 + slot % 2) * size * CHANNELS
    target = scratch + (image * 2 + 1 - slot % 2) * size * CHANNELS
    paint(
        source,
        target,
        words + (image * slots + slot) * WORDS,
        table + image * 256 * CHANNELS,
        constants,
        start,
        tl.minimum(start + TILE, size),
        height,
        width,
        zero,
        CHANNELS,
        BLOCK,
    )


@kernel
def give(
    scratch,
    out,
    constants,
    ob,
    oc,
    oh,
    ow,
    slots,
    height,
    width,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    NORMALIZE: tl.constexpr,
):
    """A tile out of scratch."""
    image = tl.program_id(0).to(tl.int64)
    size = height * width
    start = tl.program_id(1) * TILE
    _give(
        scratch + (image * 2 + slots % 2) * size * CHANNELS,
        out,
        constants,
        ob,
        oc,
        oh,
        ow,
        image,
        start,
        tl.minimum(start + TILE, size),
        height,
        width,
        CHANNELS,
        BLOCK,
        NORMALIZE,
    )
