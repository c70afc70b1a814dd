"""What the kernels need to know of each operation: a draw as eight whole numbers per image and slot.

Everything is computed with torch where the draw is: on the host for a draw that is sent over, on the GPU for one that
was made there, so that nothing waits. Floating-point numbers travel as their bits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from daas.augment.affine import OFFSETS, ZOOMS
from daas.augment.draw import Draw
from daas.augment.space import BASE, INDEX, OPERATIONS

WORDS = 8
"""Whole numbers of a record: the code, then what the operation needs."""

NOTHING, WARP, BILINEAR, COLOR, SHARPNESS, CUTOUT = range(6)
EQUALIZE, AUTOCONTRAST, INVERT, SOLARIZE, POSTERIZE, BRIGHTNESS, CONTRAST = range(6, 13)  # look-up tables

_CODES = {
    "AutoContrast": AUTOCONTRAST, "Invert": INVERT, "Equalize": EQUALIZE, "Solarize": SOLARIZE,
    "Posterize": POSTERIZE, "Contrast": CONTRAST, "Color": COLOR, "Brightness": BRIGHTNESS, "Sharpness": SHARPNESS,
    "Cutout": CUTOUT, "Grayscale": COLOR,
}  # fmt: skip
_CODE_OF = [_CODES.get(row.name, WARP) for row in (*OPERATIONS, *BASE)]


def records(draw: Draw, height: int, width: int, bilinear: bool) -> Tensor:
    """A draw for the kernels.

    Args:
        draw: Of the package's own operations; on any device.
        height: Of the images.
        width: Of the images.
        bilinear: Interpolation of shear, translate, rotate and crop, instead of the nearest neighbour.

    Returns:
        [B, K, 8] int64, on the draw's device.
    """
    op, value = draw.op, draw.value
    code = torch.full_like(op, NOTHING)
    for known in range(NOTHING, CONTRAST + 1):
        indices = [index for index, own in enumerate(_CODE_OF) if own == known]
        code = torch.where(_any_of(op, indices), known, code)
    maps = _maps(op, value, draw.center, height, width)
    words = _fixed(maps)
    if bilinear:
        turned = (code == WARP) & ~_any_of(op, [INDEX["HFlip"], INDEX["VFlip"]])
        code = torch.where(turned, BILINEAR, code)
        words = torch.where(turned.unsqueeze(-1), maps.view(torch.int64), words)
    words = torch.where((code == CUTOUT).unsqueeze(-1), _box(value, draw.center, height, width), words)
    factor = torch.where(op == INDEX["Grayscale"], 0.0, value).float().view(torch.int32).long()
    kept = 256 - torch.bitwise_left_shift(torch.ones_like(op), 8 - value.trunc().clamp(0, 8).long())
    first = torch.where(code == SOLARIZE, value.ceil().clamp(0, 256).long(), factor)
    first = torch.where(code == POSTERIZE, kept, first)
    plain = ((code != WARP) & (code != BILINEAR) & (code != CUTOUT)).unsqueeze(-1)
    words = torch.where(plain, first.unsqueeze(-1), words)
    return torch.cat([code.unsqueeze(-1), words, torch.zeros_like(code).unsqueeze(-1)], -1).contiguous()


def _any_of(op: Tensor, indices: list[int]) -> Tensor:
    """Where an operation is one of these."""
    found = torch.zeros_like(op, dtype=torch.bool)
    for index in indices:
        found = found | (op == index)
    return found


def _maps(op: Tensor, value: Tensor, center: Tensor, height: int, width: int) -> Tensor:
    """The affine maps of ``daas.augment.affine``, in pixels; the identity for what has none: [B, K, 6] float64."""
    quarters = 90.0 * torch.copysign(torch.floor(value.abs() + 0.5), value)
    turn = torch.where(op == INDEX["Rot90"], quarters, value)
    angle = -turn * (math.pi / 180.0)
    cos, sin = torch.round(torch.cos(angle), decimals=15), torch.round(torch.sin(angle), decimals=15)
    x, y = width / 2.0, height / 2.0
    zoom = torch.floor((1.0 - value) * ZOOMS + 0.5) / ZOOMS
    left, top = (
        torch.floor(center[..., axis] * (1.0 - zoom) * size * OFFSETS) / OFFSETS
        for axis, size in ((0, width), (1, height))
    )
    one, none = torch.ones_like(value), torch.zeros_like(value)
    by_name = {
        "Rotate": (cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y),
        "ShearX": (one, value, none, none, one, none),
        "ShearY": (one, none, none, value, one, none),
        "TranslateX": (one, none, value * width, none, one, none),
        "TranslateY": (one, none, none, none, one, value * height),
        "HFlip": (-one, none, one * width, none, one, none),
        "VFlip": (one, none, none, none, -one, one * height),
        "Crop": (zoom, none, left, none, zoom, top),
    }
    by_name["Rot90"] = by_name["Rotate"]
    found = torch.stack([one, none, none, none, one, none], -1)
    for name, entries in by_name.items():
        found = torch.where((op == INDEX[name]).unsqueeze(-1), torch.stack(entries, -1), found)
    return found


def _fixed(maps: Tensor) -> Tensor:
    """``daas.augment.geometry.fixed_point`` in torch: [B, K, 6] int64."""
    a, b, c, d, e, f = maps.unbind(-1)
    exact = torch.stack([a, b, c + 0.5 * a + 0.5 * b, d, e, f + 0.5 * d + 0.5 * e], -1)
    fixed = torch.floor(exact * 65536.0 + 0.5).long()
    offsets = torch.stack([a, b, c, d, e, f], -1)
    whole = torch.floor(offsets + 0.5).long() * 65536 + 32768
    moved = ((a == 1.0) & (b == 0.0) & (d == 0.0) & (e == 1.0)).unsqueeze(-1)
    offset = torch.arange(6, device=maps.device) % 3 == 2
    return torch.where(moved & offset, whole, fixed)


def _box(value: Tensor, center: Tensor, height: int, width: int) -> Tensor:
    """First and last column and row of Cutout's square, as ``daas.augment.forms``: [B, K, 6] int64."""
    side = value * width
    left, top = (
        (center[..., axis] * size - side / 2.0).clamp_min(0.0).trunc() for axis, size in ((0, width), (1, height))
    )
    some = side > 0
    right, bottom = (torch.where(some, (start + side).trunc(), -1.0) for start in (left, top))
    return torch.stack([left, top, right, bottom, left, top], -1).long()
