"""Shear, translate and rotate as one warp, in the fixed-point arithmetic of Pillow's nearest-neighbour transform.

A target pixel (x, y) shows the source pixel ((a x + b y + c) >> 16, (d x + e y + f) >> 16), the coefficients in units
of 1 / 65536 pixel. Own code instead of ``kornia.geometry.warp_affine``, which rounds differently where Pillow
truncates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from daas.augment.space import INDEX

_ONE = 65536


def coefficients(op: Tensor, value: Tensor, height: int, width: int) -> Tensor:
    """Fixed-point affine coefficients of geometric operations.

    Args:
        op: [B] int64, indices of geometric operations.
        value: [B] float64, signed: shear factor, share of the size, or degrees counter-clockwise.
        height: Of the images.
        width: Of the images.

    Returns:
        [B, 6] int64: a, b, c, d, e, f.
    """
    zero = torch.zeros_like(value)

    def where(name: str, yes: Tensor, no: Tensor) -> Tensor:
        return torch.where(op == INDEX[name], yes, no)

    angle = torch.deg2rad(-where("Rotate", value, zero))
    cos, sin = _rounded(angle.cos()), _rounded(angle.sin())
    a, e = cos, cos
    b = where("ShearX", value, sin)
    d = where("ShearY", value, -sin)
    # Rotation is about the centre; for all other operations both terms vanish.
    half_w, half_h = width / 2.0, height / 2.0
    c = torch.where(op == INDEX["Rotate"], cos * -half_w + sin * -half_h + half_w, zero)
    f = torch.where(op == INDEX["Rotate"], -sin * -half_w + cos * -half_h + half_h, zero)
    fixed = torch.stack(
        [_fix(a), _fix(b), _fix(c + 0.5 * a + 0.5 * b), _fix(d), _fix(e), _fix(f + 0.5 * d + 0.5 * e)], -1
    )
    # A translation moves by whole pixels, found in float64 before anything is rounded to 1 / 65536.
    for name, column, size in (("TranslateX", 2, width), ("TranslateY", 5, height)):
        pixels = torch.floor(value * size + 0.5).long()
        fixed[:, column] = torch.where(op == INDEX[name], pixels * _ONE + _ONE // 2, fixed[:, column])
    return fixed


def warp(images: Tensor, fixed: Tensor, fill: Tensor) -> Tensor:
    """Applies one affine map per image, nearest neighbour.

    Args:
        images: [B, C, H, W], any dtype.
        fixed: [B, 6] int64 from ``coefficients``.
        fill: [C], of the images' dtype, where the source lies outside.

    Returns:
        [B, C, H, W].
    """
    count, channels, height, width = images.shape
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device).unsqueeze(-1)
    a, b, c, d, e, f = fixed.view(count, 6, 1, 1).unbind(1)
    source_x = (a * x + b * y + c) >> 16
    source_y = (d * x + e * y + f) >> 16
    inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    index = torch.where(inside, source_y * width + source_x, 0).view(count, 1, -1).expand(-1, channels, -1)
    moved = images.flatten(2).gather(2, index).view_as(images)
    return torch.where(inside.unsqueeze(1), moved, fill.view(1, channels, 1, 1))


def _rounded(value: Tensor) -> Tensor:
    """To 15 decimals, as Pillow rounds the sine and cosine of a rotation."""
    return torch.round(value, decimals=15)


def _fix(value: Tensor) -> Tensor:
    return torch.floor(value * _ONE + 0.5).long()
