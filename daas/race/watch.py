"""Watching a race: what is said of every finished training, and whether a callback stops it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from daas.errors import plain as shown
from daas.race.engine import Budget
from daas.race.journal import Journal
from daas.race.rules import Rules
from daas.ranges import plain
from daas.train.clock import duration

Callback = Callable[[dict[str, Any]], Any]


class Watch:
    """Says what is new, calls the callbacks, and stops where one of them wants it."""

    def __init__(self, journal: Journal, budget: Budget, rules: Rules, callbacks: Sequence[Callback]) -> None:
        self.journal, self.budget, self.rules, self.callbacks = journal, budget, rules, callbacks
        self.seen: set[tuple[int, int]] = set(journal.results())
        self.stopped = False

    def __call__(self) -> bool:
        """Whether to stop; called after every training."""
        results = self.journal.results()
        for key in sorted(set(results) - self.seen, key=lambda key: (key[1], key[0])):
            self.seen.add(key)
            line = self._line(key, len(results))
            answers = [callback(line) for callback in self.callbacks]
            self.stopped |= any(plain(answer) is True for answer in answers)
        return self.stopped

    def _line(self, key: tuple[int, int], done: int) -> dict[str, Any]:
        (number, run), score = key, self.journal.results()[key]
        return {
            "candidate": self.journal.names[number],
            "fold": run % self.rules.folds,
            "run": run,
            "accuracy": None if score is None else score.accuracy,
            "score": None if score is None else score.score,
            "trainings": done,
            "of": self.budget.trainings,
            "left": self._left(done),
        }

    def _left(self, done: int) -> float | None:
        """Seconds that the trainings take that are left at most; None where their number is open."""
        if self.budget.trainings is None:
            return None
        seconds = self.journal.seconds()
        return (self.budget.trainings - done) * sum(seconds) / max(1, len(seconds)) / self.budget.workers


def print_line(line: dict[str, Any]) -> None:
    """What the command line says of a finished training."""
    figures = "diverged" if line["score"] is None else f"{line['accuracy']:.1f}%  calibrated loss {line['score']:.3f}"
    of = "" if line["of"] is None else f" of at most {line['of']}"
    left = f"; about {duration(line['left'])} left" if line["left"] else ""
    said = f"training {line['trainings']}{of}: {line['candidate']}, run {line['run'] + 1}: {figures}{left}"
    print(shown(said), file=sys.stderr)
