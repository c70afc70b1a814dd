"""An epoch of training and an epoch of validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator

import torch
from timm.utils import AverageMeter, accuracy, distribute_bn
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from daas import checkpoint
from daas.errors import BadInput
from daas.models.interface import TimmNetwork
from daas.recording import Uncapturable, say_eager
from daas.train.augmentation import Ready
from daas.train.batches import Batch, Place
from daas.train.step import autocast, step
from daas.train.training import Setting, Training

DIVERGED = "diverged.safetensors"
_LOOK = 50  # captured steps after which the host waits for their losses


def train_epoch(run: Training, after_batch: Callable[[Tensor], None] | None = None) -> float:
    """Trains from ``run.progress`` to the end of its epoch.

    Args:
        run: Is changed.
        after_batch: Called after every batch with its images, as the network saw them: logs and checkpoints.

    Returns:
        The mean training loss over all processes.

    Raises:
        BadInput: ``--graph on``, and the network cannot be captured.
        FloatingPointError: The loss is infinite or not a number; the batch is saved, if it is still there.
    """
    batches = batch_by_batch(run)
    while True:
        try:
            images = next(batches)
        except StopIteration as end:
            return float(end.value)
        if after_batch is not None:
            after_batch(images)


def batch_by_batch(run: Training) -> Generator[Tensor, None, float]:
    """``train_epoch`` in pieces: gives every batch's images when it is done, and returns the mean loss."""
    options, learner, place, progress = run.options, run.learner, run.place, run.progress
    _begin(run)
    total, accumulate = run.batches.per_epoch, options.grad_accum_steps
    run.clock.start_lap()
    hidden = None if place.first and run.bar else True
    with tqdm(total=total, initial=progress.batch, unit="batch", disable=hidden, leave=False) as bar:
        for ready in _augmented(run):
            index = progress.batch
            whole = (index + 1) % accumulate == 0 or index + 1 == total
            parts = total % accumulate if index >= total - total % accumulate else accumulate
            progress.batch += 1
            if not _captured(run, ready):
                images = run.augmentation.finish(ready.images, ready.draw)  # nothing, unless it was to be captured
                if options.channels_last:
                    images = images.contiguous(memory_format=torch.channels_last)
                value = step(learner, images, ready.targets, whole, parts, options, place)
                if not math.isfinite(_worst(value, place)):
                    raise FloatingPointError(_diverged(run, index, value, images, ready.targets))
                progress.losses.update(value, len(images))
                ready = Ready(images, ready.targets)
            run.clock.images += len(ready.images)
            if whole:
                _after_update(run)
            run.clock.lap("training")
            bar.set_postfix(loss=f"{progress.losses.avg:.3f}", refresh=False)
            bar.update()
            yield ready.images
    run.clock.lap("training")
    _end(run)
    return _mean(progress.losses, place)


def _begin(run: Training) -> None:
    """Tells everything that changes over the epochs which one it is."""
    options, learner, progress = run.options, run.learner, run.progress
    run.augmentation.set_epoch(progress.epoch)
    ramp = options.drop_path_ramp and isinstance(learner.model, TimmNetwork)
    if ramp:
        learner.model.set_drop_path((options.drop_path or 0.0) * progress.epoch / run.epochs)  # type: ignore[operator]  # a TimmNetwork
    learner.runner.train()
    if learner.captured is not None:
        learner.captured.start_at(progress.epoch * learner.updates_per_epoch + progress.batch)
        policy = run.augmentation.policy
        if ramp or (policy is not None and policy.schedule is not None):
            learner.captured.forget()


def _end(run: Training) -> None:
    """What follows the last batch of an epoch."""
    learner, place, options = run.learner, run.place, run.options
    if hasattr(learner.optimizer, "sync_lookahead"):
        learner.optimizer.sync_lookahead()
    if place.world > 1 and options.dist_bn:
        distribute_bn(learner.model, place.world, options.dist_bn == "reduce")
        if learner.ema is not None and not options.model_ema_force_cpu:
            distribute_bn(learner.ema, place.world, options.dist_bn == "reduce")


def _captured(run: Training, ready: Ready) -> bool:
    """Takes a captured step, if steps are captured, and looks at its loss when somebody wants to know.

    Raises:
        BadInput: ``--graph on``, and the network cannot be captured.
        FloatingPointError: A loss since the last look is infinite or not a number.
    """
    options, learner, progress = run.options, run.learner, run.progress
    if learner.captured is None:
        return False
    try:
        progress.unseen.append((learner.captured(ready), len(ready.images)))
    except Uncapturable as error:
        if options.graph == "on":
            raise BadInput(f"--graph on: the step cannot be captured: {error}. Leave --graph out.") from error
        learner.captured, learner.eager = None, str(error)
        say_eager(str(error))
        return False
    intervals = (_LOOK, options.log_interval, options.recovery_interval)
    if progress.batch == run.batches.per_epoch or any(n and progress.batch % n == 0 for n in intervals):
        _look(run)
    return True


def _look(run: Training) -> None:
    """Waits for the losses of captured steps."""
    progress = run.progress
    values = torch.stack([loss for loss, _ in progress.unseen]).tolist()
    counts = [count for _, count in progress.unseen]
    first = progress.batch - len(values)
    progress.unseen.clear()
    for index, (value, count) in enumerate(zip(values, counts, strict=True), first):
        if not math.isfinite(value):
            raise FloatingPointError(_diverged(run, index, value))
        progress.losses.update(value, count)


def _augmented(run: Training) -> Iterator[Ready]:
    """The rest of the epoch's batches, as the step gets them: a captured one does the last part itself."""
    source = run.batches.epoch(run.progress.epoch, run.progress.batch)

    def following() -> Ready | None:
        batch: Batch | None = next(source, None)
        if batch is None:
            return None
        with run.clock.spend("augmentation"):
            if run.learner.captured is not None and run.augmentation.all_in(batch):
                return run.augmentation.prepare(batch)
            return Ready(*run.augmentation(batch))

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


def _worst(value: float, place: Place) -> float:
    """A number that is infinite everywhere as soon as it is not finite in one process."""
    if place.world == 1:
        return value
    bad = torch.tensor(0.0 if math.isfinite(value) else 1.0, device=place.device)
    torch.distributed.all_reduce(bad)
    return math.inf if float(bad) else value


def _diverged(
    run: Training, index: int, value: float, images: Tensor | None = None, targets: Tensor | None = None
) -> str:
    """Saves the batch, where it is still there and there is a folder, and says what happened."""
    place, epoch = run.place, run.progress.epoch
    saved = ""
    if images is None or targets is None:
        saved = " (a captured step keeps no batch; with --graph off it is saved)"
    elif run.folder is not None:
        path = run.folder / (DIVERGED if place.world == 1 else f"rank{place.rank}-{DIVERGED}")
        run.folder.mkdir(parents=True, exist_ok=True)
        meta = {"epoch": epoch, "batch": index, "loss": str(value), "rank": place.rank}
        checkpoint.save(path, {"images": images, "targets": targets}, meta)
        saved = f"; the batch is in {path}. An earlier checkpoint is untouched"
    return (
        f"the loss is {value} in epoch {epoch}, batch {index} (both from 0){saved}. "
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
