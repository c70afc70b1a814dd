"""The kernels before the pixels: a draw from a counter, and what the other kernels need to know of a draw.

``drawn`` is ``daas.augment.counter.sample`` in one launch; ``recorded`` writes the eight words per image and slot that
``daas.augment.gpu.records`` names. Products that a sum follows go through ``rounded_64``, as in ``pixels``.
"""

from __future__ import annotations

import triton.language as tl

from daas.augment.affine import OFFSETS, ZOOMS
from daas.augment.counter import CHANCE, CHOICES
from daas.augment.gpu import records
from daas.augment.gpu.jit import general, kernel
from daas.augment.gpu.pixels import rounded_64
from daas.augment.space import INDEX

_CHOICES, _CHANCE = tl.constexpr(CHOICES), tl.constexpr(CHANCE)
_WARP, _BILINEAR, _CUTOUT = (tl.constexpr(code) for code in (records.WARP, records.BILINEAR, records.CUTOUT))
_SOLARIZE, _POSTERIZE = tl.constexpr(records.SOLARIZE), tl.constexpr(records.POSTERIZE)
_ROTATE, _ROT90, _GRAYSCALE = (tl.constexpr(INDEX[name]) for name in ("Rotate", "Rot90", "Grayscale"))
_SHEAR_X, _SHEAR_Y = tl.constexpr(INDEX["ShearX"]), tl.constexpr(INDEX["ShearY"])
_MOVE_X, _MOVE_Y = tl.constexpr(INDEX["TranslateX"]), tl.constexpr(INDEX["TranslateY"])
_FLIP_X, _FLIP_Y, _CROP = (tl.constexpr(INDEX[name]) for name in ("HFlip", "VFlip", "Crop"))
_ZOOMS, _OFFSETS = tl.constexpr(ZOOMS), tl.constexpr(OFFSETS)
_RADIAN = tl.constexpr(0.017453292519943295)
_EVEN = tl.constexpr(6755399441055744.0)
"""1.5 * 2 ** 52: what is added to it and taken off again is rounded to a whole number, halves to the even one."""


@kernel
def _words(image, step, seed, block):
    """The four words of a block of an image: [BLOCK] uint32 each (``counter.philox``)."""
    none = image * 0
    low, high = (none + step).to(tl.uint32), (none + (step >> 32)).to(tl.uint32)
    return tl.philox(seed, image.to(tl.uint32), low, high, (none + block).to(tl.uint32))


@kernel
def _word(image, step, seed, place, number: tl.constexpr):
    """One word of an image, [BLOCK] int64: number 0, 1, ... from a place on."""
    first, second, third, fourth = _words(image, step, seed, place + number // 4)
    found = first
    if number % 4 == 1:
        found = second
    if number % 4 == 2:
        found = third
    if number % 4 == 3:
        found = fourth
    return found.to(tl.int64)


@general("seed", "step", "first", "count")
def drawn(
    op_out, value_out, center_out, op, threshold, value, signed, ends, seed, step, first, count, others, chance,
    SLOTS: tl.constexpr, HALVINGS: tl.constexpr, STEP_LIES_THERE: tl.constexpr, SHARED_CHOICE: tl.constexpr,
    SHARED_ALL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A draw: a block of images per program.

    The policy is ``counter.Tables``: op, threshold, value and signed of [N, SLOTS], ``others`` ends. ``step`` is a
    number, or where one lies (``STEP_LIES_THERE``).
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = at < count
    now = tl.zeros([], tl.int64) + (tl.load(step) if STEP_LIES_THERE else step)
    key = tl.zeros([], tl.int64) + seed
    image = first + at.to(tl.int64)
    choosing = image * 0 if SHARED_CHOICE or SHARED_ALL else image
    chancing = image * 0 if SHARED_ALL else image
    word = _word(choosing, now, key, _CHOICES, 0)
    row = at * 0
    for halving in tl.static_range(HALVINGS):  # how many ends lie at or below the word
        ahead = row + (1 << (HALVINGS - 1 - halving))
        end = tl.load(ends + ahead - 1, mask=here & (ahead <= others), other=0)
        row = tl.where((ahead <= others) & (end <= word), ahead, row)
    augmented = _word(chancing, now, key, _CHANCE, 3 * SLOTS) < chance
    for slot in tl.static_range(SLOTS):
        entry, out = row * SLOTS + slot, at * SLOTS + slot
        chosen = tl.load(op + entry, mask=here, other=-1)
        below = _word(choosing, now, key, _CHOICES, 1 + slot) < tl.load(threshold + entry, mask=here, other=0)
        kept = below & (chosen >= 0) & augmented
        magnitude = tl.load(value + entry, mask=here, other=0.0)
        turned = _word(chancing, now, key, _CHANCE, 3 * slot) < (1 << 31)
        negative = turned & (tl.load(signed + entry, mask=here, other=0) != 0)
        magnitude = tl.where(kept, tl.where(negative, -magnitude, magnitude), 0.0)
        tl.store(op_out + out, tl.where(kept, chosen, -1), mask=here)
        tl.store(value_out + out, magnitude, mask=here)
        x = _word(chancing, now, key, _CHANCE, 3 * slot + 1).to(tl.float64) * (1.0 / (1 << 32))
        y = _word(chancing, now, key, _CHANCE, 3 * slot + 2).to(tl.float64) * (1.0 / (1 << 32))
        tl.store(center_out + 2 * out, x, mask=here)
        tl.store(center_out + 2 * out + 1, y, mask=here)


@kernel
def _to_15_digits(x, zero):
    return (rounded_64(x * 1e15, zero) + _EVEN - _EVEN) / 1e15


@kernel
def _offset(center, zoom, size):
    """Where a crop begins, in pixels of one side."""
    return tl.floor(center * (1.0 - zoom) * size * _OFFSETS) / _OFFSETS


@kernel
def _map(op, value, x, y, height, width, zero):
    """The affine map of ``daas.augment.affine``, in pixels; the identity for what has none: six of [BLOCK] float64."""
    quarters = tl.floor(tl.abs(value) + 0.5) * 90.0
    turn = tl.where(op == _ROT90, tl.where(value < 0, -quarters, quarters), value)
    angle = -turn * _RADIAN
    cos, sin = _to_15_digits(tl.cos(angle), zero), _to_15_digits(tl.sin(angle), zero)
    turns, crops = (op == _ROTATE) | (op == _ROT90), op == _CROP
    zoom = tl.floor((1.0 - value) * _ZOOMS + 0.5) / _ZOOMS
    a = tl.where(turns, cos, tl.where(op == _FLIP_X, -1.0, tl.where(crops, zoom, 1.0)))
    e = tl.where(turns, cos, tl.where(op == _FLIP_Y, -1.0, tl.where(crops, zoom, 1.0)))
    b = tl.where(turns, sin, tl.where(op == _SHEAR_X, value, 0.0))
    d = tl.where(turns, -sin, tl.where(op == _SHEAR_Y, value, 0.0))
    half_x, half_y = width / 2.0, height / 2.0
    c = rounded_64(cos * -half_x, zero) + rounded_64(sin * -half_y, zero) + half_x
    f = rounded_64(-sin * -half_x, zero) + rounded_64(cos * -half_y, zero) + half_y
    c = tl.where(turns, c, tl.where(op == _MOVE_X, value * width, tl.where(op == _FLIP_X, width, 0.0)))
    f = tl.where(turns, f, tl.where(op == _MOVE_Y, value * height, tl.where(op == _FLIP_Y, height, 0.0)))
    return a, b, tl.where(crops, _offset(x, zoom, width), c), d, e, tl.where(crops, _offset(y, zoom, height), f)


@kernel
def _fixed(number):
    """In 16.16 fixed point, halves upwards."""
    return tl.floor(number * 65536.0 + 0.5).to(tl.int64)


@kernel
def _edges(center, side, size, zero):
    """First and last column, or row, of Cutout's square (``daas.augment.forms``); a last one of -1 is no square."""
    start = tl.maximum(rounded_64(center * size, zero) - side / 2.0, 0.0).to(tl.int64)
    return start, tl.where(side > 0, (start.to(tl.float64) + side).to(tl.int64), -1)


@kernel
def _number(op, value, code):
    """What an operation without a place needs: whole numbers, or the bits of a factor."""
    factor = tl.where(op == _GRAYSCALE, 0.0, value).to(tl.float32).to(tl.int32, bitcast=True).to(tl.int64)
    level = tl.minimum(tl.maximum(tl.ceil(value), 0.0), 256.0).to(tl.int64)
    bits = tl.minimum(tl.maximum(value, 0.0), 8.0).to(tl.int64)
    kept = 256 - ((bits * 0 + 1) << (8 - bits))
    return tl.where(code == _SOLARIZE, level, tl.where(code == _POSTERIZE, kept, factor))


@general("count")
def recorded(
    op, value, center, codes, out, count, rows, columns, zero,
    WORDS: tl.constexpr, SMOOTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The words of a block of a draw's entries; ``codes`` says which code each operation has."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = at < count
    chosen = tl.load(op + at, mask=here, other=-1)
    amount = tl.load(value + at, mask=here, other=0.0)
    x, y = tl.load(center + 2 * at, mask=here, other=0.0), tl.load(center + 2 * at + 1, mask=here, other=0.0)
    code = tl.load(codes + chosen, mask=here & (chosen >= 0), other=0)
    height, width = tl.zeros([], tl.float64) + rows, tl.zeros([], tl.float64) + columns
    a, b, c, d, e, f = _map(chosen, amount, x, y, height, width, zero)
    moved = (a == 1.0) & (b == 0.0) & (d == 0.0) & (e == 1.0)
    right = tl.where(moved, tl.floor(c + 0.5).to(tl.int64) * 65536 + 32768, _fixed(c + 0.5 * a + 0.5 * b))
    down = tl.where(moved, tl.floor(f + 0.5).to(tl.int64) * 65536 + 32768, _fixed(f + 0.5 * d + 0.5 * e))
    warps, cuts = code == _WARP, code == _CUTOUT
    smooth = warps & (chosen != _FLIP_X) & (chosen != _FLIP_Y) if SMOOTH else warps & (code < 0)
    side = amount * width
    left, last = _edges(x, side, width, zero)
    top, bottom = _edges(y, side, height, zero)
    alone = _number(chosen, amount, code)
    word = out + at * WORDS
    tl.store(word, tl.where(smooth, _BILINEAR, code), mask=here)
    tl.store(word + 1, _chosen(warps, smooth, cuts, _fixed(a), a, left, alone), mask=here)
    tl.store(word + 2, _chosen(warps, smooth, cuts, _fixed(b), b, top, alone), mask=here)
    tl.store(word + 3, _chosen(warps, smooth, cuts, right, c, last, alone), mask=here)
    tl.store(word + 4, _chosen(warps, smooth, cuts, _fixed(d), d, bottom, alone), mask=here)
    tl.store(word + 5, _chosen(warps, smooth, cuts, _fixed(e), e, left, alone), mask=here)
    tl.store(word + 6, _chosen(warps, smooth, cuts, down, f, top, alone), mask=here)


@kernel
def _chosen(warps, smooth, cuts, fixed, exact, edge, alone):
    """One word: of a map, in fixed point or as it is, of a square, or of neither."""
    mapped = tl.where(smooth, exact.to(tl.int64, bitcast=True), fixed)
    return tl.where(warps, mapped, tl.where(cuts, edge, alone))
