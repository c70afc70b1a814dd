"""From measurements to verdicts: excess confidence against what a merely hard operation would have.

An operation that changes labels takes away accuracy and leaves confidence where it was: its excess is as large as its
loss of accuracy. One that only makes images hard takes away both, but not in equal measure: networks stay surer than
they should be where they have seen little, and their excess is some share of the loss. The null is

    expected excess = centre of the bulk of operations + HARD x loss of accuracy,

``HARD`` and how far it varies measured on tasks whose labels are made, the centre (not below 0) and the spread of the
bulk taken from the screen itself by the shortest half of the operations. What goes beyond it, as a share of what it
would be if every label that the network can read were changed, is the share of labels changed; its error holds the
bootstrap over images, the spread of the bulk and that of ``HARD``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from daas.screen.statistics import Figures, isotonic, shortest_half

Verdict = Literal["changes the label", "harder", "harmless", "unclear"]
CHANGES: Verdict = "changes the label"
HARDER: Verdict = "harder"
HARMLESS: Verdict = "harmless"
UNCLEAR: Verdict = "unclear"

HARD = 0.5
"""Excess of an operation that only makes images hard, as a share of the accuracy that it costs."""
HARD_SPREAD = 0.1
"""Standard deviation of that share between operations."""
SURE = 2.5
"""Standard errors by which an operation has to go beyond the null to be called harmful: one in 160 by chance."""
SAFE = 1.645
"""Standard errors by which it has to stay below ``TOLERATED`` to be called safe: 95 percent, one-sided."""
LEAST = 0.1
"""Share of labels from which on a change is worth a word."""
TOLERATED = 0.25
"""Share of labels that would have been noticed where an operation is called safe."""
READABLE = 5.0
"""Points of accuracy above the largest class, and at least two standard errors, that the network needs to be asked."""
_UNSEEN = 3.0
"""Of n images of which none shows something, at most so many would, with 95 percent (the rule of three)."""
_SMALLEST_SPREAD = 1.0  # points; the bulk of a few operations can be close together by chance


@dataclass(frozen=True)
class Null:
    """What operations that leave the label alone are expected to give.

    Attributes:
        center: Of the bulk of operations, in points of excess beyond ``HARD`` times the loss; at least 0.
        spread: Between those operations, beyond what the images' number explains, in points.
        readable: Accuracy on clean images above the largest class, in points; the labels that the network can read.
        readable_error: Standard error of ``readable``.
        unseen: Least error of a share of the images, in points: where none of a few shows a change, some of the next
            might.
    """

    center: float
    spread: float
    readable: float
    readable_error: float = 0.0
    unseen: float = 0.0

    @property
    def learned(self) -> bool:
        """Whether the network reads labels, beyond what chance gives."""
        return self.readable >= max(READABLE, 2 * self.readable_error)

    def expected(self, loss: float) -> float:
        """Excess in points that a merely hard operation would have at this loss."""
        return self.center + HARD * max(loss, 0.0)

    def error(self, f: Figures) -> float:
        """Standard error of what goes beyond the null, in points."""
        return math.hypot(_beyond_error(f), self.spread, HARD_SPREAD * max(f.loss, 0.0))

    @property
    def whole(self) -> float:
        """What goes beyond the null where every label that the network can read is changed, in points."""
        return (1.0 - HARD) * self.readable


@dataclass(frozen=True)
class Judged:
    """An operation against the null.

    Attributes:
        verdict: In words.
        expected: Excess of a merely hard operation at this loss, in points.
        share: Estimate of the share of readable labels that it changes; None where the network can read none.
        error: Standard error of ``share``.
    """

    verdict: Verdict
    expected: float
    share: float | None
    error: float | None


def null_of(figures: Sequence[Figures], accuracy: float, largest_class: float, images: int) -> Null:
    """The null of a screen.

    Args:
        figures: Of all operations.
        accuracy: On clean images, percent.
        largest_class: Share of the most frequent class among them, percent.
        images: How many there are.
    """
    rest = [_beyond(f) for f in figures]
    center, spread = shortest_half(rest) if len(rest) > 3 else (0.0, 0.0)
    noise = sorted(_beyond_error(f) for f in figures)[len(figures) // 2]
    between = math.sqrt(max(spread**2 - noise**2, _SMALLEST_SPREAD**2))
    error = math.sqrt(accuracy * (100.0 - accuracy) / images)
    return Null(max(center, 0.0), between, accuracy - largest_class, error, 100.0 * _UNSEEN / (SAFE * images))


def _beyond(f: Figures) -> float:
    return f.excess - HARD * max(f.loss, 0.0)


def _beyond_error(f: Figures) -> float:
    if f.loss <= 0:
        return f.excess_error
    square = f.excess_error**2 + (HARD * f.loss_error) ** 2 - 2 * HARD * f.covariance
    return math.sqrt(max(square, 0.0))


def judge(f: Figures, null: Null) -> Judged:
    """The verdict on one operation.

    Args:
        f: Its figures.
        null: Of the screen.
    """
    expected = null.expected(f.loss)
    beyond, error = f.excess - expected, max(null.error(f), null.unseen)
    if not null.learned:
        return Judged(UNCLEAR, expected, None, None)
    share, share_error = beyond / null.whole, error / null.whole
    at_most = min(share + SAFE * share_error, (f.loss + SAFE * max(f.loss_error, null.unseen)) / null.readable)
    if share > max(LEAST, SURE * share_error):
        verdict = CHANGES
    elif at_most >= TOLERATED:
        verdict = UNCLEAR
    else:
        verdict = HARDER if f.loss > max(LEAST * null.readable, SURE * f.loss_error) else HARMLESS
    return Judged(verdict, expected, share, share_error)


def safe_strata(figures: Sequence[Figures], null: Null) -> list[bool]:
    """Whether an operation is safe from the identity up to the end of each stratum.

    What goes beyond the null is made to grow with the magnitude (isotonic regression); a stratum is unsafe where it
    is above ``LEAST`` and above 1.6 standard errors, and so is everything beyond it.

    Args:
        figures: Of the strata of one side, from the identity outwards.
        null: Of the screen.
    """
    if not null.learned:
        return [False] * len(figures)
    grown = isotonic([f.excess - null.expected(f.loss) for f in figures])
    errors = [null.error(f) for f in figures]
    safe, found = True, []
    for value, error in zip(grown, errors, strict=True):
        safe = safe and value <= max(LEAST * null.whole, SAFE * error)
        found.append(safe)
    return found


def images_needed(f: Figures, null: Null, images: int) -> int | None:
    """How many validation images would settle an unclear operation, if its figures stayed what they are.

    Args:
        f: Of the operation.
        null: Of the screen.
        images: How many there were.

    Returns:
        A rounded number, or None where more images alone would not do.
    """
    if not null.learned:
        return None
    share = (f.excess - null.expected(f.loss)) / null.whole
    error = _beyond_error(f) / null.whole
    spread = math.hypot(null.spread, HARD_SPREAD * max(f.loss, 0.0)) / null.whole
    for factor in (1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32):
        wide = max(math.hypot(error / math.sqrt(factor), spread), null.unseen / null.whole / factor)
        if share > max(LEAST, SURE * wide) or share + SAFE * wide < TOLERATED:
            digits = 10 ** max(1, len(str(int(images * factor))) - 2)
            return int(math.ceil(images * factor / digits) * digits)
    return None
