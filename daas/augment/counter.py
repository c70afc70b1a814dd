"""Draws that are made where the images are, from a counter instead of a stream: addressed by seed, step and image.

Nothing is advanced and nothing waits, so a captured CUDA graph whose step lies in a tensor draws anew at every replay,
and a batch may be drawn in parts. All of it is arithmetic of whole numbers (Philox4x32-10, Salmon et al., SC 2011), so
that every device gives the same draw. Probabilities are multiples of 2 ** -32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.operation import Doubles
from daas.augment.space import signs

_WORD = 1 << 32
_MASK = _WORD - 1
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
CHOICES, CHANCE = 0, 1 << 16
"""Where the blocks of an image begin: sub-policy and operations; signs, centres, ``p``."""


@dataclass(frozen=True)
class Tables:
    """A policy on a device.

    Attributes:
        op: [N, K] int64, as ``Draw.op``.
        threshold: [N, K] int64: an operation is applied where a word is below.
        value: [N, K] float64, one-sided.
        signed: [N, K] bool.
        ends: [N - 1] int64, where the sub-policies' intervals of words end.
        chance: Words below are images that are augmented at all.
    """

    op: Tensor
    threshold: Tensor
    value: Tensor
    signed: Tensor
    ends: Tensor
    chance: int

    @classmethod
    def on(
        cls, device: torch.device, tables: tuple[npt.NDArray[np.int64], Doubles, Doubles, Doubles], p: float
    ) -> Tables:
        """From op, probability and magnitude, [N, K], and the ends of the weights' intervals, [N - 1]."""
        op, prob, value, cumulative = tables
        there = (
            torch.from_numpy(table).to(device)
            for table in (op, _threshold(prob), value, signs().numpy()[op], _threshold(cumulative))
        )
        op_there, threshold, value_there, signed, ends = there
        return cls(op_there, threshold, value_there, signed, ends, math.ceil(p * _WORD))


def _threshold(share: Doubles) -> npt.NDArray[np.int64]:
    """Of a share of all words, the first word that is not in it."""
    return np.ceil(share * _WORD).astype(np.int64)


@dataclass(frozen=True)
class Address:
    """Which draw.

    Attributes:
        seed: From 0 to 2 ** 64 - 1.
        step: From 0 on; a tensor on the device, which a captured graph may count up.
        first: Number of the first image: a batch in parts is the parts of a batch.
        shared_choice: One sub-policy for all images, whatever their number.
        shared_all: Signs, centres and ``p`` too.
    """

    seed: int
    step: int | Tensor
    first: int = 0
    shared_choice: bool = False
    shared_all: bool = False


def sample(tables: Tables, count: int, address: Address) -> Draw:
    """The draw of an address, on the tables' device: ``count`` images."""
    device, slots = tables.op.device, tables.op.shape[1]
    images = torch.arange(address.first, address.first + count, device=device)
    one = torch.zeros_like(images)
    choice = words(one if address.shared_choice or address.shared_all else images, address, CHOICES, 1 + slots)
    chance = words(one if address.shared_all else images, address, CHANCE, 3 * slots + 1)
    row = torch.searchsorted(tables.ends, choice[:, 0].contiguous(), right=True)
    op, value = tables.op[row], tables.value[row]
    kept = (choice[:, 1:] < tables.threshold[row]) & (op >= 0) & (chance[:, -1:] < tables.chance)
    sign, *center = chance[:, :-1].view(count, slots, 3).unbind(2)
    negative = (sign < _WORD // 2) & tables.signed[row]
    value = torch.where(kept, torch.where(negative, -value, value), 0.0)
    return Draw(torch.where(kept, op, -1), value, torch.stack(center, 2).double() / _WORD)


def words(images: Tensor, address: Address, place: int, count: int) -> Tensor:
    """Random words of images, from a place on: [B, count] int64, each from 0 to 2 ** 32 - 1."""
    blocks = torch.arange(place, place + -(-count // 4), device=images.device)
    step = address.step if isinstance(address.step, Tensor) else torch.full_like(images[:1], address.step).view(-1, 1)
    counter = torch.broadcast_tensors(images.unsqueeze(1), step & _MASK, (step >> 32) & _MASK, blocks)
    return philox(torch.stack(counter, -1), address.seed).flatten(1)[:, :count]


def philox(counter: Tensor, seed: int) -> Tensor:
    """Philox4x32-10: [..., 4] words -> [..., 4] words, all int64 from 0 to 2 ** 32 - 1.

    Args:
        counter: What is counted.
        seed: The key: its lower and its upper 32 bits.
    """
    even, odd = counter[..., 0::2], counter[..., 1::2]
    keys = [seed & _MASK, (seed >> 32) & _MASK]
    for _ in range(_ROUNDS):
        high, low = zip(*(_product(even[..., lane], _MULTIPLIERS[lane]) for lane in (0, 1)), strict=True)
        even = torch.stack([high[1] ^ odd[..., 0] ^ keys[0], high[0] ^ odd[..., 1] ^ keys[1]], -1)
        odd = torch.stack([low[1], low[0]], -1)
        keys = [(key + step) & _MASK for key, step in zip(keys, _KEY_STEPS, strict=True)]
    return torch.stack([even[..., 0], odd[..., 0], even[..., 1], odd[..., 1]], -1)


def _product(word: Tensor, multiplier: int) -> tuple[Tensor, Tensor]:
    """Upper and lower 32 bits of a product of words; in parts, so that nothing leaves the range of int64."""
    lower, upper = (word & 0xFFFF) * multiplier, (word >> 16) * multiplier
    middle = upper + (lower >> 16)
    return middle >> 16, ((middle & 0xFFFF) << 16) | (lower & 0xFFFF)
