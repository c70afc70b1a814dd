"""A race without networks."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import torch

from daas.race.engine import Budget, Crew, run
from daas.race.journal import Journal
from daas.race.rules import Rules
from daas.race.statistics import Score

NAMES = ("a", "b", "c", "d", "e", "f")
RULES = Rules(folds=3, shelf=frozenset({2}))
TRAININGS = 18


@dataclass(frozen=True)
class Pretended:
    """Scores that depend on nothing but candidate and run; every training that ends is a line of a file."""

    folder: Path
    seconds: float = 0.0

    def __call__(self, candidate: int, run: int) -> Score | None:
        time.sleep(self.seconds)
        noise = float(torch.randn(1, generator=torch.Generator().manual_seed(100 * candidate + run)))
        with (self.folder / "trained.txt").open("a") as file:
            file.write(f"{candidate} {run} {os.getpid()}\n")
        return None if candidate == 5 else Score(50.0 - candidate, 1.0 + 0.2 * candidate + 0.05 * noise, 1.0)

    def steps(self, candidate: int, run: int) -> Generator[None, None, Score | None]:
        """In as many pieces as the candidate's number says, so that trainings end in another order than they begin."""
        for _ in range(2 * candidate):
            yield
        return self(candidate, run)


def trained(folder: Path) -> list[tuple[int, int]]:
    path = folder / "trained.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def play(
    folder: Path, seconds: float = 0.0, workers: int = 1, trainings: int = TRAININGS, together: bool = False
) -> Journal:
    journal, trainer = Journal(folder, NAMES), Pretended(folder, seconds)
    steps = trainer.steps if together else None
    crew = Crew(folder, NAMES, RULES, Budget(trainings, None, workers), trainer, steps)
    run(journal, crew, lambda: False)
    return journal
