"""Draws for the kernels: made on the device in one launch, and turned into records in another."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor

from daas.augment import counter
from daas.augment.draw import Draw
from daas.augment.gpu import drawing
from daas.augment.gpu.records import CODES, WORDS
from daas.sending import sent

OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}
"""Of the compiler: a product and a sum are two roundings (the kernels do not rely on it)."""
_BLOCK = 128
"""Images, or entries of a draw, of a program."""


def on(device: torch.device) -> AbstractContextManager[object]:
    """Where Triton launches."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def sample(tables: counter.Tables, count: int, address: counter.Address) -> Draw:
    """``daas.augment.counter.sample`` in one launch, the same to the bit.

    Args:
        tables: A policy on the device.
        count: Images.
        address: Which draw.

    Returns:
        A draw on the device.
    """
    device, slots, others = tables.op.device, tables.op.shape[1], len(tables.ends)
    op = torch.empty(count, slots, dtype=torch.int64, device=device)
    value = torch.empty(count, slots, dtype=torch.float64, device=device)
    center = torch.empty(count, slots, 2, dtype=torch.float64, device=device)
    if count and slots:
        seed, step = (one if isinstance(one, Tensor) else _signed(one) for one in (address.seed, address.step))
        with on(device):
            drawing.drawn[(-(-count // _BLOCK),)](
                op, value, center, tables.op, tables.threshold, tables.value, tables.signed, tables.ends, seed, step,
                address.first, count, others, tables.chance, SLOTS=slots, HALVINGS=others.bit_length(),
                STEP_LIES_THERE=isinstance(step, Tensor), SHARED_CHOICE=address.shared_choice,
                SHARED_ALL=address.shared_all, BLOCK=_BLOCK, **OPTIONS,
            )  # fmt: skip
    return Draw(op, value, center)


def records(draw: Draw, height: int, width: int, bilinear: bool, device: torch.device) -> Tensor:
    """A draw for the kernels, in one transfer, where it is on the host, and one launch.

    Args:
        draw: Of the package's own operations; on the host or on the device.
        height: Of the images.
        width: Of the images.
        bilinear: Interpolation of shear, translate, rotate and crop, instead of the nearest neighbour.
        device: Of the images.

    Returns:
        [B, K, 8] int64 on the device (``daas.augment.gpu.records``).
    """
    entries = draw.op.numel()
    out = torch.empty(*draw.op.shape, WORDS, dtype=torch.int64, device=device)
    op, value, center = _there(draw, device)
    with on(device):
        drawing.recorded[(-(-entries // _BLOCK),)](
            op, value, center, _codes(device), out, entries, height, width, 0, WORDS=WORDS, SMOOTH=bilinear,
            BLOCK=_BLOCK, **OPTIONS,
        )  # fmt: skip
    return out


def _there(draw: Draw, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The three parts of a draw on a device, in one transfer."""
    if draw.op.device == device:
        return draw.op.contiguous(), draw.value.contiguous(), draw.center.contiguous()
    parts = (draw.op, draw.value.view(torch.int64), draw.center.view(torch.int64))
    there = sent(torch.cat([part.flatten() for part in parts]), device)
    op, value, center = there.split([part.numel() for part in parts])
    return op, value.view(torch.float64), center.view(torch.float64)


def _signed(word: int) -> int:
    """A number below 2 ** 64 with the same bits, as a kernel takes it."""
    word = int(word)
    return word - (1 << 64) if word >= 1 << 63 else word


@cache
def _codes(device: torch.device) -> Tensor:
    """On the device once: a captured graph reads them where they are."""
    return torch.tensor(CODES, dtype=torch.int64, device=device)
