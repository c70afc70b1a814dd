"""The learning rate's schedule that timm does not have: one cycle."""

from __future__ import annotations

import math

import torch
from timm.scheduler.scheduler import Scheduler

_RISE, _START = 0.3, 25.0


class OneCycle(Scheduler):  # type: ignore[misc]  # timm is untyped
    """Up along a cosine for three tenths of the updates, from 1/25 of the learning rate, then down along another one.

    As ``torch.optim.lr_scheduler.OneCycleLR`` with its defaults, but for the end and the momentum, which stays as it
    is (Smith & Topin, "Super-Convergence", 2019).

    Args:
        optimizer: Its groups' learning rates are the highest ones.
        updates: Of the whole training.
        lowest: Learning rate after the last update.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, updates: int, lowest: float) -> None:
        super().__init__(optimizer, param_group_field="lr", t_in_epochs=False)
        self.updates, self.lowest = updates, lowest
        self.update_groups(self._get_lr(0))

    def _get_lr(self, t: int) -> list[float]:
        rise = _RISE * self.updates
        if t < rise:
            return [_between(highest / _START, highest, t / rise) for highest in self.base_values]
        done = min(1.0, (t - rise) / (self.updates - rise))
        return [_between(highest, self.lowest, done) for highest in self.base_values]


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from ``start`` to ``end``."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
