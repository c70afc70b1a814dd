"""race.html: the answer first, then every candidate with its interval; one file, no script."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daas.race import words
from daas.search.report.commands import parts
from daas.train.clock import duration

if TYPE_CHECKING:
    from daas.race.result import Race, Row


def page(race: Race, folder: Path) -> str:
    """The page of a race.

    Args:
        race: Over.
        folder: Where its files are, for the commands.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("daas.race", "templates"), autoescape=select_autoescape(), trim_blocks=True
    )
    scale = _scale(race.rows)
    return environment.get_template("race.html").render(
        race=race,
        answer=race.answer,
        figures=_figures(race),
        rows=[_row(race, row, scale) for row in race.rows],
        ticks=[(f"{value:+g}", scale.place(value)) for value in scale.ticks],
        shelf=None if race.final.shelf is None else words._name(race, race.final.shelf),
        command=parts(race.command(folder)) if race.command(folder) else [],
        python=_python(race, folder),
        options=_options(race),
    )


class _Scale:
    """Points of accuracy -> percent of the picture's width."""

    def __init__(self, low: float, high: float) -> None:
        step = next(s for s in (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if (high - low) / s <= 6 or s == 50.0)
        first, last = int(low // step), int(-(-high // step))
        self.low, self.high = first * step, last * step
        self.ticks = [number * step for number in range(first, last + 1)]

    def place(self, value: float) -> float:
        """From 3 to 97."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(3 + 94 * share, 2)


def _scale(rows: list[Row]) -> _Scale:
    ends = [0.0, 1.0, -1.0]
    for row in rows:
        if row.difference is not None:
            ends += [row.difference.mean, *(row.difference.interval or ())]
    return _Scale(max(min(ends), -50.0), min(max(ends), 50.0))


def _row(race: Race, row: Row, scale: _Scale) -> dict[str, Any]:
    gap = row.difference
    mark = None if gap is None else scale.place(gap.mean)
    ends = None if gap is None or gap.interval is None else [scale.place(end) for end in gap.interval]
    return {
        "name": words._of(race, row),
        "chosen": row.candidate is race.chosen,
        "runs": len(row.runs),
        "accuracy": words.with_error(row.accuracy),
        "score": words.with_error(row.score, 3, ""),
        "difference": "" if "best off the shelf" in row.note else words.interval(gap),
        "note": row.note,
        "params": f"{row.parameters:,} weights" if words._several(race) else "",
        "mark": mark,
        "ends": ends,
        "zero": scale.place(0.0),
    }


def _figures(race: Race) -> list[tuple[str, str]]:
    best = next(row for row in race.rows if row.candidate is race.chosen)
    found = [("chosen", words._of(race, best)), ("accuracy", words.with_error(best.accuracy))]
    if race.final.shelf not in (None, race.final.chosen):
        found.append(("against the shelf's best, points", words.interval(best.difference)))
    return [*found, ("trainings", str(race.trainings)), ("time, added up", duration(race.seconds))]


def _python(race: Race, folder: Path) -> str:
    network, lines = race.chosen.network, ["import daas, timm"]
    if network.module is None:
        given = "".join(f", {name}={value!r}" for name, value in {**dict(network.kwargs), **race.fitted()}.items())
        given += "" if network.genotype is None else f", genotype={str(folder / 'genotype.json')!r}"
        lines.append(f"model = timm.create_model({network.model!r}, num_classes={len(race.setup.class_names)}{given})")
    if race.policy is not None:
        lines.append(f"policy = daas.DAASPolicy.load({str(folder / 'policy.json')!r})")
        lines.append("images = policy(images)  # [B, 3, H, W], uint8 or float in [0, 1]")
    return "\n".join(lines)


def _options(race: Race) -> list[tuple[str, list[str]]]:
    """What the race was: a name, and words that do not break."""
    setup = race.setup
    return [
        ("images", [f"{setup.name}: {setup.images} of {len(setup.class_names)} classes, {setup.image_size} pixels"]),
        ("folds", [str(race.rules.folds)]),
        ("seed", [str(setup.seed)]),
        ("recipe of all trainings", parts(shlex.join(setup.recipe.words()))),
    ]
