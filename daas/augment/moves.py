"""Where a draw moves the pixels: what masks, boxes and key points follow.

Only operations that have an affine map take part; the others change pixels where they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.geometry import forward, look_up, warp, warp_bilinear
from daas.augment.space import known, matrices
from daas.sending import sent

_Doubles = npt.NDArray[np.float64]


def moves(draw: Draw, height: int, width: int, whole_pixels: bool) -> Tensor:
    """Where the pixels of each image go: all geometric operations of a draw as one map.

    Args:
        draw: For B images.
        height: Of the images.
        width: Of the images.
        whole_pixels: Whether a translation is by whole pixels, as the nearest neighbour makes it.

    Returns:
        [B, 3, 3] float64: the pixel whose centre is (x, y) comes to rest at the map of (x, y, 1); (0, 0) is the centre
        of the first pixel, as in Kornia.
    """
    result = np.tile(np.eye(3), (len(draw), 1, 1))
    for rows, sources in _slots(draw, height, width):
        if whole_pixels:
            sources = np.where(_translations(sources)[:, None], np.floor(sources + 0.5), sources)
        result[rows] = forward(sources) @ result[rows]
    return torch.from_numpy(result)


def move(images: Tensor, draw: Draw, fill: float, bilinear: bool) -> Tensor:
    """Applies the geometric operations of a draw and no other: what masks need.

    Args:
        images: [B, C, H, W], any dtype and number of channels.
        draw: One row per image.
        fill: Where the source lies outside.
        bilinear: Interpolation, instead of the nearest neighbour.

    Returns:
        A new tensor of the same shape and dtype.
    """
    result = images.clone(memory_format=torch.contiguous_format)
    colors = torch.full((images.shape[1],), fill, device=images.device).to(images.dtype)
    for rows, sources in _slots(draw, *images.shape[-2:]):
        chosen = sent(torch.from_numpy(rows), images.device)
        result[chosen] = _warp(result[chosen], sources, colors, bilinear)
    return result


def warp_back(images: Tensor, back: Tensor, fill: Tensor, bilinear: bool) -> Tensor:
    """Applies maps of the kind that ``moves`` gives.

    Args:
        images: [B, C, H, W].
        back: [B, 3, 3], where the pixels go.
        fill: [C], of the images' dtype, where the source lies outside.
        bilinear: Interpolation, instead of the nearest neighbour.

    Returns:
        [B, C, H, W].
    """
    sources = torch.linalg.inv(back.double()).cpu().numpy()[:, :2]
    offset = sources[:, :, 2] + 0.5 - sources[:, :, :2].sum(-1) / 2.0  # from centres of pixels to corners
    sources = np.concatenate([sources[:, :, :2], offset[:, :, None]], -1).reshape(-1, 6)
    return _warp(images, sources, fill, bilinear)


def _slots(draw: Draw, height: int, width: int) -> Iterator[tuple[npt.NDArray[np.int64], _Doubles]]:
    """Slot by slot, which images have a geometric operation there, [b], and its map, [b, 6]."""
    geometric = np.array([operation.matrix is not None for operation in known()] + [False])
    ops, values, centers = draw.op.numpy(), draw.value.numpy(), draw.center.numpy()
    for slot in range(ops.shape[1]):
        rows = np.flatnonzero(geometric[ops[:, slot]])
        if len(rows):
            yield rows, matrices(ops[rows, slot], values[rows, slot], centers[rows, slot], height, width)


def _translations(sources: _Doubles) -> npt.NDArray[np.bool_]:
    """Which maps, [b, 6], move without turning or stretching: [b]."""
    result: npt.NDArray[np.bool_] = (sources[:, [0, 1, 3, 4]] == (1.0, 0.0, 0.0, 1.0)).all(1)
    return result


def _warp(images: Tensor, sources: _Doubles, fill: Tensor, bilinear: bool) -> Tensor:
    """One map per image, [b, 6]."""
    if not bilinear:
        numbers = torch.arange(max(images.shape[-2:]), device=images.device)
        return warp(images, sent(torch.from_numpy(look_up(sources)), images.device), fill, numbers)
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    wide = torch.from_numpy(sources).to(images.device, dtype)
    return warp_bilinear(images.to(dtype), wide, fill.to(dtype)).to(images.dtype)
