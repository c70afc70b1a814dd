"""A whole search: epochs of iterations, warm-up first, with checkpoints and logs; then the derivation."""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from daas.errors import BadInput
from daas.search import independent, record, resume
from daas.search.build import SearchData, build_data, build_search
from daas.search.config import SearchConfig, options
from daas.search.report import write_report
from daas.search.state import Search
from daas.search.step import iteration

CHECKPOINT = "checkpoint.safetensors"
RUN_FILES = ("genotype.json", "policy.json", "summary.json", "metrics.jsonl", "report.html", CHECKPOINT)
_SAVE_EVERY = 120.0  # seconds between checkpoints within an epoch


class Interrupted(Exception):
    """The user stopped the run; its state is saved, and the message says how to go on."""


class Diverged(Exception):
    """A loss was no longer a number; the message says where."""


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
    def last_step(self) -> int:
        """Number of iterations of the whole run."""
        planned = self.epochs * self.steps_per_epoch
        return planned if self.config.max_steps is None else min(planned, self.config.max_steps)

    def epoch(self, step: int) -> int:
        """Epoch of a step, from 0."""
        return step // self.steps_per_epoch

    def joint(self, step: int) -> bool:
        """Whether policies are sampled and learned at this step."""
        return self.config.mode != "arch" and self.epoch(step) >= self.config.warmup_epochs

    def eta(self, step: int) -> float:
        """Learning rate of the weights: a cosine from --lr to --min-lr."""
        share = self.epoch(step) / max(1, self.epochs - 1)
        return self.config.min_lr + 0.5 * (self.config.lr - self.config.min_lr) * (1 + math.cos(math.pi * share))

    def temperature(self, step: int) -> float:
        """Tau of eq. 10 and 11: linear from --tau-max to --tau-min."""
        share = self.epoch(step) / max(1, self.epochs - 1)
        return self.config.tau_max + share * (self.config.tau_min - self.config.tau_max)


@dataclass
class Run:
    """A search in progress.

    Attributes:
        totals: [5] float64 on the device: sums of the epoch's train loss, train correct, validation loss, validation
            correct, and their count.
        step: Iterations done.
        before: Seconds spent before this process took over.
    """

    config: SearchConfig
    data: SearchData
    search: Search
    plan: Plan
    device: torch.device
    totals: Tensor
    step: int = 0
    before: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of search, over all resumptions."""
        return self.before + time.monotonic() - self.started

    def save(self) -> None:
        """Writes the checkpoint."""
        progress = {"step": self.step, "seconds": self.seconds}
        resume.save(self.config.out / CHECKPOINT, self.search, self.totals, progress, options(self.config))


def search(config: SearchConfig) -> Path:
    """Runs a search and writes its results.

    Args:
        config: The options; ``config.out`` receives genotype.json, policy.json, summary.json, metrics.jsonl,
            report.html and the checkpoint.

    Returns:
        The path of the report.

    Raises:
        BadInput: Options, images or an output folder that cannot be used; nothing is written over.
        Interrupted: The user stopped the run; the checkpoint is saved.
        Diverged: A loss became infinite or not a number.
    """
    config.check()
    if config.mode == "independent":
        return independent.search(config, search)
    source = _checkpoint_to_resume(config)
    device = torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    )
    data = build_data(config)
    state = build_search(config, data, device)
    plan = Plan(config, data.train.steps_per_epoch)
    run = Run(config, data, state, plan, device, torch.zeros(5, dtype=torch.float64, device=device))
    if source is not None:
        totals, progress = resume.restore(source, state, options(config))
        run.totals, run.step, run.before = totals.to(device), int(progress["step"]), float(progress["seconds"])
    config.out.mkdir(parents=True, exist_ok=True)
    record.keep_lines(config.out / "metrics.jsonl", run.step)
    _loop(run)
    return _finish(run)


def _checkpoint_to_resume(config: SearchConfig) -> Path | None:
    """The checkpoint to go on from, or None for a new run; refuses an output folder that holds another run."""
    present = [name for name in RUN_FILES if (config.out / name).exists()]
    if config.out.exists() and not config.out.is_dir():
        raise BadInput(f"--out {config.out} is a file; name a folder.")
    if config.resume and config.resume != "auto":
        if not Path(config.resume).is_file():
            raise BadInput(f"--resume {config.resume}: there is no such checkpoint. auto takes the one in --out.")
        return Path(config.resume)
    if config.resume == "auto" and CHECKPOINT in present:
        return config.out / CHECKPOINT
    if present:
        raise BadInput(
            f"--out {config.out} holds another run ({', '.join(present)}), and nothing is written over. Go on with it "
            "by --resume auto, or choose another folder."
        )
    return None


class _StopRequest:
    """Notes Ctrl-C (or SIGTERM), so that the run stops between two iterations; a second one stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not in the main thread: whoever runs us there handles its own signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def _loop(run: Run) -> None:
    saved = time.monotonic()
    with (
        _StopRequest() as stop,
        tqdm(total=run.plan.last_step, initial=run.step, unit="step", disable=None, dynamic_ncols=True) as bar,
    ):
        while run.step < run.plan.last_step:
            _advance(run)
            bar.update()
            epoch_ends = run.step % run.plan.steps_per_epoch == 0 or run.step == run.plan.last_step
            if run.step % 10 == 0 or epoch_ends:
                _show(run, bar)
            if epoch_ends:
                _end_epoch(run)
            if epoch_ends or stop.requested or time.monotonic() - saved > _SAVE_EVERY:
                run.save()
                saved = time.monotonic()
            if stop.requested and run.step < run.plan.last_step:
                raise Interrupted(
                    f"Stopped after {run.step} of {run.plan.last_step} iterations; the state is saved in "
                    f"{run.config.out / CHECKPOINT}. Go on with the same command and --resume auto."
                )


def _advance(run: Run) -> None:
    """One iteration, counted."""
    eta = run.plan.eta(run.step)
    for group in run.search.weights.param_groups:
        group["lr"] = eta
    try:
        result = iteration(
            run.search,
            run.data.train_batch(run.step, run.device),
            run.data.val_batch(run.step, run.device),
            run.step,
            eta,
            run.plan.temperature(run.step),
            run.plan.joint(run.step),
        )
    except FloatingPointError as error:
        raise _diverged(run, str(error)) from error
    run.totals[:4] += result.means(run.device)
    run.totals[4] += 1
    run.step += 1


def _diverged(run: Run, what: str) -> Diverged:
    return Diverged(
        f"Stopped at iteration {run.step + 1} of {run.plan.last_step}: {what}. The last checkpoint in {run.config.out} "
        f"is from before; try a smaller --lr (it is {run.config.lr}) in a new --out."
    )


def _show(run: Run, bar: tqdm[Any]) -> None:
    train_loss, train_correct, val_loss, val_correct = (run.totals[:4] / run.totals[4]).tolist()
    bar.set_description(f"epoch {run.plan.epoch(run.step - 1) + 1}/{run.plan.epochs}")
    bar.set_postfix_str(
        f"train {train_loss:.3f} {100 * train_correct:.1f}% val {val_loss:.3f} {100 * val_correct:.1f}%", refresh=False
    )


def _end_epoch(run: Run) -> None:
    """Writes the epoch's line of metrics and starts the sums anew."""
    train_loss, train_correct, val_loss, val_correct = (run.totals[:4] / run.totals[4]).tolist()
    last = run.step - 1
    if not all(math.isfinite(value) for value in (train_loss, val_loss)):
        raise _diverged(run, "the loss is no longer a number")
    line = {
        "epoch": run.plan.epoch(last) + 1,
        "phase": "joint" if run.plan.joint(last) or run.plan.epoch(last) >= run.config.warmup_epochs else "warm-up",
        "step": run.step,
        "seconds": round(run.seconds, 2),
        "lr": run.plan.eta(last),
        "train_loss": train_loss,
        "train_accuracy": 100 * train_correct,
        "val_loss": val_loss,
        "val_accuracy": 100 * val_correct,
        **record.distributions(run.search),
    }
    record.append_line(run.config.out / "metrics.jsonl", line)
    tqdm.write(
        f"epoch {line['epoch']:>3} ({line['phase']})  train loss {train_loss:.3f} accuracy {100 * train_correct:.1f}%  "
        f"validation loss {val_loss:.3f} accuracy {100 * val_correct:.1f}%  {run.seconds:.0f} s"
    )
    sys.stdout.flush()  # a log file shows the epoch when it ends
    run.totals.zero_()


def _finish(run: Run) -> Path:
    """Derives the pair, measures it on the validation images, writes the summary and the report."""
    config, out = run.config, run.config.out
    source = f"daas search, mode {config.mode}, {run.data.facts['name']}, preset {config.preset}, seed {config.seed}"
    if run.search.architecture is not None:
        run.search.architecture.derive("searched", source).save(out / "genotype.json")
    if run.search.augmentation is not None:
        run.search.augmentation.derive("searched", source).save(out / "policy.json")
    loss, accuracy = evaluate(run.search, run.data, run.device)
    last_line = json.loads((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    where = record.distributions(run.search)
    warmed_up_only = not run.plan.joint(run.step - 1)
    summary = {
        "format": record.SUMMARY_FORMAT,
        "seed": config.seed,
        "versions": record.versions(),
        "device": str(run.device),
        "options": options(config),
        "data": run.data.facts,
        "steps": run.step,
        "seconds": round(run.seconds, 2),
        "train_loss": last_line["train_loss"],
        "train_accuracy": last_line["train_accuracy"],
        "val_loss": loss,
        "val_accuracy": accuracy,
        "entropy": where["entropy"],
        "warnings": record.plain_warnings(run.search, run.data.facts, warmed_up_only),
    }
    if run.search.architecture is not None:
        summary |= {"primitives": list(run.search.architecture.primitives), "skip_share": where["skip_share"]}
    if run.search.augmentation is not None:
        summary["operation_share"] = where["operation_share"]
    record.write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return write_report(out, run.data.train_batch(0, torch.device("cpu"))[0][:8])


@torch.no_grad()
def evaluate(search: Search, data: SearchData, device: torch.device) -> tuple[float, float]:
    """Loss and accuracy (percent) of the derived network with the shared weights, over one epoch of D_val.

    Batch norm uses batch statistics, as in the search; the figure ranks searches, it is not a trained accuracy.
    """
    z = None if search.architecture is None else search.architecture.derived_architecture()
    rows = []
    for step in range(data.val.steps_per_epoch):
        images, labels = data.val_batch(step, device)
        logits = search.network(search.preparation.normalize(images), z)
        rows.append(torch.stack([cross_entropy(logits, labels), (logits.argmax(-1) == labels).float().mean()]))
    loss, accuracy = torch.stack(rows).double().mean(0).tolist()
    return loss, 100 * accuracy
