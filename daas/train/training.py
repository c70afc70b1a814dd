"""What a training is made of while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from timm.utils import AverageMeter, ModelEmaV3, NativeScaler
from torch import Tensor, nn

from daas.train.augmentation import BatchAugmentation
from daas.train.batches import Batches, Place
from daas.train.clock import Clock
from daas.train.options import TrainOptions

if TYPE_CHECKING:
    from daas.train.captured import CapturedStep


@dataclass
class Learner:
    """What learns, and how.

    Attributes:
        model: The network itself, whose weights are saved.
        runner: The same as it is called in training: compiled, distributed.
        loss: Outputs and targets -> scalar.
        updates_per_epoch: Optimizer steps.
        scaler: Of float16 gradients, or None.
        captured: The step as one piece; None where it is launched operation by operation.
        eager: Why it is, for people; None where it is not, or where nobody would expect it to be captured.
    """

    model: nn.Module
    runner: nn.Module
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Any
    ema: ModelEmaV3 | None
    updates_per_epoch: int
    scaler: NativeScaler | None
    captured: CapturedStep | None = None
    eager: str | None = None


@dataclass
class Progress:
    """How far an epoch has come.

    Attributes:
        epoch: From 0.
        batch: Batches that are done.
        losses: Their mean.
        unseen: Losses of captured steps that nobody has waited for yet, and how many images each is of.
    """

    epoch: int
    batch: int = 0
    losses: AverageMeter = field(default_factory=AverageMeter)
    unseen: list[tuple[Tensor, int]] = field(default_factory=list)


@dataclass
class Setting:
    """Where images come from and what happens to them.

    Attributes:
        options: What was asked for.
        val_labels: [validation classes] int64: the network's output for each class of the validation images.
    """

    options: TrainOptions
    place: Place
    batches: Batches
    augmentation: BatchAugmentation
    clock: Clock
    val_labels: Tensor


@dataclass
class Training(Setting):
    """A training in progress.

    Attributes:
        epochs: To train, cool-down included.
        folder: Where a batch goes whose loss is no number; None for nowhere.
        bar: Whether batches are counted on the screen.
    """

    learner: Learner
    epochs: int
    progress: Progress
    folder: Path | None = None
    bar: bool = True

    @property
    def shown(self) -> nn.Module:
        """The weights that are validated and saved: the moving average, where there is one to validate."""
        ema = self.learner.ema
        if ema is None or self.options.model_ema_force_cpu:
            return self.learner.model
        return ema.module  # type: ignore[no-any-return]  # timm is untyped
