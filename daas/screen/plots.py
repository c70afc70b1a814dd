"""The pictures of a screen: every operation's excess as a PNG, and the range of one as SVG for the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from daas.errors import plain
from daas.screen.result import Screen, Seen, Stratum
from daas.screen.verdicts import CHANGES, HARDER, HARMLESS, UNCLEAR

COLORS = {CHANGES: "#d1495b", UNCLEAR: "#d9a441", HARDER: "#4878b0", HARMLESS: "#5a9e6f"}
_WIDTH, _HEIGHT = 220, 90  # of an SVG, in its own units


def png(screen: Screen) -> bytes:
    """Operations sorted, their excess with its interval, and what a merely hard one would have: a PNG."""
    with mpl.rc_context({"text.parse_math": False}):  # a $ in somebody's name is a $
        return _png(screen)


def _png(screen: Screen) -> bytes:
    rows = list(reversed(screen.operations))
    figure = Figure(figsize=(7.2, 1.5 + 0.27 * len(rows)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axis: Any = figure.subplots()
    for place, row in enumerate(rows):
        color = COLORS[row.verdict]
        axis.barh(place, row.excess, height=0.62, color=color)
        axis.plot(row.interval, (place, place), color="#333", linewidth=1.2)
        axis.plot((row.expected, row.expected), (place - 0.36, place + 0.36), color="#333", linewidth=1.6)
    axis.set_yticks(range(len(rows)), [row.op for row in rows])
    axis.axvline(0.0, color="#888", linewidth=0.8)
    axis.set_xlabel("excess confidence in points, 95% interval; upright mark: of a merely hard operation")
    axis.set_title(f"{plain(screen.about['data']['name'])}: which operations change the label", loc="left")
    for name, color in COLORS.items():
        axis.barh(0, 0, color=color, label=name)
    axis.legend(loc="lower right", frameon=False)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def bar(row: Seen, low: float, high: float) -> dict[str, str]:
    """Places of a row's bar in percent of the width between ``low`` and ``high`` points."""

    def at(value: float) -> float:
        return 100 * (min(max(value, low), high) - low) / (high - low)

    left, right = sorted((at(0.0), at(row.excess)))
    first, last = (at(value) for value in row.interval)
    places = {
        "zero": at(0.0), "left": left, "width": right - left, "first": first, "reach": last - first,
        "expected": at(row.expected),
    }  # fmt: skip
    return {name: f"{value:.2f}" for name, value in places.items()}


def range_svg(pieces: Sequence[Stratum], color: str) -> str:
    """Excess over the signed magnitude: a point with its interval for each stratum, unsafe ones filled; inline SVG."""
    ends = [end for piece in pieces for end in (piece.low, piece.high)]
    low, high = min(ends), max(ends)
    bottom = min(-5.0, *(piece.interval[0] for piece in pieces))
    top = max(20.0, *(piece.interval[1] for piece in pieces))

    def x(value: float) -> str:
        return f"{8 + (_WIDTH - 16) * (value - low) / (high - low):.1f}"

    def y(value: float) -> str:
        return f"{6 + (_HEIGHT - 24) * (top - value) / (top - bottom):.1f}"

    marks = [f'<line x1="8" x2="{_WIDTH - 8}" y1="{y(0)}" y2="{y(0)}" stroke="currentColor" opacity=".4"/>']
    for piece in pieces:
        middle, fill = x((piece.low + piece.high) / 2), "none" if piece.safe else color
        marks.append(
            f'<line x1="{middle}" x2="{middle}" y1="{y(piece.interval[0])}" y2="{y(piece.interval[1])}" '
            f'stroke="{color}"/><circle cx="{middle}" cy="{y(piece.excess)}" r="3.5" stroke="{color}" fill="{fill}"/>'
        )
    ticks = sorted({low, high, *(piece.low for piece in pieces if piece.low in (0.0, 1.0))})
    for tick in ticks:
        anchor = "start" if tick == low else "end" if tick == high else "middle"
        place = 8 if tick == low else _WIDTH - 8 if tick == high else x(tick)
        marks.append(
            f'<text x="{place}" y="{_HEIGHT - 3}" text-anchor="{anchor}" font-size="11" fill="currentColor">'
            f"{tick + 0.0:.3g}</text>"
        )
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="excess over the magnitude">'
    return f"{head}{''.join(marks)}</svg>"
