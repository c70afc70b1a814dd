"""A batch through the kernels: memory, the draw's way over, one launch or one for each step."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from triton import next_power_of_2

from daas.augment.draw import Draw
from daas.augment.gpu import kernels
from daas.augment.gpu.draws import OPTIONS, on, records
from daas.augment.gpu.records import WORDS

_ONE_PROGRAM = 128 * 128
"""Pixels up to which one program has the whole image."""
_BLOCK, _TILE = 1024, 8192
"""Pixels that a program has at a time, and of a tile."""


def run(
    images: Tensor,
    draw: Draw,
    colors: Tensor,
    scale: Tensor | None = None,
    bilinear: bool = False,
    *,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
    tiled: bool | None = None,
) -> Tensor:
    """Applies a draw; nothing waits for the device.

    Args:
        images: [B, C, H, W] uint8 with 1 or 3 channels, of any layout, on CUDA.
        draw: One row per image, of the package's own operations: on the CPU (sent over at once) or on the
            images' device.
        colors: [2, C] uint8 on the CPU, what geometric operations and Cutout fill with.
        scale: [2, C] float32 on the CPU, a shift and a factor per channel: the output is (x - shift) * factor.
            None: uint8.
        bilinear: Interpolation of shear, translate, rotate and crop, instead of the nearest neighbour.
        dtype: Of normalised output.
        memory_format: Of the output.
        tiled: Whether several programs share an image; None: if it has more than 128 x 128 pixels.

    Returns:
        [B, C, H, W].
    """
    count, channels, height, width = images.shape
    kind = torch.uint8 if scale is None else dtype
    out = torch.empty(images.shape, dtype=kind, device=images.device, memory_format=memory_format)
    if images.numel() == 0:
        return out
    size, slots = height * width, draw.op.shape[1]
    words = records(draw, height, width, bilinear, images.device)
    constants = _constants(_numbers(colors, scale), images.device)
    scratch = torch.empty(count * 2 * channels * size, dtype=torch.uint8, device=images.device)
    table = torch.empty(count * channels * 256, dtype=torch.uint8, device=images.device)
    normalize, split = scale is not None, size > _ONE_PROGRAM if tiled is None else tiled
    kept = count * slots if split else count  # statistics are added to zeros, so each slot has its own
    fresh = torch.zeros if split else torch.empty
    histogram = fresh(kept * channels * 256, dtype=torch.int32, device=images.device)
    total = fresh(kept, dtype=torch.int64, device=images.device)
    block: dict[str, Any] = {"CHANNELS": channels, "BLOCK": min(_BLOCK, max(64, next_power_of_2(size))), **OPTIONS}
    with on(images.device):
        if not split:
            kernels.whole[(count,)](
                images, out, scratch, words, constants, table, histogram, total, *images.stride(), *out.stride(), slots,
                height, width, 0, NORMALIZE=normalize, WORDS=WORDS, **block,
            )  # fmt: skip
            return out
        grid = (count, -(-size // _TILE))
        kernels.take[grid](images, scratch, *images.stride(), height, width, TILE=_TILE, **block)
        for slot in range(slots):
            at = (slot, slots)
            kernels.look[grid](scratch, words, histogram, total, *at, height, width, TILE=_TILE, WORDS=WORDS, **block)
            kernels.make[(count,)](
                words, table, histogram, total, *at, size, 0, CHANNELS=channels, WORDS=WORDS, **OPTIONS
            )
            kernels.work[grid](
                scratch, words, constants, table, *at, height, width, 0, TILE=_TILE, WORDS=WORDS, **block
            )
        kernels.give[grid](
            scratch, out, constants, *out.stride(), slots, height, width, TILE=_TILE, NORMALIZE=normalize, **block
        )
    return out


def _numbers(colors: Tensor, scale: Tensor | None) -> tuple[int, ...]:
    """Fill and grey per channel, then the bits of shift and factor."""
    bits = [] if scale is None else scale.flatten().view(torch.int32).tolist()
    return (*colors.flatten().tolist(), *bits)


@cache
def _constants(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """On the device once: a captured graph reads them where they are."""
    return torch.tensor(numbers, dtype=torch.int64, device=device)
