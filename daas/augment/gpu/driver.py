"""A batch through the kernels: memory, the draw's way over, one launch or one for each step."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.gpu import block, kernels, linear
from daas.augment.gpu.draws import OPTIONS, on, records
from daas.augment.gpu.records import ONE_PROGRAM, WORDS

_TILE = 8192
"""Pixels of a tile."""
_REACH = 2**31 - 2**20
"""Kernels count places within an image in 32 bits."""


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
    kind = torch.uint8 if scale is None else dtype
    out = torch.empty(images.shape, dtype=kind, device=images.device, memory_format=memory_format)
    if images.numel() == 0:
        return out
    images = images if _reach(images) <= _REACH else images.contiguous()
    (count, channels, height, width), slots = images.shape, draw.op.shape[1]
    words = records(draw, height, width, bilinear, images.device)
    constants = _constants(_numbers(colors, scale), images.device)
    size = height * width
    split = size > ONE_PROGRAM if tiled is None else tiled
    tiles = -(-size // _TILE) if split else 1
    scratch = torch.empty(count * 2 * channels * size if slots > 1 else 0, dtype=torch.uint8, device=images.device)
    table = torch.empty(count * tiles * channels * 256, dtype=torch.uint8, device=images.device)
    total, histogram = _statistics(count, slots if split else 1, channels, split, images.device)
    fixed: dict[str, Any] = {
        "SLOTS": slots, "WORDS": WORDS, "CHANNELS": channels, "BLOCK": block(size),
        "LINEAR": linear(images), **OPTIONS,
    }  # fmt: skip
    written: dict[str, Any] = {"TO_LINEAR": linear(out), "NORMALIZE": scale is not None, **fixed}
    source = (images, *images.stride())
    arguments = (
        *source, out, *out.stride(), scratch, words, table, histogram, total, constants, height, width, 0
    )  # fmt: skip
    with on(images.device):
        if not split:
            kernels.whole[(count,)](*arguments, **written)
            return out
        grid = (count, tiles)
        kernels.look[grid](*source, words, histogram, total, height, width, TILE=_TILE, **fixed)
        for slot in range(slots):
            kernels.work[grid](*arguments, SLOT=slot, TILE=_TILE, **written)
    return out


def _reach(images: Tensor) -> int:
    """How far from its first value an image's last one lies."""
    return sum((length - 1) * stride for length, stride in zip(images.shape[1:], images.stride()[1:], strict=True))


def _statistics(count: int, slots: int, channels: int, shared: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Memory for sums of luma and for histograms, of every image and slot; zeros where programs share them."""
    kept = count * slots
    fresh = torch.zeros if shared else torch.empty
    memory = fresh(kept * (1 + 128 * channels), dtype=torch.int64, device=device)
    return memory[:kept], memory[kept:].view(torch.int32)


def _numbers(colors: Tensor, scale: Tensor | None) -> tuple[int, ...]:
    """Fill and grey per channel, then the bits of shift and factor."""
    bits = [] if scale is None else scale.flatten().view(torch.int32).tolist()
    return (*colors.flatten().tolist(), *bits)


@cache
def _constants(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """On the device once: a captured graph reads them where they are."""
    return torch.tensor(numbers, dtype=torch.int64, device=device)
