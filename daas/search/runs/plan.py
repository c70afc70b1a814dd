"""The plan of a search: which iteration belongs to which epoch and phase, and the schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass

from daas.search.options import SearchConfig


@dataclass
class Plan:
    """Which step belongs to which epoch and phase, and the schedules (one value per epoch)."""

    config: SearchConfig
    steps_per_epoch: int

    @property
    def epochs(self) -> int:
        """Warm-up and joint epochs."""
        return self.config.warmup_epochs + self.config.epochs

    @property
    def planned_steps(self) -> int:
        """Number of iterations of all epochs."""
        return self.epochs * self.steps_per_epoch

    @property
    def last_step(self) -> int:
        """Number of iterations of this run: all, or --max-steps."""
        planned = self.planned_steps
        return planned if self.config.max_steps is None else min(planned, self.config.max_steps)

    def epoch(self, step: int) -> int:
        """Epoch of a step, from 0."""
        return step // self.steps_per_epoch

    def epoch_ends(self, step: int) -> bool:
        """Whether an epoch is complete after so many iterations."""
        return step % self.steps_per_epoch == 0

    def phase(self, step: int) -> str:
        """``warm-up`` or ``joint``."""
        return "joint" if self.epoch(step) >= self.config.warmup_epochs else "warm-up"

    def joint(self, step: int) -> bool:
        """Whether policies are sampled and learned at this step."""
        return self.config.mode != "arch" and self.phase(step) == "joint"

    def eta(self, step: int) -> float:
        """Learning rate of the weights: a cosine from --lr to --min-lr."""
        share = self.epoch(step) / max(1, self.epochs - 1)
        return self.config.min_lr + 0.5 * (self.config.lr - self.config.min_lr) * (1 + math.cos(math.pi * share))

    @property
    def middle_eta(self) -> float:
        """The learning rate halfway, at which steps are compared: the last ones are too small to tell anything."""
        return 0.5 * (self.config.lr + self.config.min_lr)

    def temperature(self, step: int) -> float:
        """Tau of eq. 10 and 11: linear from --tau-max to --tau-min."""
        share = self.epoch(step) / max(1, self.epochs - 1)
        return self.config.tau_max + share * (self.config.tau_min - self.config.tau_max)
