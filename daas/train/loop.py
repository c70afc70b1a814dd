"""An epoch of training and an epoch of validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from timm.utils import AverageMeter, accuracy, dispatch_clip_grad, distribute_bn
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from daas import checkpoint
from daas.models.interface import TimmNetwork
from daas.train.batches import Batch, Place
from daas.train.options import TrainOptions
from daas.train.training import Learner, Setting, Training

DIVERGED = "diverged.safetensors"


def autocast(options: TrainOptions, device: torch.device) -> AbstractContextManager[Any]:
    """Mixed precision, if it is asked for."""
    if not options.amp:
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, options.amp_dtype))


def train_epoch(run: Training, after_batch: Callable[[Tensor], None] | None = None) -> float:
    """Trains from ``run.progress`` to the end of its epoch.

    Args:
        run: Is changed.
        after_batch: Called after every batch with its images, as the network saw them: logs and checkpoints.

    Returns:
        The mean training loss over all processes.

    Raises:
        FloatingPointError: The loss is infinite or not a number; the batch is saved.
    """
    options, learner, place, progress = run.options, run.learner, run.place, run.progress
    run.augmentation.set_epoch(progress.epoch)
    if options.drop_path_ramp and isinstance(learner.model, TimmNetwork):
        learner.model.set_drop_path((options.drop_path or 0.0) * progress.epoch / run.epochs)
    learner.runner.train()
    total, accumulate = run.batches.per_epoch, options.grad_accum_steps
    run.clock.start_lap()
    hidden = None if place.first and run.bar else True
    with tqdm(total=total, initial=progress.batch, unit="batch", disable=hidden, leave=False) as bar:
        for images, targets in _augmented(run):
            if options.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            index = progress.batch
            whole = (index + 1) % accumulate == 0 or index + 1 == total
            parts = total % accumulate if index >= total - total % accumulate else accumulate
            value = step(learner, images, targets, whole, parts, options, place)
            if not math.isfinite(_worst(value, place)):
                raise FloatingPointError(_diverged(run, images, targets, value))
            progress.losses.update(value, len(images))
            progress.batch += 1
            run.clock.images += len(images)
            if whole:
                _after_update(run)
            run.clock.lap("training")
            bar.set_postfix(loss=f"{progress.losses.avg:.3f}", refresh=False)
            bar.update()
            if after_batch is not None:
                after_batch(images)
    run.clock.lap("training")
    if hasattr(learner.optimizer, "sync_lookahead"):
        learner.optimizer.sync_lookahead()
    if place.world > 1 and options.dist_bn:
        distribute_bn(learner.model, place.world, options.dist_bn == "reduce")
        if learner.ema is not None and not options.model_ema_force_cpu:
            distribute_bn(learner.ema, place.world, options.dist_bn == "reduce")
    return _mean(progress.losses, place)


def _augmented(run: Training) -> Iterator[tuple[Tensor, Tensor]]:
    """The rest of the epoch's batches, as the network gets them."""
    source = run.batches.epoch(run.progress.epoch, run.progress.batch)

    def following() -> tuple[Tensor, Tensor] | None:
        batch: Batch | None = next(source, None)
        if batch is None:
            return None
        with run.clock.spend("augmentation"):
            return run.augmentation(batch)

    made = following() if run.batches.ahead else None
    while True:
        ready, made = (made, following()) if run.batches.ahead else (following(), None)
        if ready is None:
            return
        yield ready


def _after_update(run: Training) -> None:
    """Moving average and schedule follow the optimizer."""
    learner, progress = run.learner, run.progress
    updates = progress.epoch * learner.updates_per_epoch + -(-progress.batch // run.options.grad_accum_steps)
    if learner.ema is not None:
        learner.ema.update(learner.model, step=updates)
    if learner.schedule is not None:
        learner.schedule.step_update(num_updates=updates, metric=progress.losses.avg)


def step(
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


def _diverged(run: Training, images: Tensor, targets: Tensor, value: float) -> str:
    """Saves the batch, where there is a folder, and says what happened."""
    place, progress = run.place, run.progress
    saved = ""
    if run.folder is not None:
        path = run.folder / (DIVERGED if place.world == 1 else f"rank{place.rank}-{DIVERGED}")
        run.folder.mkdir(parents=True, exist_ok=True)
        meta = {"epoch": progress.epoch, "batch": progress.batch, "loss": str(value), "rank": place.rank}
        checkpoint.save(path, {"images": images, "targets": targets}, meta)
        saved = f"; the batch is in {path}. An earlier checkpoint is untouched"
    return (
        f"the loss is {value} in epoch {progress.epoch}, batch {progress.batch} (both from 0){saved}. "
        "Try a smaller --lr, --clip-grad, or a longer warm-up"
        f"{', or --amp-dtype bfloat16' if run.options.amp else ''}."
    )


def _mean(losses: AverageMeter, place: Place) -> float:
    if place.world == 1:
        return float(losses.avg)
    sums = torch.tensor([losses.sum, losses.count], dtype=torch.float64, device=place.device)
    torch.distributed.all_reduce(sums)
    return float(sums[0] / sums[1])


@torch.no_grad()
def predictions(run: Setting, model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits [B, classes] and labels [B] of this process's validation images, batch by batch, on its device."""
    options, place = run.options, run.place
    model.eval()
    device = next(model.parameters()).device
    for batch in run.batches.validation():
        images = run.augmentation.normalize(batch.images)
        if options.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with autocast(options, place.device):
            logits = model(images.to(device)).to(place.device)
        yield logits, run.val_labels.to(place.device)[batch.targets]


def validate(run: Setting, model: nn.Module) -> dict[str, float]:
    """Loss and accuracy on all validation images, each counted once, over all processes.

    Returns:
        ``loss`` (cross-entropy); in percent ``top1``, ``top5`` and ``balanced_accuracy``, the mean over the classes
        that have images.
    """
    device, classes = run.place.device, int(run.val_labels.max()) + 1
    sums = torch.zeros(4, dtype=torch.float64, device=device)
    right, count = (torch.zeros(classes, dtype=torch.float64, device=device) for _ in range(2))
    with run.clock.spend("validation"):
        for logits, labels in predictions(run, model):
            percent = torch.stack(accuracy(logits, labels, topk=(1, min(5, logits.shape[1]))))
            loss = cross_entropy(logits.float(), labels, reduction="sum")
            sums[0] += loss
            sums[1:3] += (percent * len(labels) / 100).round()
            sums[3] += len(labels)
            right += torch.bincount(labels[logits.argmax(1) == labels], minlength=classes)
            count += torch.bincount(labels, minlength=classes)
    if run.place.world > 1:
        for values in (sums, right, count):
            torch.distributed.all_reduce(values)
    loss_sum, right1, right5, images = sums.tolist()
    balanced = float((right[count > 0] / count[count > 0]).mean())
    return {
        "loss": loss_sum / images, "top1": 100 * right1 / images, "top5": 100 * right5 / images,
        "balanced_accuracy": 100 * balanced,
    }  # fmt: skip
