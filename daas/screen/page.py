"""screen.html: one self-contained page, the answer first."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any

import jinja2
from markupsafe import Markup

from daas.screen import plots
from daas.screen.result import Picture, Screen, Seen
from daas.screen.using import meant, swap_words, swapped_words, train_words, worth_showing
from daas.screen.words import TITLES, answer, limit_words, points, share_words
from daas.search.report.commands import parts
from daas.search.report.plots import picture

_ROOM = 3.0  # points beside the longest bar


def page(screen: Screen, policy: str | None) -> str:
    """The page as text.

    Args:
        screen: What was found.
        policy: Where policy.json is, for the printed command; None where there is none.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(
        files("daas.screen").joinpath("templates").joinpath("screen.html").read_text(encoding="utf-8")
    )
    command = train_words(screen, policy)
    return template.render(
        about=screen.about,
        clean=screen.clean,
        answer=answer(screen),
        warnings=screen.warnings,
        command=parts(command),
        meant=meant(command),
        swap=swap_words(screen),
        swapped=swapped_words(screen),
        rows=_rows(screen),
        colors=plots.COLORS,
        pictures=_pictures(screen.pictures),
        classes=[(seen.op, seen.moves, bool(seen.exchanges)) for seen in screen if seen.moves and worth_showing(seen)],
        ranges=[_range(seen) for seen in screen if seen.by_magnitude and seen.share is not None],
    )


def _rows(screen: Screen) -> list[dict[str, Any]]:
    ends = [value for seen in screen for value in (*seen.interval, seen.expected, 0.0)]
    low, high = min(ends) - _ROOM, max(ends) + _ROOM
    return [
        {
            "name": TITLES.get(seen.op, seen.op),
            "verdict": seen.verdict,
            "color": plots.COLORS[seen.verdict],
            "bar": plots.bar(seen, low, high),
            "excess": points(seen.excess),
            "interval": f"{points(seen.interval[0])} to {points(seen.interval[1])}",
            "accuracy": f"{seen.accuracy:.1f}%",
            "share": share_words(seen),
            "limit": "" if seen.dropped else limit_words(seen),
        }
        for seen in screen
    ]


def _pictures(found: Sequence[Picture]) -> list[tuple[str, list[dict[str, str]]]]:
    """By operation, the pictures before and after with their words."""
    groups = []
    for name, members in groupby(found, key=lambda p: p.op):
        shown = [
            {
                "before": picture(p.before),
                "after": picture(p.after),
                "label": p.label,
                "said": p.said,
                "taken": f"{p.taken_for}, {p.confidence:.0f}% sure",
            }
            for p in members
        ]
        groups.append((name, shown))
    return groups


def _range(seen: Seen) -> dict[str, Any]:
    return {
        "name": seen.op,
        "limit": limit_words(seen) or "all of it",
        "svg": Markup(plots.range_svg(seen.by_magnitude, plots.COLORS[seen.verdict])),
    }
