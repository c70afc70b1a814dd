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
from daas.screen.verdicts import (
    CHANGES,
    HARDER,
    HARMLESS,
    UNCLEAR,
    images_needed,
    judge,
    null_of,
    safe_strata,
)  # fmt: skip

BOOTSTRAPS = 1000
_ORDER = (CHANGES, UNCLEAR, HARDER, HARMLESS)
_FEW = 5  # images of the smallest class
_NAMED = 5  # unclear operations; the table has them all


class Judge:
    """Compares answers under operations with those to the same images as they are.

    Args:
        measured: All answers.
        class_names: One per label.
        seed: Of the bootstrap.

    Attributes:
        right: [n], whether the clean answers are right.
        accuracy: Their share in percent.
        confidence: Mean confidence of the clean answers, percent.
        found: Figures of every operation, its magnitude uniform.
        null: What operations that leave labels alone give here.
    """

    def __init__(self, measured: Measurement, class_names: Sequence[str], seed: int) -> None:
        self.measured, self.class_names, self.labels = measured, class_names, measured.labels
        self.right = measured.clean.right(self.labels)
        self._gap = measured.clean.confidence - self.right
        self._drawn = bootstrap_weights(len(self.labels), BOOTSTRAPS, seed)
        self.accuracy = 100 * float(self.right.mean())
        self.confidence = 100 * float(measured.clean.confidence.mean())
        self.found = [
            self.figures(under, torch.tensor(weights(own), dtype=torch.float64))
            for own, under in zip(measured.sides, measured.answers, strict=True)
        ]
        largest_class = 100 * float(torch.bincount(self.labels).max()) / len(self.labels)
        self.null = null_of(self.found, self.accuracy, largest_class, len(self.labels))

    def figures(self, under: Answers, share: Tensor) -> Figures:
        """Of strata [strata, draws, n], each with its share of the range [strata]."""
        right = under.right(self.labels).mean(1)
        gap = under.confidence.mean(1) - right
        share = share.unsqueeze(1)
        return figures((gap * share).sum(0), self._gap, (right * share).sum(0), self.right, self._drawn)

    def seen(self, number: int) -> Seen:
        """The row of one operation."""
        operation, f = self.measured.operations[number], self.found[number]
        under, own = self.measured.answers[number], self.measured.sides[number]
        judged = judge(f, self.null)
        pieces = self._pieces(own, under) if operation.has_magnitude else ()
        moved = exchange.moves(self.measured.clean, under, self.labels, len(self.class_names))
        counts = exchange.recognised(self.measured.clean, self.labels, len(self.class_names))
        pairs = exchange.exchanged(moved, counts) if judged.verdict == CHANGES else ()
        names = self.class_names
        return Seen(
            op=operation.name,
            verdict=judged.verdict,
            accuracy=self.accuracy - f.loss,
            confidence=self.confidence - f.loss + f.excess,
            excess=f.excess,
            interval=f.interval,
            loss=f.loss,
            expected=judged.expected,
            share=judged.share,
            share_error=judged.error,
            safe_up_to=_limit(operation, own, pieces),
            by_magnitude=pieces,
            moves=tuple(Moved(names[m.source], names[m.target], m.share, m.images) for m in exchange.largest(moved)),
            exchanges=tuple((names[a], names[b]) for a, b in pairs),
        )

    def _pieces(self, own: Sequence[Side], under: Answers) -> tuple[Stratum, ...]:
        """Each stratum alone, and whether the operation is safe up to its end."""
        one = torch.ones(1, dtype=torch.float64)
        found = [
            self.figures(Answers(sure, said), one)
            for sure, said in zip(under.confidence.split(1), under.predicted.split(1), strict=True)
        ]
        safe: list[bool] = []
        for side in own:
            safe += safe_strata(found[len(safe) : len(safe) + len(side.edges) - 1], self.null)
        return tuple(
            Stratum(low, high, f.excess, f.interval, self.accuracy - f.loss, good)
            for (low, high), f, good in zip(strata_of(own), found, safe, strict=True)
        )


def screened(
    measured: Measurement, class_names: Sequence[str], about: Mapping[str, Any], seed: int, most_asked: int = 0
) -> Screen:
    """Gives the verdicts.

    Args:
        measured: All answers of the trained network.
        class_names: One per label.
        about: How the screen was made; what was tried, the temperature and the null join it.
        seed: Of the bootstrap.
        most_asked: Images to ask about that ``--max-images`` lets through; 0 for all.
    """
    court = Judge(measured, class_names, seed)
    rows = [court.seen(number) for number in range(len(measured.operations))]
    warnings = _warnings(rows, court, most_asked)
    rows.sort(key=lambda row: (_ORDER.index(row.verdict), -row.excess))
    null = {"center": court.null.center, "spread": court.null.spread, "readable": court.null.readable}
    names = [operation.name for operation in measured.operations]
    told = {**about, "operations": names, "temperature": measured.temperature, "null": null}
    return Screen({"accuracy": court.accuracy, "confidence": court.confidence}, tuple(rows), told, tuple(warnings))


def _limit(operation: Operation, own: Sequence[Side], pieces: Sequence[Stratum]) -> float | None:
    """The magnitude that is safe in all directions."""
    if not operation.has_magnitude:
        return None
    start, end = own[0].edges[0], own[0].edges[-1]
    reaches, done = [], 0
    for side in own:
        length = len(side.edges) - 1
        ends = [piece.high for piece in pieces[done : done + length] if piece.safe]
        reaches.append(abs((ends[-1] if ends else side.edges[0]) - side.edges[0]))
        done += length
    if reaches == [abs(side.edges[-1] - side.edges[0]) for side in own]:
        return end  # to the bit
    return start + math.copysign(min(reaches), end - start)


def _warnings(rows: Sequence[Seen], court: Judge, most_asked: int) -> list[str]:
    """What to keep in mind; the rows are in the order of the operations."""
    found, count = [], len(court.labels)
    if not court.null.learned:
        found.append(
            f"The network is right on {court.accuracy:.1f}% of the validation images, where naming the most frequent "
            f"class would be right on {court.accuracy - court.null.readable:.1f}%: of {count} images that is no sign "
            "that it has learned the classes, and nothing can be said. Give it more images, more --epochs, or a larger "
            "--image-size."
        )
    unclear = [number for number, row in enumerate(rows) if row.verdict == UNCLEAR]
    if unclear and court.null.learned:
        needed = [images_needed(court.found[number], court.null, count) for number in unclear]
        known = [images for images in needed if images is not None]
        rest = " More images alone would not settle it; a better network might."
        if known:
            rest = f" About {max(known)} would do{'' if len(known) == len(unclear) else f' for {len(known)} of them'}"
            capped = 0 < most_asked < max(known)
            rest += ", with daas screen --max-images 0, which takes all there are." if capped else "."
        names = ", ".join(rows[number].op for number in unclear)
        which = names if len(unclear) <= _NAMED else f"{len(unclear)} of {len(rows)} operations"
        found.append(f"{count} validation images are too few to say of {which}.{rest}")
    smallest = torch.bincount(court.labels, minlength=len(court.class_names))
    if int(smallest.min()) < _FEW:
        name = court.class_names[int(smallest.argmin())]
        found.append(
            f"Class {name!r} has {int(smallest.min())} validation images: which classes an operation exchanges "
            "cannot be said of it."
        )
    return found
