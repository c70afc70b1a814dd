"""A training from options to a run folder: put together, epochs, outputs; or the validation of weights."""

from __future__ import annotations

import math
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from daas import checkpoint
from daas.errors import BadInput
from daas.locks import locked
from daas.models.weights import Weights
from daas.randomness import kept
from daas.surroundings import usual_torch
from daas.train import build, resume
from daas.train.assemble import Given, Run, advance, batches_of, classes_of, put_together, set_up
from daas.train.batches import Place
from daas.train.checks import check
from daas.train.clock import duration
from daas.train.effects import beside_validation
from daas.train.logs import Logs, mean_lr
from daas.train.loop import train_epoch, validate
from daas.train.options import TrainOptions
from daas.train.output import (
    BEST,
    LAST,
    describe,
    save_weights,
    write_result,
    write_summary,
)  # fmt: skip
from daas.train.repeat import arguments, write_arguments
from daas.train.summary import cost_summary, start_summary
from daas.train.training import Progress
from daas.train.trial import try_out

_KEPT = "The last checkpoint and the weights beside it are of before and stay as they are."


@usual_torch()
def train(options: TrainOptions, given: Given | None = None) -> dict[str, Any]:
    """Trains, or validates with ``options.validate``. The global random streams are afterwards as they were before.

    Args:
        options: See ``daas train --help``.
        given: Images and policy of a program, in place of those that the options name.

    Returns:
        ``top1`` and ``top5`` (percent) and ``loss`` after the last epoch, ``best_top1``, ``best_epoch`` and ``output``.

    Raises:
        BadInput: Options, images, model or checkpoint that cannot be used; an output folder of another run.
        FloatingPointError: The loss is no longer a number.
    """
    check(options)
    place = build.place(options)
    with kept(place.device):
        if options.validate:
            return _validate_only(options, place)
        folder = Path(options.output) / (options.experiment or f"{options.model.replace('/', '-')}-{options.seed}")
        with locked(folder, "--output") if place.first else nullcontext():
            return _whole(options, place, folder, given or Given())


def _whole(options: TrainOptions, place: Place, folder: Path, given: Given) -> dict[str, Any]:
    """A training in a folder that nobody else works on."""
    repeat = arguments(options, given.policy, given.train is not None)
    run, source = put_together(options, place, folder, given)
    if source is not None:
        _restore(run, source)
    elif run.progress.epoch >= run.epochs:
        raise BadInput(f"--start-epoch {options.start_epoch}: there are only {run.epochs} epochs; nothing to train.")
    if place.first:
        print(start_summary(run), flush=True)
    memory = try_out(run)
    if place.first:
        print(cost_summary(run, memory), flush=True)
        run.logs = Logs(options, folder, run.progress.epoch * run.batches.per_epoch + run.progress.batch)
        if source is not None:
            resume.take_weights(source, folder)
        write_arguments(folder, repeat, given.policy)
    try:
        untold = place.first and run.progress.batch == 0  # an epoch that a resumed run finishes says nothing
        while run.progress.epoch < run.epochs:
            began = time.monotonic()
            _epoch(run)
            if untold:
                _say_how_long(run, time.monotonic() - began)
                untold = False
        if place.first:
            _write(run)
    finally:
        if run.logs is not None:
            run.logs.close()
            print(f"\n{run.clock.text(place.world)}", flush=True)
    return _summary(run)


def _epoch(run: Run) -> None:
    """Trains the rest of an epoch, validates, writes everything."""
    options, progress, learner, place = run.options, run.progress, run.learner, run.place
    epoch = progress.epoch
    loss = train_epoch(run, partial(_after_batch, run))
    last = epoch + 1 == run.epochs
    due = last or (epoch + 1) % options.val_interval == 0
    metrics = validate(run, run.shown) if due else None
    if metrics is not None and not math.isfinite(metrics["loss"]):
        raise FloatingPointError(
            f"the validation loss is {metrics['loss']} after epoch {epoch} (from 0), where the training loss was "
            f"{loss:.3g}. {_KEPT} Try a smaller --lr, --clip-grad, or a longer warm-up."
        )
    run.rows.append({"epoch": epoch, "train": {"loss": loss}, "eval": metrics, "lr": mean_lr(learner.optimizer)})
    run.progress = Progress(epoch + 1)
    better = metrics is not None and (run.best < 0 or _better(metrics, run.rows[run.best]["eval"], options.eval_metric))
    if better:
        run.best = len(run.rows) - 1
    if learner.schedule is not None:
        learner.schedule.step(epoch + 1, _watched(run))
    if place.first:
        if better:
            save_weights(run.shown, run.folder / BEST, run.batches.class_names)
        if metrics is not None:  # result.json says what they are worth; the checkpoint has those of other epochs
            save_weights(run.shown, run.folder / LAST, run.batches.class_names)
    _save(run, within_epoch=False)
    if place.first:
        _write(run, new_row=True)
        _say(run, loss, metrics)


def _better(metrics: dict[str, float], than: dict[str, float], name: str) -> bool:
    return metrics[name] < than[name] if name == "loss" else metrics[name] > than[name]


def _watched(run: Run) -> float | None:
    """What a plateau schedule sees after the last epoch: nothing where that was not validated, and it waits."""
    metrics = run.rows[-1]["eval"]
    return None if metrics is None else float(metrics[run.options.eval_metric])


def _after_batch(run: Run, images: Tensor) -> None:
    """Logs, and a checkpoint every ``--recovery-interval`` batches."""
    progress, total = run.progress, run.batches.per_epoch
    if run.logs is not None:
        run.logs.batch(
            progress.epoch * total + progress.batch, progress.epoch, progress.batch, total, progress.losses.avg,
            mean_lr(run.learner.optimizer), images,
        )  # fmt: skip
    interval = run.options.recovery_interval
    if interval and progress.batch % interval == 0 and progress.batch < total:
        _save(run, within_epoch=True)


def _save(run: Run, within_epoch: bool) -> None:
    """Writes the checkpoint.

    Raises:
        FloatingPointError: There are weights that are no numbers.
    """
    for name, tensor in run.learner.model.named_parameters():
        if not bool(torch.isfinite(tensor).all()):
            raise FloatingPointError(
                f"{name} holds values that are no numbers after batch {run.progress.batch} of epoch "
                f"{run.progress.epoch} (from 0). {_KEPT} Try a smaller --lr, --clip-grad, or a longer warm-up."
            )
    losses = run.progress.losses
    meta = {
        "inputs": run.inputs, "epoch": run.progress.epoch, "batch": run.progress.batch,
        "rows": run.rows, "best": run.best, "clock": run.clock.seconds, "images": run.clock.images,
        "seconds": run.seconds + time.monotonic() - run.since,
    }  # fmt: skip
    own = {
        "random": run.batches.state(within_epoch),
        "losses": torch.tensor([losses.sum, losses.count], dtype=torch.float64),
    }
    resume.save(run.folder, run.learner, own, run.options, run.place, meta)


def _restore(run: Run, source: Path) -> None:
    fresh = [group["lr"] for group in run.learner.optimizer.param_groups]
    own, meta = resume.load(source, run.learner, run.options, run.place, run.inputs)
    with checkpoint.fitting(source):
        _take(run, own, meta)
        _catch_up(run, fresh)


def _take(run: Run, own: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """What the run knew besides its weights."""
    resume.check_progress(meta, run.epochs, run.batches.per_epoch, run.clock.seconds)
    run.batches.resume(own["random"])
    run.rows, run.best = list(meta["rows"]), meta["best"]
    run.progress = Progress(meta["epoch"], meta["batch"])
    losses = run.progress.losses
    losses.sum, losses.count = own["losses"].tolist()
    losses.avg = losses.sum / losses.count if losses.count else 0.0
    run.clock.seconds, run.clock.images, run.seconds = dict(meta["clock"]), meta["images"], float(meta["seconds"])


def _catch_up(run: Run, fresh: list[float]) -> None:
    """Brings the schedule from the learning rates that a run begins with to where this one is."""
    losses = run.progress.losses
    schedule, updates = run.learner.schedule, run.learner.updates_per_epoch
    if schedule is None:
        return
    for group, lr in zip(run.learner.optimizer.param_groups, fresh, strict=True):
        group["lr"] = lr  # a plateau schedule changes what is there
    rows, run.rows = run.rows, []
    for row in rows:  # a plateau schedule remembers all of them
        run.rows.append(row)
        advance(schedule, row["epoch"] + 1, (row["epoch"] + 1) * updates, _watched(run), run.options)
    if run.progress.batch:
        done = run.progress.epoch * updates + -(-run.progress.batch // run.options.grad_accum_steps)
        schedule.step_update(num_updates=done, metric=losses.avg)


def _write(run: Run, new_row: bool = False) -> None:
    """Writes summary.csv and result.json."""
    write_summary(run.folder, run.rows, run.options.log_wandb and new_row)
    validated = [row for row in run.rows if row["eval"]]
    if run.best < 0 or not validated:
        return
    best, last = run.rows[run.best], validated[-1]
    if run.logs is not None and new_row:
        row = run.rows[-1]
        values = {
            "train_loss": row["train"]["loss"],
            "lr": row["lr"],
            **{f"eval_{k}": v for k, v in (row["eval"] or {}).items()},
        }
        run.logs.epoch(run.progress.epoch * run.batches.per_epoch, values)
    clock, world = run.clock, run.place.world
    measured = {
        "seconds": run.seconds + time.monotonic() - run.since, "images_per_second": clock.rate(world),
        "data_share": clock.share("data"), "augmentation_share": clock.share("augmentation"), "processes": world,
        "device": str(run.place.device),
    }  # fmt: skip
    description = describe(
        run.options, run.learner.model, build.model_kwargs(run.options), run.batches, run.augmentation.policy
    )
    write_result(
        run.folder,
        description,
        {"epoch": best["epoch"], **best["eval"]},
        {"epoch": last["epoch"], **last["eval"]},
        measured,
    )


def _say(run: Run, loss: float, metrics: dict[str, float] | None) -> None:
    found = "" if metrics is None else f"  validation loss {metrics['loss']:.3f}  top-1 {metrics['top1']:.2f}%"
    if metrics is not None:
        found += f"  balanced {metrics['balanced_accuracy']:.2f}%"
    print(f"epoch {run.progress.epoch:>3}/{run.epochs}  train loss {loss:.3f}{found}", flush=True)


def _say_how_long(run: Run, seconds: float) -> None:
    """After the first whole epoch: how long the others take, if they take as long as this one."""
    if left := run.epochs - run.progress.epoch:
        print(f"An epoch takes {duration(seconds)}: about {duration(left * seconds)} for the rest.", flush=True)


def _summary(run: Run) -> dict[str, Any]:
    last = next((row["eval"] for row in reversed(run.rows) if row["eval"]), None)
    if last is None:
        raise BadInput(
            f"--start-epoch {run.options.start_epoch}: there are only {run.epochs} epochs; nothing to train."
        )
    best = run.rows[run.best]
    return {
        **last, "best_top1": best["eval"]["top1"], "best_epoch": best["epoch"], "output": str(run.folder),
    }  # fmt: skip


def _validate_only(options: TrainOptions, place: Place) -> dict[str, Any]:
    weights = Weights.read(options.validate)
    if place.first and (text := beside_validation(options)):
        print(f"Warning: {text}", file=sys.stderr)
    batches = batches_of(options, place, None, train=False)
    names = weights.class_names or batches.val_class_names
    classes = classes_of(options, names, batches.name if weights.class_names is None else options.validate)
    random = replace(options, pretrained=False, pretrained_path="", initial_checkpoint="")  # its own are overwritten
    model = build.network(random, classes)
    weights.into(model)
    model = model.to(place.device)
    metrics = validate(set_up(options, place, batches, classes, weights), model)
    if not math.isfinite(metrics["loss"]):
        raise FloatingPointError(
            f"the validation loss of {options.validate} is {metrics['loss']}: it answers no numbers"
        )
    if place.first:
        print(
            f"{options.validate}: top-1 {metrics['top1']:.2f}%, top-5 {metrics['top5']:.2f}%, balanced accuracy "
            f"{metrics['balanced_accuracy']:.2f}%, loss {metrics['loss']:.4f}, {batches.val_images} images"
        )
    return dict(metrics)
