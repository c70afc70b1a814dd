"""An epoch of training and an epoch of validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from timm.utils import AverageMeter, ModelEmaV3, NativeScaler, accuracy, dispatch_clip_grad
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from daas import checkpoint
from daas.train.batches import Batches, Place
from daas.train.clock import Clock
from daas.train.options import TrainOptions

DIVERGED = "diverged.safetensors"


@dataclass
class Learner:
    """What learns, and how.

    Attributes:
        model: The network itself, whose weights are saved.
        runner: The same as it is called in training: compiled, distributed.
        loss: Outputs and targets -> scalar.
        updates_per_epoch: Optimizer steps.
        scaler: Of float16 gradients, or None.
    """

    model: nn.Module
    runner: nn.Module
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Any
    ema: ModelEmaV3 | None
    updates_per_epoch: int
    scaler: NativeScaler | None


@dataclass
class Progress:
    """How far an epoch has come.

    Attributes:
        epoch: From 0.
        batch: Batches that are done.
        losses: Their mean.
    """

    epoch: int
    batch: int = 0
    losses: AverageMeter = field(default_factory=AverageMeter)


def autocast(options: TrainOptions, device: torch.device) -> AbstractContextManager[Any]:
    """Mixed precision, if it is asked for."""
    if not options.amp:
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, options.amp_dtype))


def train_epoch(
    learner: Learner,
    batches: Batches,
    progress: Progress,
    options: TrainOptions,
    place: Place,
    clock: Clock,
    folder: Path,
    after_batch: Callable[[Tensor], None],
) -> float:
    """Trains from ``progress`` to the end of its epoch.

    Args:
        learner: Is changed.
        batches: Gives the epoch's batches.
        progress: Is changed.
        options: The run's.
        place: This process.
        clock: Counts.
        folder: Where a batch goes whose loss is no number.
        after_batch: Called after every batch with the batch's images: logs and checkpoints.

    Returns:
        The mean training loss over all processes.

    Raises:
        FloatingPointError: The loss is infinite or not a number; the batch is saved.
    """
    learner.runner.train()
    total, accumulate = batches.per_epoch, options.grad_accum_steps
    source = batches.epoch(progress.epoch, progress.batch)
    clock.start_lap()
    with tqdm(
        total=total, initial=progress.batch, unit="batch", disable=None if place.first else True, leave=False
    ) as bar:
        for images, targets in source:
            if options.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            index = progress.batch
            whole = (index + 1) % accumulate == 0 or index + 1 == total
            parts = total % accumulate if index >= total - total % accumulate else accumulate
            value = _step(learner, images, targets, whole, parts, options, place)
            if not math.isfinite(_worst(value, place)):
                raise FloatingPointError(_diverged(folder, images, targets, value, progress, options, place))
            progress.losses.update(value, len(images))
            progress.batch += 1
            clock.images += len(images)
            if whole:
                updates = progress.epoch * learner.updates_per_epoch + -(-progress.batch // accumulate)
                if learner.ema is not None:
                    learner.ema.update(learner.model, step=updates)
                if learner.schedule is not None:
                    learner.schedule.step_update(num_updates=updates, metric=progress.losses.avg)
            clock.lap("training")
            bar.set_postfix(loss=f"{progress.losses.avg:.3f}", refresh=False)
            bar.update()
            after_batch(images)
    clock.lap("training")
    if hasattr(learner.optimizer, "sync_lookahead"):
        learner.optimizer.sync_lookahead()
    return _mean(progress.losses, place)


def _step(
    learner: Learner, images: Tensor, targets: Tensor, whole: bool, parts: int, options: TrainOptions, place: Place
) -> float:
    """Forward, backward and, if the accumulation is whole, an update; gives the loss."""
    collect = learner.runner.no_sync() if place.world > 1 and not whole else nullcontext()  # type: ignore[operator]  # of DDP
    with collect:
        with autocast(options, place.device):
            output = learner.runner(images)
            if isinstance(output, tuple):
                loss = learner.loss(output[0], targets) + options.aux_weight * learner.loss(output[1], targets)
            else:
                loss = learner.loss(output, targets)
        scaled = loss / parts if parts > 1 else loss
        clipped = [] if options.clip_grad is None else list(learner.model.parameters())
        if options.clip_mode == "agc":
            clipped = clipped[:-2]  # as timm: not the classifier
        if learner.scaler is not None:
            learner.scaler(
                scaled, learner.optimizer, clip_grad=options.clip_grad, clip_mode=options.clip_mode,
                parameters=clipped, need_update=whole,
            )  # fmt: skip
        else:
            scaled.backward()
            if whole:
                if options.clip_grad is not None:
                    dispatch_clip_grad(clipped, value=options.clip_grad, mode=options.clip_mode)
                learner.optimizer.step()
    if whole:
        learner.optimizer.zero_grad()
    return float(loss.detach())


def _worst(value: float, place: Place) -> float:
    """A number that is infinite everywhere as soon as it is not finite in one process."""
    if place.world == 1:
        return value
    bad = torch.tensor(0.0 if math.isfinite(value) else 1.0, device=place.device)
    torch.distributed.all_reduce(bad)
    return math.inf if float(bad) else value


def _diverged(
    folder: Path, images: Tensor, targets: Tensor, value: float, progress: Progress, options: TrainOptions, place: Place
) -> str:
    """Saves the batch and says what happened."""
    path = folder / (DIVERGED if place.world == 1 else f"rank{place.rank}-{DIVERGED}")
    folder.mkdir(parents=True, exist_ok=True)
    meta = {"epoch": progress.epoch, "batch": progress.batch, "loss": str(value), "rank": place.rank}
    checkpoint.save(path, {"images": images, "targets": targets}, meta)
    return (
        f"the loss is {value} in epoch {progress.epoch}, batch {progress.batch} (both from 0); the batch is in {path}. "
        "An earlier checkpoint is untouched. Try a smaller --lr, --clip-grad, or a longer warm-up"
        f"{', or --amp-dtype bfloat16' if options.amp else ''}."
    )


def _mean(losses: AverageMeter, place: Place) -> float:
    if place.world == 1:
        return float(losses.avg)
    sums = torch.tensor([losses.sum, losses.count], dtype=torch.float64, device=place.device)
    torch.distributed.all_reduce(sums)
    return float(sums[0] / sums[1])


@torch.no_grad()
def validate(
    model: nn.Module, batches: Batches, options: TrainOptions, place: Place, clock: Clock, classes: int
) -> dict[str, float]:
    """Loss and accuracy on all validation images, each counted once, over all processes.

    Returns:
        ``loss`` (cross-entropy), ``top1`` and ``top5`` in percent.
    """
    model.eval()
    device = next(model.parameters()).device
    sums = torch.zeros(4, dtype=torch.float64, device=place.device)
    with clock.spend("validation"):
        for images, labels in batches.validation():
            if options.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            with autocast(options, place.device):
                logits = model(images.to(device)).to(place.device)
            percent = torch.stack(accuracy(logits, labels, topk=(1, min(5, classes))))
            loss = cross_entropy(logits.float(), labels, reduction="sum")
            sums[0] += loss
            sums[1:3] += (percent * len(labels) / 100).round()
            sums[3] += len(labels)
    if place.world > 1:
        torch.distributed.all_reduce(sums)
    loss_sum, right1, right5, count = sums.tolist()
    return {"loss": loss_sum / count, "top1": 100 * right1 / count, "top5": 100 * right5 / count}
