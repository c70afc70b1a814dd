"""Affine maps as one warp, in the arithmetic of Pillow's transforms; plain torch, any device.

Nearest neighbour is Pillow's fixed point: a target pixel (x, y) shows the source pixel ((a x + b y + c) >> 16,
(d x + e y + f) >> 16), the coefficients in units of 1 / 65536 pixel. Own code instead of Kornia's ``warp_affine``, that
rounds differently where Pillow truncates, and whose ``affine_grid`` costs more than the sampling itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_ONE = 65536
_Doubles = npt.NDArray[np.float64]


def fixed_point(matrix: _Doubles) -> npt.NDArray[np.int64]:
    """Maps in units of 1 / 65536, from the centre of a target pixel: [b, 6].

    A translation moves by whole pixels, found in float64 before anything is rounded to 1 / 65536.
    """
    a, b, c, d, e, f = matrix.T
    result = np.stack([a, b, c + 0.5 * a + 0.5 * b, d, e, f + 0.5 * d + 0.5 * e], -1)
    fixed = np.floor(result * _ONE + 0.5).astype(np.int64)
    moved = (a == 1.0) & (b == 0.0) & (d == 0.0) & (e == 1.0)
    for column, offset in ((2, c), (5, f)):
        whole = np.floor(offset + 0.5).astype(np.int64) * _ONE + _ONE // 2
        fixed[moved, column] = whole[moved]
    return fixed


def look_up(matrix: _Doubles) -> npt.NDArray[np.int64]:
    """What ``warp`` needs of maps: ``fixed_point``, one pixel further on, for images with a border of one pixel."""
    further: npt.NDArray[np.int64] = fixed_point(matrix) + np.array([0, 0, _ONE, 0, 0, _ONE])
    return further


def forward(sources: _Doubles) -> _Doubles:
    """Where source pixels go, from where target pixels look.

    Args:
        sources: [b, 6]: target (x, y) shows source (a x + b y + c, d x + e y + f), in pixels from the images' corner.

    Returns:
        [b, 3, 3]: the source (x, y, 1) goes to its map, in pixels from the centre of the first one, as in Kornia.
    """
    looks = sources.reshape(-1, 2, 3)
    back = np.linalg.inv(looks[:, :, :2])
    offset = looks[:, :, 2] + looks[:, :, :2].sum(-1) / 2.0 - 0.5  # from corners to centres of pixels
    result = np.tile(np.eye(3), (len(sources), 1, 1))
    result[:, :2, :2] = back
    result[:, :2, 2] = -(back @ offset[:, :, None])[:, :, 0]
    return result


def warp(images: Tensor, looks: Tensor, fill: Tensor, numbers: Tensor) -> Tensor:
    """Applies one affine map per image, nearest neighbour.

    Args:
        images: [b, C, H, W], any dtype.
        looks: [b, 6] int64 from ``look_up``.
        fill: [C], of the images' dtype, where the source lies outside.
        numbers: 0, 1, 2, ... int64, at least as many as the images have rows and columns.

    Returns:
        [b, C, H, W].
    """
    count, channels, height, width = images.shape
    # A border of fill, and coordinates that stop there: no comparison and no choice per pixel and channel. The frame is
    # a square, so that both coordinates stop at the same number.
    side = max(height, width) + 2
    bordered = fill.view(1, channels, 1, 1).expand(count, channels, side, side).contiguous()
    bordered[:, :, 1 : height + 1, 1 : width + 1] = images
    slope_x, slope_y, start = looks.view(count, 2, 3, 1, 1).unbind(2)
    source = torch.addcmul(start, slope_y, numbers[:height].unsqueeze(1)) + slope_x * numbers[:width]
    source_x, source_y = source.__irshift__(16).clamp_(0, side - 1).unbind(1)  # [b, H, W] each
    index = torch.add(source_x, source_y, alpha=side).view(count, 1, -1)
    return bordered.flatten(2).gather(2, index.expand(-1, channels, -1)).view_as(images)


def warp_bilinear(images: Tensor, matrix: Tensor, fill: Tensor) -> Tensor:
    """Applies one affine map per image, bilinear; a pixel whose source lies outside is ``fill`` as a whole.

    Args:
        images: [b, C, H, W] float64 or float32: Pillow computes in float64.
        matrix: [b, 6] from ``daas.augment.space.matrices``, in that type.
        fill: [C], in that type.

    Returns:
        [b, C, H, W], not rounded.
    """
    count, channels, height, width = images.shape
    x = torch.arange(width, device=images.device, dtype=images.dtype) + 0.5
    y = (torch.arange(height, device=images.device, dtype=images.dtype) + 0.5).unsqueeze(-1)
    a, b, c, d, e, f = matrix.view(count, 6, 1, 1).unbind(1)
    source_x, source_y = a * x + b * y + c, d * x + e * y + f
    inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    left, top = torch.floor(source_x - 0.5), torch.floor(source_y - 0.5)
    part_x, part_y = (source_x - 0.5 - left).unsqueeze(1), (source_y - 0.5 - top).unsqueeze(1)
    columns = [(left + step).clamp(0, width - 1).long() for step in (0, 1)]
    rows = [(top + step).clamp(0, height - 1).long() * width for step in (0, 1)]
    flat = images.flatten(2)

    def at(row: Tensor, column: Tensor) -> Tensor:
        return flat.gather(2, (row + column).view(count, 1, -1).expand(-1, channels, -1)).view_as(images)

    def between(first: Tensor, second: Tensor, part: Tensor) -> Tensor:
        return first + (second - first) * part

    above, below = (between(at(row, columns[0]), at(row, columns[1]), part_x) for row in rows)
    mixed = between(above, below, part_y)
    return torch.where(inside.unsqueeze(1), mixed, fill.view(1, channels, 1, 1))
