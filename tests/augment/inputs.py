"""Pictures and draws that the tests of this folder share."""

from __future__ import annotations

import torch
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.space import BASE, OPERATIONS, magnitude_table

NAMES = tuple(row.name for row in (*OPERATIONS, *BASE))
"""All operations of the package, by index."""


def pictures(count: int, height: int, width: int, seed: int = 0, channels: int = 3) -> Tensor:
    """Smooth colours, noise, narrow ranges and constant images: [count, channels, height, width] uint8."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    noise = torch.rand(count, channels, height, width, generator=random)
    mixed = (200 * smooth + 55 * noise).clamp(0, 255)
    mixed[1::4] = 90 + mixed[1::4] / 6
    mixed[2::8] = noise[2::8] * 255
    mixed[3::8] = 17.0
    return mixed.to(torch.uint8)


def draw_of(ops: Tensor, seed: int) -> Draw:
    """These operations, [B, K], all applied, with random levels, signs and centres."""
    random = torch.Generator().manual_seed(seed)
    table = magnitude_table(NAMES)
    level = torch.randint(10, ops.shape, generator=random)
    return Draw.from_choices(ops, table[ops, level], torch.ones_like(ops, dtype=torch.bool), random)


def all_pairs() -> Tensor:
    """Every ordered pair of the search space's operations, [225, 2]."""
    return torch.cartesian_prod(torch.arange(15), torch.arange(15))
