"""A search in progress: what its loop changes, and what its checkpoints and lines of metrics are made from."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from daas import processes
from daas.search.algorithm.state import State
from daas.search.budget.latency import Latency
from daas.search.given import Given
from daas.search.options import SearchConfig, options
from daas.search.report import board, measures
from daas.search.runs import checkpoint
from daas.search.runs.build import SearchData
from daas.search.runs.folder import CHECKPOINT
from daas.search.runs.plan import Plan
from daas.search.runs.stop import TimeBudget


@dataclass
class Run:
    """A search in progress.

    Attributes:
        given: What a program gave as objects.
        totals: [5] float64 on the device: sums of the epoch's train loss, train correct, validation loss, validation
            correct, and their count.
        signal: Of the epoch's policy gradients.
        budget: Wall-clock limit of this process.
        board: TensorBoard files, if they are wanted.
        inputs: Hashes of images and files, for the checkpoints.
        latency: Times of the parts of networks, where they are limited.
        lines: Of metrics, one per epoch.
        step: Iterations done.
        before: Seconds spent before this process took over.
        stopped: Why the run ends before its plan, or empty.
        warned: Kinds of warnings that were printed.
    """

    config: SearchConfig
    given: Given
    data: SearchData
    search: State
    plan: Plan
    device: torch.device
    totals: Tensor
    signal: measures.PolicySignal
    budget: TimeBudget
    board: board.Board | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    latency: Latency | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    before: float = 0.0
    started: float = field(default_factory=time.monotonic)
    stopped: str = ""
    warned: set[str] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of search, over all resumptions."""
        return self.before + time.monotonic() - self.started

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return processes.rank() == 0

    def save(self) -> None:
        """Writes the checkpoint, where the run has a folder."""
        if self.writes and self.config.out is not None:
            progress = {"step": self.step, "seconds": self.seconds}
            epoch = {"totals": self.totals, **self.signal.tensors()}
            checkpoint.save(
                self.config.out / CHECKPOINT, self.search, epoch, progress, options(self.config), self.inputs
            )
