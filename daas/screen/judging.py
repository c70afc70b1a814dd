"""From answers to a screen: figures, null, verdicts, safe magnitudes and exchanged classes of every operation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from daas.augment.operation import Operation
from daas.screen import exchange
from daas.screen.measure import Answers, Measurement, strata_of
from daas.screen.result import Moved, Screen, Seen, Stratum
from daas.screen.statistics import Figures, bootstrap_weights, figures
from daas.screen.tries import Side, weights
from daas.screen.verdicts import CHANGES, UNCLEAR, Null, Verdict, images_needed, judge, null_of, safe_strata

BOOTSTRAPS = 1000
_ORDER: tuple[Verdict, ...] = (CHANGES, UNCLEAR, "harder", "harmless")
_FEW_LEFT = 5  # images of the smallest class


class Judge:
    """Compares answers under operations with those to the same images as they are.

    Args:
        measured: All answers.
        seed: Of the bootstrap.
    """

    def __init__(self, measured: Measurement, seed: int) -> None:
        self.labels = measured.labels
        self.clean = measured.clean
        self.right = measured.clean.right(measured.labels)
        self.gap = measured.clean.confidence - self.right
        self.drawn = bootstrap_weights(len(self.labels), BOOTSTRAPS, seed)

    def figures(self, under: Answers, share: Tensor) -> Figures:
        """Of strata [strata, draws, n], each with its share of the range [strata]."""
        right = under.right(self.labels).mean(1)
        gap = under.confidence.mean(1) - right
        share = share.double().unsqueeze(1)
        return figures((gap * share).sum(0), self.gap, (right * share).sum(0), self.right, self.drawn)

    def strata(self, under: Answers) -> list[Figures]:
        """Of each stratum alone."""
        one = torch.ones(1, dtype=torch.float64)
        return [
            self.figures(Answers(under.confidence[s : s + 1], under.predicted[s : s + 1]), one)
            for s in range(len(under.predicted))
        ]


def screened(measured: Measurement, class_names: Sequence[str], about: Mapping[str, Any], seed: int) -> Screen:
    """Gives the verdicts.

    Args:
        measured: All answers of the trained network.
        class_names: One per label.
        about: How the screen was made; the null joins it.
        seed: Of the bootstrap.
    """
    court = Judge(measured, seed)
    accuracy, sure = 100 * float(court.right.mean()), 100 * float(court.clean.confidence.mean())
    found = [
        court.figures(under, torch.tensor(weights(own), dtype=torch.float64))
        for own, under in zip(measured.sides, measured.answers, strict=True)
    ]
    largest = 100 * float(torch.bincount(court.labels).max()) / len(court.labels)
    null = null_of(found, accuracy, largest)
    rows = [
        _seen(court, operation, own, under, f, null, class_names)
        for operation, own, under, f in zip(measured.operations, measured.sides, measured.answers, found, strict=True)
    ]
    rows.sort(key=lambda row: (_ORDER.index(row.verdict), -row.excess))
    needed = {
        operation.name: images_needed(f, null, len(court.labels))
        for operation, f in zip(measured.operations, found, strict=True)
    }
    told = {
        **about,
        "operations": [operation.name for operation in measured.operations],
        "temperature": measured.temperature,
        "null": {"center": null.center, "spread": null.spread, "readable": null.readable},
    }
    warnings = _warnings(rows, needed, null, court, class_names)
    return Screen({"accuracy": accuracy, "confidence": sure}, tuple(rows), told, tuple(warnings))


def _seen(
    court: Judge, operation: Operation, own: Sequence[Side], under: Answers, f: Figures, null: Null,
    class_names: Sequence[str],
) -> Seen:  # fmt: skip
    judged = judge(f, null)
    accuracy = 100 * float(court.right.mean()) - f.loss
    gap = 100 * float(court.gap.mean()) + f.excess
    pieces = _strata(court, own, under, null) if operation.has_magnitude else ()
    classes = len(class_names)
    table = exchange.moves(court.clean, under, court.labels, classes)
    counts = exchange.recognised(court.clean, court.labels, classes)
    pairs = exchange.exchanged(table, counts) if judged.verdict == CHANGES else ()
    return Seen(
        op=operation.name,
        verdict=judged.verdict,
        accuracy=accuracy,
        confidence=accuracy + gap,
        excess=f.excess,
        interval=f.interval,
        loss=f.loss,
        expected=judged.expected,
        share=judged.share,
        share_error=judged.error,
        safe_up_to=_limit(operation, own, pieces),
        by_magnitude=pieces,
        moves=tuple(
            Moved(class_names[m.source], class_names[m.target], m.share, m.images)
            for m in exchange.largest(table, counts)
        ),
        exchanges=tuple((class_names[a], class_names[b]) for a, b in pairs),
    )


def _strata(court: Judge, own: Sequence[Side], under: Answers, null: Null) -> tuple[Stratum, ...]:
    found = court.strata(under)
    safe: list[bool] = []
    for side in own:
        length = len(side.edges) - 1
        safe += safe_strata(found[len(safe) : len(safe) + length], null)
    accuracy = 100 * float(court.right.mean())
    return tuple(
        Stratum(low, high, f.excess, f.interval, accuracy - f.loss, good)
        for (low, high), f, good in zip(strata_of(own), found, safe, strict=True)
    )


def _limit(operation: Operation, own: Sequence[Side], pieces: Sequence[Stratum]) -> float | None:
    """The magnitude that is safe in all directions."""
    if not operation.has_magnitude:
        return None
    reaches, done = [], 0
    for side in own:
        length = len(side.edges) - 1
        ends = [piece.high for piece in pieces[done : done + length] if piece.safe]
        reaches.append((ends[-1] if ends else side.edges[0]) - side.edges[0])
        done += length
    return own[0].edges[0] + math.copysign(min(map(abs, reaches)), own[0].edges[-1] - own[0].edges[0])


def _warnings(
    rows: Sequence[Seen], needed: Mapping[str, int | None], null: Null, court: Judge, class_names: Sequence[str]
) -> list[str]:
    found, count = [], len(court.labels)
    smallest = torch.bincount(court.labels, minlength=len(class_names))
    if null.readable < 5.0:
        found.append(
            f"The network is right on {null.readable:.1f} points more of the validation images than naming the most "
            "frequent class would be: it has not learned the classes, and nothing can be said. Give it more images, "
            "more --epochs, or a larger --image-size."
        )
    unclear = [row.op for row in rows if row.verdict == UNCLEAR]
    if unclear and null.readable >= 5.0:
        known = [n for n in (needed[op] for op in unclear) if n is not None]
        if known:
            rest = f" About {max(known)} would do" + (
                "." if len(known) == len(unclear) else f" for {len(known)} of them."
            )
        else:
            rest = " More images alone would not settle it; a better network might."
        found.append(f"{count} validation images are too few to say of {', '.join(unclear)}.{rest}")
    if int(smallest.min()) < _FEW_LEFT:
        name = class_names[int(smallest.argmin())]
        found.append(
            f"Class {name!r} has {int(smallest.min())} validation images: which classes an operation exchanges "
            "cannot be said of it."
        )
    return found
