"""Trainings done by one process or several, that plan, claim and write through the race's journal."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from daas.errors import BadInput
from daas.race.journal import Claim, Journal
from daas.race.rules import Rules, next_round
from daas.race.statistics import Score

_PAUSE = 0.2  # seconds between two looks at what other processes do
_TICK = 0.01  # while they start
Train = Callable[[int, int], Score | None]
"""(candidate, run) -> what the training reached; None where its loss diverged."""
Steps = Callable[[int, int], Generator[None, None, Score | None]]
"""The same in pieces, which several trainings take in turns."""
_UnderWay = tuple[Claim, Generator[None, None, Score | None], float]
"""A training: what it is of, the rest of it, and when it began."""
Watch = Callable[[], bool]
"""Looks at what is new; True stops the race."""


@dataclass(frozen=True)
class Budget:
    """What a race may cost.

    Attributes:
        trainings: At most; None for no limit.
        until: ``time.time()`` after which no training starts; None for no limit.
        workers: Trainings at a time in this process and those that it starts.
    """

    trainings: int | None
    until: float | None
    workers: int = 1

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.until is not None and time.time() >= self.until

    def affordable(self, started: int, seconds: list[float]) -> int:
        """Trainings that may still start.

        Args:
            started: In all rounds so far.
            seconds: That each finished one took.
        """
        left = [] if self.trainings is None else [self.trainings - started]
        if self.until is not None:
            each = sum(seconds) / max(1, len(seconds))
            left.append(int((self.until - time.time()) / max(each, 1e-6) * self.workers))
        return max(0, min(left))


def plan(journal: Journal, candidates: int, rules: Rules, budget: Budget) -> bool:
    """Starts the next round when the last one is complete; within ``journal.locked``.

    Returns:
        Whether there is anything left to do.
    """
    rounds = journal.rounds()
    if not rounds:
        journal.start_round(range(candidates))
        return True
    results, run = journal.results(), len(rounds)
    if any((candidate, run - 1) not in results for candidate in rounds[-1]):
        return True
    affordable = budget.affordable(sum(map(len, rounds)), journal.seconds())
    staying = next_round(results, rounds[-1], run, affordable, rules)
    if staying:
        journal.start_round(staying)
    return bool(staying)


def work(journal: Journal, candidates: int, rules: Rules, budget: Budget, train: Train, watch: Watch) -> None:
    """Does trainings until the race is over, the time is up, or ``watch`` says stop."""
    while not budget.over and not watch():
        with journal.locked():
            if not plan(journal, candidates, rules, budget):
                return
            claim = journal.claim()
        if claim is None:  # others are at work on the rest of the round
            time.sleep(_PAUSE)
            continue
        start = time.monotonic()
        try:
            journal.finish(claim, train(claim.candidate, claim.run), time.monotonic() - start)
        except BaseException:
            journal.leave(claim)  # where the process goes on, as a notebook does after Ctrl-C, nothing else frees it
            raise
    watch()


@dataclass(frozen=True)
class Crew:
    """What a process that helps needs to know; it is sent to it.

    Attributes:
        folder: Of the race.
        names: Of the candidates.
        rules: Of the race.
        budget: Of the race.
        trainer: Does one training; an object that can be sent.
        steps: Where this process does the trainings of all workers in turns, on a GPU; None where it starts others.
    """

    folder: Path
    names: tuple[str, ...]
    rules: Rules
    budget: Budget
    trainer: Train
    steps: Steps | None = None


def side_by_side(journal: Journal, crew: Crew, steps: Steps, watch: Watch) -> None:
    """``work`` with as many trainings under way as there are workers, each of which takes a batch in turn.

    Their results do not depend on each other. Those that are under way when the time is up end; those that are under
    way when ``watch`` says stop are left for another time.
    """
    under_way: list[_UnderWay] = []
    try:
        while not watch():
            over = crew.budget.over
            while not over and len(under_way) < crew.budget.workers:
                with journal.locked():
                    over = not plan(journal, len(crew.names), crew.rules, crew.budget)
                    claim = None if over else journal.claim()
                if claim is None:
                    break
                under_way.append((claim, steps(claim.candidate, claim.run), time.monotonic()))
            if not under_way:
                if over:
                    return
                time.sleep(_PAUSE)  # others are at work on the rest of the round
            else:
                _until_one_ends(journal, under_way)
    finally:
        for claim, rest, _ in under_way:
            rest.close()
            journal.leave(claim)


def _until_one_ends(journal: Journal, under_way: list[_UnderWay]) -> None:
    """Takes turns until a training has ended, and writes what it reached."""
    while True:
        for training in tuple(under_way):
            claim, rest, start = training
            try:
                next(rest)
            except StopIteration as end:
                journal.finish(claim, end.value, time.monotonic() - start)
                under_way.remove(training)
                return


def run(journal: Journal, crew: Crew, watch: Watch) -> None:
    """Goes through the race with as many workers as the budget says.

    Raises:
        BadInput: Of a training.
        RuntimeError: A worker ended by something else than a result.
    """
    if crew.budget.workers == 1:
        work(journal, len(crew.names), crew.rules, crew.budget, crew.trainer, watch)
        return
    if crew.steps is not None:
        side_by_side(journal, crew, crew.steps, watch)
        return
    context: Any = torch.multiprocessing.get_context("spawn")
    errors = context.SimpleQueue()
    clock = _Clock(context.SimpleQueue(), context.SimpleQueue())
    helpers = [
        context.Process(target=_help, args=(crew, errors, clock), daemon=False) for _ in range(crew.budget.workers)
    ]
    try:
        _start(helpers)
        _start_clock(helpers, clock, crew.budget)
        while any(helper.is_alive() for helper in helpers):
            if watch() or any(helper.exitcode for helper in helpers):
                break
            wait([helper.sentinel for helper in helpers if helper.is_alive()], _PAUSE)
        failed = [helper.exitcode for helper in helpers if helper.exitcode]
    finally:
        started = [helper for helper in helpers if helper.pid is not None]
        for helper in started:
            helper.terminate()
        for helper in started:
            helper.join()
    watch()
    if not errors.empty():
        raise BadInput(errors.get())
    if failed:
        raise RuntimeError(_why(failed[0], journal))


@dataclass(frozen=True)
class _Clock:
    """Starts the time of a race when all its processes have started.

    Attributes:
        ready: Gets a word of each process.
        until: Gives each one its ``Budget.until``.
    """

    ready: Any
    until: Any


def _start_clock(helpers: Sequence[Any], clock: _Clock, budget: Budget) -> None:
    """Waits until all processes are ready, or one has ended, and tells them until when there is time."""
    begun, ready = time.time(), 0
    while ready < len(helpers) and not any(helper.exitcode for helper in helpers):
        if clock.ready.empty():
            time.sleep(_TICK)
            continue
        clock.ready.get()
        ready += 1
    for _ in helpers:
        clock.until.put(None if budget.until is None else budget.until + time.time() - begun)


def _start(helpers: Sequence[Any]) -> None:
    """Starts processes of one thread each, which Ctrl-C at a terminal does not reach: this one ends them."""
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the processes when they start
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which they inherit
    try:
        for helper in helpers:
            helper.start()
    finally:
        os.environ.pop("OMP_NUM_THREADS") if threads is None else os.environ.update(OMP_NUM_THREADS=threads)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _why(code: int, journal: Journal) -> str:
    """What an exit code of a process says, and what is left of the race."""
    if code > 0:
        return f"a process of the race ended with code {code}; its message is above."
    kept = (
        f"Trainings that are done are kept in {journal.folder}; go on with --resume (behind a search: --resume auto), "
        "perhaps with fewer workers."
        if journal.stays
        else "Nothing is kept, since no folder was named (out=...). Try again with fewer workers."
    )
    return (
        f"a process of the race was ended from outside ({signal.strsignal(-code)}), as the system does where memory is "
        f"short. {kept}"
    )


def _help(crew: Crew, errors: Any, clock: _Clock) -> None:
    """One further process: works until the race is over, and ends with the process that started it."""
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is one between processes, and outlives one that is ended from outside
    clock.ready.put(True)
    budget = replace(crew.budget, until=clock.until.get())
    try:
        work(Journal(crew.folder, crew.names), len(crew.names), crew.rules, budget, crew.trainer, lambda: False)
    except BadInput as error:
        errors.put(str(error))
        raise SystemExit(3) from None


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
