"""A whole search: epochs of iterations, warm-up first, with checkpoints and metrics; then the derivation."""

from __future__ import annotations

import math
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from daas import processes, ranges
from daas.checkpoint import fitting
from daas.errors import BadInput, plain
from daas.files import copy, digest, make_folder
from daas.locks import locked
from daas.models.start import Start
from daas.search.algorithm.state import Moment
from daas.search.algorithm.step import advance
from daas.search.budget.latency import LATENCY, save_latency
from daas.search.found import Found
from daas.search.given import Given
from daas.search.graphs.passes import why_launched
from daas.search.options import SearchConfig, options
from daas.search.report import board, measures, metrics, start, warnings
from daas.search.runs import checkpoint, independent
from daas.search.runs.build import build_data, build_search, inputs
from daas.search.runs.finish import finish
from daas.search.runs.folder import CHECKPOINT, METRICS, checkpoint_to_resume
from daas.search.runs.limits import earlier_latency, hashed, limit, skips
from daas.search.runs.plan import Plan
from daas.search.runs.run import Run
from daas.search.runs.stop import Diverged, Interrupted, StopRequest, TimeBudget

_PAIRS = 4  # comparisons of the policy with a uniform one per epoch


def search(config: SearchConfig, given: Given | None = None) -> Found:
    """Runs a search; under ``torchrun`` together with the other processes.

    Torch's global random streams are afterwards as they were before.

    Args:
        config: The options; ``config.out``, unless None, receives genotype.json, policy.json, summary.json,
            metrics.jsonl, report.html and the checkpoints.
        given: What a program gives as objects.

    Returns:
        What was found; in processes other than the first without metrics and summary.

    Raises:
        BadInput: Options, images or an output folder that cannot be used; nothing is written over.
        Interrupted: The user stopped the run; the checkpoint is saved.
        Diverged: A loss became infinite or not a number.
    """
    given = Given() if given is None else given
    check(config, given)
    with processes.processes():
        if config.mode == "independent":
            return independent.search(config, given, search)
        device = processes.local_device(config.device)
        alone = locked(config.out) if processes.rank() == 0 and config.out is not None else nullcontext()
        with alone, torch.random.fork_rng([device] if device.type == "cuda" else []):
            run = _start(config, given, device)
            _loop(run)
            found = finish(run)
            processes.wait()
    return found


def check(config: SearchConfig, given: Given) -> None:
    """Raises BadInput for options and objects that are out of range or contradict each other."""
    config.check(images_given=given.data is not None)
    if config.graph == "on":
        why_launched(config, processes.local_device(config.device))
    if config.out is None and (config.resume or config.tensorboard):
        raise BadInput(f"{'resume' if config.resume else 'tensorboard'} needs a folder; name one with out=.")
    if given.network is not None and Start.of(config).given:
        words = Start.of(config).words()
        raise BadInput(f"network is a module and has weights of its own; {words[0]} is for timm's names.")
    if given.val is not None and config.mode == "one-level":
        raise BadInput("mode one-level learns everything on the training images; leave out val.")
    if given.callbacks and not all(callable(callback) for callback in given.callbacks):
        raise BadInput("A callback is a function that takes the epoch's line (a dict).")


def _start(config: SearchConfig, given: Given, device: torch.device) -> Run:
    """Reads images and, to go on with a run, its checkpoint; nothing is written before all of it fits."""
    budget = TimeBudget(config.budget_seconds)
    source = checkpoint_to_resume(config)
    config = replace(config, max_skips=skips(config, source))
    with processes.in_turn():  # the first process downloads
        data = build_data(config, given)
    state = build_search(config, data, device, given)
    plan = Plan(config, data.train.steps_per_epoch)
    totals = torch.zeros(5, dtype=torch.float64, device=device)
    run = Run(config, given, data, state, plan, device, totals, measures.PolicySignal(), budget)
    classes = len(data.train.data.class_names)
    run.latency = limit(state, config, int(data.facts["image_size"]), classes, earlier_latency(config, source))
    run.inputs = inputs(data, state) | hashed(run.latency)
    if (start := Start.of(config)).given:
        run.inputs["weights"] = digest(start.contents())
    if given.estimator is not None and not given.estimator.name:
        run.inputs["estimator"] = repr(given.estimator)
    damage = ""
    if source is not None:
        epoch, progress, damage = checkpoint.restore(source, state, options(config), run.inputs)
        with fitting(source):
            run.totals = epoch.pop("totals").to(device)
            run.signal = measures.PolicySignal.of(epoch)
        run.step, run.before = int(progress["step"]), float(progress["seconds"])
        history = source.parent / METRICS
        if run.step >= plan.last_step and not os.path.exists(history):
            raise BadInput(f"{source} has nothing left to do, and its {METRICS} is not beside it. Copy that file too.")
    processes.check_same("At the start", checkpoint.tensors(state))
    if run.writes:
        _open_output(run, source, damage)
    return run


def _open_output(run: Run, source: Path | None, damage: str) -> None:
    out = run.config.out
    if run.step < run.plan.last_step:
        for text in start.about(run.config, run.data, run.plan, run.search):
            tqdm.write(plain(text))
        own = (start.too_few(run.config, run.data, run.plan), start.rising(run.config))
        for text in filter(None, (*warnings.about_images(run.data.facts).values(), *own)):
            print(f"Warning: {plain(text)}", file=sys.stderr)
    if out is None:
        return
    make_folder(out, "--out")
    if damage:
        print(f"{damage}\nGoing on from the checkpoint before it, iteration {run.step}.", file=sys.stderr)
        if source == out / CHECKPOINT:
            source.replace(source.with_name("checkpoint.damaged.safetensors"))
    if source is not None and not source.parent.samefile(out) and os.path.exists(source.parent / METRICS):
        copy(source.parent / METRICS, out / METRICS, metrics.GO_ON)
    if run.latency is not None:
        save_latency(out / LATENCY, run.latency)
    if not os.path.exists(out / CHECKPOINT):
        run.save()  # from here on there is always something to go on from
    run.lines = metrics.keep_lines(out / METRICS, run.step)
    if run.config.tensorboard:
        run.board = board.Board(out, run.step)


def _loop(run: Run) -> None:
    saved = began = time.monotonic()
    first = run.step
    hidden = None if run.writes else True
    with (
        StopRequest() as stop,
        tqdm(total=run.plan.last_step, initial=run.step, unit="step", disable=hidden, dynamic_ncols=True) as bar,
    ):
        while run.step < run.plan.last_step and not run.stopped:
            _advance(run)
            bar.update()
            if run.writes and run.step == first + 1 == 1:
                tqdm.write(start.estimate(run.config, run.plan, time.monotonic() - began))
            epoch_ends = run.plan.epoch_ends(run.step)
            due = time.monotonic() - saved > run.config.save_every
            interrupt, spent, due = processes.any_of(stop.requested, run.budget.spent(), due)
            if spent and run.step < run.plan.last_step:
                run.stopped = "time budget"
            if run.step % 10 == 0 or epoch_ends:
                _show(run, bar)
            if epoch_ends:
                wanted = _end_epoch(run)
                if processes.any_of(wanted)[0] and run.step < run.plan.last_step:
                    run.stopped = "callback"
            if epoch_ends or due or interrupt or run.stopped or run.step == run.plan.last_step:
                run.save()
                saved = time.monotonic()
            if interrupt and run.step < run.plan.last_step and not run.stopped:
                raise _interrupted(run)
    if not run.stopped and run.step < run.plan.planned_steps:
        run.stopped = "limit of iterations"
    if not run.plan.epoch_ends(run.step):
        _end_epoch(run, partial=True)
    if run.board is not None:
        run.board.close()


def _interrupted(run: Run) -> Interrupted:
    done = f"Stopped after {run.step} of {run.plan.last_step} iterations"
    if run.config.out is None:
        return Interrupted(f"{done}; nothing is saved without a folder (out).")
    return Interrupted(
        f"{done}; the state is saved in {run.config.out / CHECKPOINT}. Go on with the same command and --resume auto."
    )


def _advance(run: Run) -> None:
    """One iteration, counted."""
    eta = run.plan.eta(run.step)
    try:
        result = advance(
            run.search,
            run.data.train_batch(run.step, run.device),
            run.data.val_batch(run.step, run.device),
            Moment(run.step, eta, run.plan.temperature(run.step), run.plan.joint(run.step)),
        )
    except FloatingPointError as error:
        raise _diverged(run, str(error)) from error
    run.totals[:4] += result.means(run.device)
    run.totals[4] += 1
    run.signal.add(result.policy_gradient)
    run.step += 1


def _diverged(run: Run, what: str) -> Diverged:
    before = "" if run.config.out is None else f" The last checkpoint in {run.config.out} is from before;"
    return Diverged(
        f"Stopped at iteration {run.step + 1} of {run.plan.last_step}: {what}.{before} try a smaller --lr (it is "
        f"{run.config.lr}) in a new --out."
    )


def _show(run: Run, bar: tqdm[Any]) -> None:
    train_loss, train_correct, val_loss, val_correct = (run.totals[:4] / run.totals[4]).tolist()
    bar.set_description(f"epoch {run.plan.epoch(run.step - 1) + 1}/{run.plan.epochs}")
    bar.set_postfix_str(
        f"train {train_loss:.3f} {100 * train_correct:.1f}% val {val_loss:.3f} {100 * val_correct:.1f}%", refresh=False
    )


def _end_epoch(run: Run, partial: bool = False) -> bool:
    """Notes the epoch's line of metrics and starts the sums anew.

    Args:
        run: The run.
        partial: The run ends within the epoch; if it is resumed later, the line of the whole epoch takes its place.

    Returns:
        Whether a callback wants the run to stop.
    """
    wanted = False
    train_loss, train_correct, val_loss, val_correct = (run.totals[:4] / run.totals[4]).tolist()
    last = run.step - 1
    if not all(math.isfinite(value) for value in (train_loss, val_loss)):
        raise _diverged(run, "the loss is no longer a number")
    processes.check_same(f"After {run.step} iterations", checkpoint.tensors(run.search))
    if run.writes:
        line: dict[str, Any] = {
            "epoch": run.plan.epoch(last) + 1,
            "phase": run.plan.phase(last),
            "step": run.step,
            "seconds": round(run.seconds, 2),
            "lr": run.plan.eta(last),
            "train_loss": train_loss,
            "train_accuracy": 100 * train_correct,
            "val_loss": val_loss,
            "val_accuracy": 100 * val_correct,
            "derived_accuracy": measures.derived_accuracy(run.search, run.data, run.device),
            **metrics.distributions(run.search),
        }
        if run.search.augmentation is not None and run.search.estimator.learns and run.plan.joint(last):
            line["policy_signal"] = run.signal.ratios()
            pairs = measures.affordable(run.plan.steps_per_epoch, _PAIRS)
            if pairs and not run.config.race:  # a race says more
                line["policy_gain"] = measures.policy_gain(
                    run.search, run.data, run.device, run.step, run.plan.middle_eta, pairs
                )
        _note_epoch(run, line | ({"partial": True} if partial else {}))
        answers = [callback(dict(line)) for callback in run.given.callbacks]
        wanted = any(ranges.plain(answer) is True for answer in answers)
    run.totals.zero_()
    run.signal = measures.PolicySignal()
    return wanted


def _note_epoch(run: Run, line: dict[str, Any]) -> None:
    run.lines.append(line)
    if run.config.out is not None:
        metrics.append_line(run.config.out / METRICS, line)
    if run.board is not None:
        run.board.line(line)
    tqdm.write(metrics.in_words(line))
    if 2 * line["epoch"] > run.plan.epochs:  # before, cells and policies are hardly more than their random start
        gains = [earlier["policy_gain"] for earlier in run.lines[-5:] if "policy_gain" in earlier]
        gain = metrics.pooled(gains) if run.search.history is None else None  # of gamma, which is not what is derived
        for kind, text in warnings.about_search(run.search, run.lines, gain).items():
            if kind not in run.warned:
                run.warned.add(kind)
                tqdm.write(f"Warning: {plain(text)}")
    sys.stdout.flush()  # a log file shows the epoch when it ends
