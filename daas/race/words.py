"""A race in words and as a table of a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daas.errors import plain
from daas.race.statistics import Difference
from daas.train.clock import duration

if TYPE_CHECKING:
    from daas.race.engine import Budget
    from daas.race.result import Race, Row, Setup


def beginning(setup: Setup, candidates: int, folds: int, budget: Budget) -> str:
    """What is said when a race begins: how many trainings of how much.

    Args:
        setup: Images and recipe.
        candidates: That enter.
        folds: K.
        budget: What the race may cost.
    """
    most = "as many trainings as fit" if budget.trainings is None else f"at most {budget.trainings} trainings"
    images = setup.images * (folds - 1) // folds
    return plain(
        f"Race: {candidates} candidates, {most} of {setup.recipe.epochs} epochs on {images} of the {setup.images} "
        f"images of {setup.name}, {budget.workers} at a time."
    )


def going_on(done: int) -> str:
    """What is said when a race is gone on with: how many trainings are done."""
    return f"Going on: {done or 'no'} training{' is' if done == 1 else 's are'} done."


def answer(race: Race) -> str:
    """What was chosen, against what, by how much, how sure, and what it cost."""
    best = next(row for row in race.rows if row.candidate is race.chosen)
    parts = [f"Chosen: {_of(race, best)}, accuracy {with_error(best.accuracy)} over {runs(len(best.runs))}."]
    shelf = race.final.shelf
    if shelf is None:
        parts.append("Nothing off the shelf raced, so there is nothing to compare it with.")
    elif race.candidates[shelf] is race.chosen:
        parts.append("It is the best off the shelf; nothing that raced is clearly better.")
    elif best.difference is not None:
        parts.append(
            f"Against the best off the shelf ({_name(race, shelf)}): {interval(best.difference)} points of accuracy, "
            f"paired over {runs(best.difference.runs)}{_sureness(best.difference)}."
        )
    parts += _others(race)
    missing = sum((number, 0) not in race.results for number in range(len(race.candidates)))
    if missing:
        parts.append(f"{missing} of {len(race.candidates)} candidates were not trained: the race ended before.")
    parts.append(
        f"Spent: {race.trainings} trainings of {race.setup.recipe.epochs} epochs, {duration(race.seconds)} in all."
    )
    return " ".join(parts)


def _others(race: Race) -> list[str]:
    """Who the trainings cannot tell from the winner, and why the winner it was."""
    seen = race.final
    others = [number for number in seen.finalists if number in seen.open and number != seen.chosen]
    if not others:
        return []
    if max(len(row.runs) for row in race.rows) < 2:
        return ["With one training each, differences cannot be judged: the best calibrated loss was taken."]
    shown = "; ".join(_name(race, number) for number in others[:4])
    more = f"; and {len(others) - 4} more" if len(others) > 4 else ""
    why = (
        "It has the best mean."
        if seen.equal == (seen.chosen,)
        else ("It is the broadest and simplest of those within one standard error of the best mean.")
    )
    return [f"{why} These trainings cannot tell it from: {shown}{more}."]


def _sureness(gap: Difference) -> str:
    if gap.interval is None:
        return ", too few for an interval"
    return "" if gap.interval[0] > 0 or gap.interval[1] < 0 else ", so they cannot be told apart"


def _of(race: Race, row: Row) -> str:
    return row.candidate.name if _several(race) else row.candidate.policy_words


def _name(race: Race, number: int) -> str:
    candidate = race.candidates[number]
    return candidate.name if _several(race) else candidate.policy_words


def _several(race: Race) -> bool:
    """Whether networks have to be named."""
    first, *others = (candidate.network for candidate in race.candidates)
    return any(network != first for network in others)


def runs(count: int) -> str:
    """``1 run``, ``3 runs``."""
    return f"{count} run{'' if count == 1 else 's'}"


def with_error(value: tuple[float, float | None] | None, digits: int = 1, unit: str = "%") -> str:
    """A mean, and its standard error where there is one.

    >>> with_error((76.49, 0.24)), with_error((76.49, None)), with_error(None)
    ('76.5% +- 0.2', '76.5%', '-')
    """
    if value is None:
        return "-"
    mean, error = value
    return f"{mean:.{digits}f}{unit}" + ("" if error is None else f" +- {error:.{digits}f}")


def interval(gap: Difference | None, digits: int = 1) -> str:
    """A difference, and its interval where there is one.

    >>> interval(Difference(1.24, 0.3, (0.6, 1.9), 4))
    '+1.2 [+0.6, +1.9]'
    """
    if gap is None:
        return "-"
    mean = f"{gap.mean:+.{digits}f}"
    return mean if gap.interval is None else f"{mean} [{gap.interval[0]:+.{digits}f}, {gap.interval[1]:+.{digits}f}]"


def table(race: Race) -> str:
    """All candidates, the best first, as columns of text; with the weights of networks where several raced."""
    params = ("params",) if _several(race) else ()
    head = ("candidate", *params, "runs", "accuracy", "calibrated loss", "to the shelf's best", "")
    lines = [head, *(_cells(race, row) for row in race.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(race: Race, row: Row) -> tuple[str, ...]:
    return (
        _of(race, row),
        *((f"{row.parameters:,}",) if _several(race) else ()),
        str(len(row.runs)),
        with_error(row.accuracy),
        with_error(row.score, 3, ""),
        "" if "best off the shelf" in row.note else interval(row.difference),
        row.note,
    )
