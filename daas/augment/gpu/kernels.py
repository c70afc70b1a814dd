"""The kernels: an image in one program, or in many where it is large.

The first slot reads the images and the last one writes the output, normalised where that is asked for; between two
slots an image lies in ``scratch``, of which slots use two halves in turn. Where one program does all of it scratch
stays in the cache, and a barrier stands between what is written and what is read.
"""

from __future__ import annotations

import triton.language as tl

from daas.augment.gpu.jit import kernel
from daas.augment.gpu.pixels import measure, paint, tabulate


@kernel
def _half(scratch, image, size, slot, CHANNELS: tl.constexpr):
    """Where a slot leaves an image for the next one."""
    return scratch + (image * 2 + slot % 2) * size * CHANNELS


@kernel
def _measure(
    images, sc, sh, sw, scratch, record, histogram, total, image, start, stop, size, width,
    SLOT: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, SHARED: tl.constexpr, LINEAR: tl.constexpr,
):  # fmt: skip
    """``pixels.measure`` of what a slot reads."""
    if SLOT == 0:
        measure(
            images, sc, sh, sw, record, histogram, total, start, stop, width, CHANNELS, BLOCK, SHARED, LINEAR
        )  # fmt: skip
    else:
        source = _half(scratch, image, size, SLOT - 1, CHANNELS)
        measure(
            source, size, width, 1, record, histogram, total, start, stop, width, CHANNELS, BLOCK, SHARED, True
        )  # fmt: skip


@kernel
def _paint(
    images, sc, sh, sw, out, oc, oh, ow, scratch, record, table, constants, image, start, stop, size, height, width,
    zero, SLOT: tl.constexpr, SLOTS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, LINEAR: tl.constexpr,
    TO_LINEAR: tl.constexpr, NORMALIZE: tl.constexpr,
):  # fmt: skip
    """``pixels.paint`` from where a slot reads to where it writes."""
    before, after = _half(scratch, image, size, SLOT + 1, CHANNELS), _half(scratch, image, size, SLOT, CHANNELS)
    if SLOT == 0 and SLOTS == 1:
        paint(
            images, sc, sh, sw, out, oc, oh, ow, record, table, constants, start, stop, height, width, zero,
            CHANNELS, BLOCK, LINEAR, TO_LINEAR, NORMALIZE,
        )  # fmt: skip
    elif SLOT == 0:
        paint(
            images, sc, sh, sw, after, size, width, 1, record, table, constants, start, stop, height, width, zero,
            CHANNELS, BLOCK, LINEAR, True, False,
        )  # fmt: skip
    elif SLOT == SLOTS - 1:
        paint(
            before, size, width, 1, out, oc, oh, ow, record, table, constants, start, stop, height, width, zero,
            CHANNELS, BLOCK, True, TO_LINEAR, NORMALIZE,
        )  # fmt: skip
    else:
        paint(
            before, size, width, 1, after, size, width, 1, record, table, constants, start, stop, height, width, zero,
            CHANNELS, BLOCK, True, True, False,
        )  # fmt: skip


@kernel
def whole(
    images, sb, sc, sh, sw, out, ob, oc, oh, ow, scratch, words, table, histogram, total, constants, height, width,
    zero, SLOTS: tl.constexpr, WORDS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, LINEAR: tl.constexpr,
    TO_LINEAR: tl.constexpr, NORMALIZE: tl.constexpr,
):  # fmt: skip
    """All slots of one image per program."""
    image = tl.program_id(0).to(tl.int64)
    size = height * width
    images += image * sb
    out += image * ob
    table += image * 256 * CHANNELS
    histogram += image * 256 * CHANNELS
    total += image
    words += image * SLOTS * WORDS
    for slot in tl.static_range(SLOTS):
        record = words + slot * WORDS
        _measure(
            images, sc, sh, sw, scratch, record, histogram, total, image, 0, size, size, width, slot, CHANNELS, BLOCK,
            False, LINEAR,
        )  # fmt: skip
        tl.debug_barrier()
        tabulate(record, table, histogram, total, size, zero, CHANNELS)
        tl.debug_barrier()
        _paint(
            images, sc, sh, sw, out, oc, oh, ow, scratch, record, table, constants, image, 0, size, size, height, width,
            zero, slot, SLOTS, CHANNELS, BLOCK, LINEAR, TO_LINEAR, NORMALIZE,
        )  # fmt: skip
        tl.debug_barrier()


@kernel
def look(
    images, sb, sc, sh, sw, words, histogram, total, height, width, SLOTS: tl.constexpr, WORDS: tl.constexpr,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr, LINEAR: tl.constexpr,
):  # fmt: skip
    """The statistics of a tile for the first slot, added to those of its image."""
    image = tl.program_id(0).to(tl.int64)
    size, number = height * width, image * SLOTS
    start = tl.program_id(1) * TILE
    measure(
        images + image * sb, sc, sh, sw, words + number * WORDS, histogram + number * 256 * CHANNELS, total + number,
        start, tl.minimum(start + TILE, size), width, CHANNELS, BLOCK, True, LINEAR,
    )  # fmt: skip


@kernel
def work(
    images, sb, sc, sh, sw, out, ob, oc, oh, ow, scratch, words, table, histogram, total, constants, height, width,
    zero, SLOT: tl.constexpr, SLOTS: tl.constexpr, WORDS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
    TILE: tl.constexpr, LINEAR: tl.constexpr, TO_LINEAR: tl.constexpr, NORMALIZE: tl.constexpr,
):  # fmt: skip
    """One slot on a tile, and the statistics of what came out for the next one."""
    image = tl.program_id(0).to(tl.int64)
    size, number = height * width, image * SLOTS + SLOT
    start = tl.program_id(1) * TILE
    stop = tl.minimum(start + TILE, size)
    images += image * sb
    out += image * ob
    table += (image * tl.num_programs(1) + tl.program_id(1)) * 256 * CHANNELS
    histogram += number * 256 * CHANNELS
    total += number
    record = words + number * WORDS
    tabulate(record, table, histogram, total, size, zero, CHANNELS)
    tl.debug_barrier()
    _paint(
        images, sc, sh, sw, out, oc, oh, ow, scratch, record, table, constants, image, start, stop, size, height, width,
        zero, SLOT, SLOTS, CHANNELS, BLOCK, LINEAR, TO_LINEAR, NORMALIZE,
    )  # fmt: skip
    if SLOT + 1 < SLOTS:
        tl.debug_barrier()
        _measure(
            images, sc, sh, sw, scratch, record + WORDS, histogram + 256 * CHANNELS, total + 1, image, start, stop,
            size, width, SLOT + 1, CHANNELS, BLOCK, True, LINEAR,
        )  # fmt: skip
