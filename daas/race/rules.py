"""Who runs next, who leaves, who wins: pure functions of the results, so that any process comes to the same answer.

A race goes round by round. In a round every candidate that is still in it has one whole training on the same (fold,
seed). After a round those leave that are clearly worse than the best (``statistics.clearly_worse``), and then, where
the trainings that are left would not pay for one run per fold, those with the worst means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from daas.errors import BadInput
from daas.race.statistics import Difference, Score, clearly_worse, difference, level_of

LEVEL = 0.05
"""Chance that any candidate leaves as clearly worse, over all tests of a race whose candidates are equally good."""

_LEAST = 2  # candidates that must be left for another round

Figure = Literal["accuracy", "score"]
Prefer = Literal["broadest", "best"]
Results = Mapping[tuple[int, int], Score | None]
"""(candidate, run) -> what the training reached; None where its loss diverged."""


@dataclass(frozen=True)
class Rules:
    """What a race is played by.

    Attributes:
        folds: K; run r validates on fold r mod K, and K runs are what every finalist should have.
        shelf: The candidates that everybody has, of which the best stays for the comparison.
        prefer: Who wins among those within one standard error of the best mean.
    """

    folds: int
    shelf: frozenset[int]
    prefer: Prefer = "broadest"


def table(results: Results, candidates: Sequence[int], runs: int, of: Figure = "score") -> Tensor:
    """A figure of candidates that have these runs: [C, runs] float64."""
    rows = [[_value(results[candidate, run], of) for run in range(runs)] for candidate in candidates]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(candidates), runs)


def _value(result: Score | None, of: Figure) -> float:
    assert result is not None  # those that diverged have left
    return result.accuracy if of == "accuracy" else result.score


def next_round(results: Results, going: Sequence[int], run: int, affordable: int, rules: Rules) -> list[int]:
    """Who starts in the next round, in the order of ``going``; nobody where the race is over.

    Args:
        results: Of all trainings of the complete rounds.
        going: Who was in the last one.
        run: Complete rounds, at least 1.
        affordable: Trainings that are left.
        rules: Of the race.
    """
    there = [c for c in going if results[c, run - 1] is not None]
    if not there:
        return []
    scores = table(results, there, run)
    means = dict(zip(there, scores.mean(1).tolist(), strict=True))
    staying = [c for c, out in zip(there, _out(scores, run, rules), strict=True) if not out]
    room = min(len(staying), max(_LEAST, affordable // max(1, rules.folds - run)))
    if not _LEAST <= room <= affordable:
        return []
    kept = _best(staying, means, room, rules)
    return [c for c in staying if c in kept]


def _out(scores: Tensor, run: int, rules: Rules) -> list[bool]:
    """Which rows leave after ``run`` rounds as clearly worse."""
    if run < 2:
        return [False] * len(scores)
    return clearly_worse(scores, rules.folds, level_of(run, LEVEL))


def _best(staying: Sequence[int], means: Mapping[int, float], room: int, rules: Rules) -> set[int]:
    """The ``room`` best, among them the best of the shelf."""
    ordered = sorted(staying, key=lambda c: (means[c], c))
    shelf = [c for c in ordered if c in rules.shelf][:1]
    rest = [c for c in ordered if c not in shelf]
    return set(ordered[:room]) if set(shelf) <= set(ordered[:room]) else {*shelf, *rest[: room - 1]}


@dataclass(frozen=True)
class Final:
    """The end of a race.

    Attributes:
        order: All candidates that were trained, best first: by complete runs, then by mean score.
        chosen: The winner.
        finalists: Those with as many runs as the best.
        equal: Finalists within one standard error of the best, the winner among them.
        open: Finalists whose difference to the best has an interval that includes zero.
        shelf: The best of the shelf, None where none was trained.
    """

    order: tuple[int, ...]
    chosen: int
    finalists: tuple[int, ...]
    equal: tuple[int, ...]
    open: tuple[int, ...]
    shelf: int | None


def counted(results: Results, rounds: Sequence[Sequence[int]]) -> Results:
    """The trainings of whole rounds: one that was not finished does not count, unless it is the first.

    Args:
        results: All trainings.
        rounds: Who started in each round.
    """
    whole = sum(all((c, run) in results for c in starters) for run, starters in enumerate(rounds))
    return {key: value for key, value in results.items() if key[1] < max(whole, 1)}


def complete_runs(results: Results, candidate: int) -> int:
    """Runs 0, 1, ... that a candidate has without a gap or a diverged one."""
    run = 0
    while results.get((candidate, run)) is not None:
        run += 1
    return run


def final(
    results: Results, rounds: Sequence[Sequence[int]], breadth: Sequence[tuple[float, ...]], rules: Rules
) -> Final:
    """The winner and the order of all.

    The winner is the first by ``breadth`` of those that lie within one standard error of the best mean (the
    one-standard-error rule of Breiman et al., 1984); with one run each there is no error, and the best mean wins, as it
    always does where ``rules.prefer`` is ``best``.

    Args:
        results: All trainings; those of a round that was not finished do not count where another one was.
        rounds: Who started in each round.
        breadth: Per candidate, the preferred first.
        rules: Of the race.

    Raises:
        BadInput: The time was over before a training was done.
        FloatingPointError: Every training diverged.
    """
    if not results:
        raise BadInput(
            "the time was over before one training was done. Raise time_budget (--time-budget), or choose fewer epochs "
            "or a smaller network; a race in a folder goes on with --resume."
        )
    results = counted(results, rounds)
    runs = {c: complete_runs(results, c) for c in rounds[0]}
    trained = [c for c in rounds[0] if runs[c]]
    if not trained:
        raise FloatingPointError("every training of the race diverged. Try a smaller --lr.")
    order = sorted(trained, key=lambda c: (-runs[c], float(table(results, [c], runs[c]).mean()), c))
    best = order[0]
    finalists = [c for c in order if runs[c] == runs[best]]
    out = _out(table(results, finalists, runs[best]), runs[best], rules)
    near = [c for c, worse in zip(finalists, out, strict=True) if not worse]
    scores = table(results, near, runs[best])
    gaps = {c: difference(scores, row, 0, rules.folds) for row, c in enumerate(near) if row}
    equal = [best, *(c for c, gap in gaps.items() if rules.prefer == "broadest" and _within(gap))]
    tied = [c for c, gap in gaps.items() if _includes_zero(gap)]
    shelf = next((c for c in order if c in rules.shelf), None)
    chosen = min(equal, key=lambda c: (breadth[c], order.index(c)))
    return Final(tuple(order), chosen, tuple(finalists), tuple(equal), (best, *tied), shelf)


def _within(gap: Difference) -> bool:
    return gap.error is not None and gap.mean <= gap.error


def _includes_zero(gap: Difference) -> bool:
    return gap.interval is None or gap.interval[0] <= 0.0


def against(results: Results, candidate: int, other: int, folds: int, of: Figure) -> Difference | None:
    """Paired difference of two candidates over their common runs.

    Args:
        results: All trainings that count.
        candidate: First.
        other: Second.
        folds: K.
        of: Difference of accuracies, in points, or of scores, in nats.

    Returns:
        First minus second; None where they have no run in common.
    """
    everyone = {c for c, _ in results}
    runs = min(complete_runs(results, candidate), complete_runs(results, other))
    if not runs:
        return None
    rows = [c for c in sorted(everyone) if complete_runs(results, c) >= runs]
    if candidate == other:
        return Difference(0.0, None, None, runs)
    return difference(table(results, rows, runs, of), rows.index(candidate), rows.index(other), folds)


def why_left(results: Results, rounds: Sequence[Sequence[int]], rules: Rules) -> dict[int, str]:
    """Why each candidate left, before the last round or as clearly worse after it.

    Args:
        results: All trainings that count.
        rounds: Who started in each round.
        rules: Of the race.
    """
    found: dict[int, str] = {}
    for run, (starters, following) in enumerate(zip(rounds, [*rounds[1:], None], strict=True), 1):
        diverged = [c for c in starters if (c, run - 1) in results and results[c, run - 1] is None]
        found |= dict.fromkeys(diverged, "its loss diverged")
        there = [c for c in starters if c not in diverged]
        if following is None:
            if len(there) < 2 or any((c, run - 1) not in results for c in there):
                break  # nobody to be worse than, or a round that was not finished, which does not count
            following = ()
        out = dict(zip(there, _out(table(results, there, run), run, rules), strict=True))
        for c in there:
            if c not in following and out[c]:
                found[c] = f"clearly worse after {run} runs"
            elif c not in following and following:
                found[c] = "not among the best that were paid for"
    return found
