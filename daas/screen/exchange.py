"""Which classes an operation turns into which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from daas.screen.measure import Answers

MOST = 0.5
"""Share of a class that has to arrive in the other one (or stay) for an exchange to be called one to one."""
LEAST = 0.1
"""Share of a class from which on a move counts."""
_FEWEST = 5  # images of a class that were recognised as they are
_TOP = 12  # moves that are kept


@dataclass(frozen=True)
class Move:
    """A class that looks like another one under an operation.

    Attributes:
        source: Label of the images.
        target: What the network says.
        share: Of the images of ``source`` that it recognises as they are.
        images: How many those are.
    """

    source: int
    target: int
    share: float
    images: int


def moves(clean: Answers, under: Answers, labels: Tensor, classes: int) -> tuple[Move, ...]:
    """Where the recognised images of each class go, or that they stay.

    Args:
        clean: Answers to the images as they are, [n].
        under: Answers under an operation, [strata, draws, n].
        labels: [n].
        classes: How many there are.

    Returns:
        Of each class that has recognised images, every one that at least a tenth of them is taken for under the
        operation, itself included; by source, then by target.
    """
    known = clean.predicted == labels
    said = under.predicted.flatten(0, 1)[:, known]
    pairs, times = (labels[known] * classes + said).unique(return_counts=True)
    source, target = pairs // classes, pairs % classes
    images = recognised(clean, labels, classes)
    share = times.double() / (images[source] * len(said)).double()
    large = share >= LEAST
    found = zip(*(column[large].tolist() for column in (source, target, share, images[source])), strict=True)
    return tuple(Move(*one) for one in found)


def recognised(clean: Answers, labels: Tensor, classes: int) -> Tensor:
    """[classes] int64, images of each class that are recognised as they are."""
    return torch.bincount(labels[clean.predicted == labels], minlength=classes)


def largest(found: Sequence[Move]) -> tuple[Move, ...]:
    """The largest moves from one class to another, of classes with at least five recognised images.

    Args:
        found: By ``moves``.
    """
    found = [move for move in found if move.source != move.target and move.images >= _FEWEST]
    return tuple(sorted(found, key=lambda move: (-move.share, move.source, move.target))[:_TOP])


def exchanged(found: Sequence[Move], counts: Tensor) -> tuple[tuple[int, int], ...]:
    """The pairs of classes that an operation exchanges almost one to one, if it does nothing else.

    A pair is exchanged where most images of either class arrive in the other. The pairs are worth something only if
    the operation leaves all other classes as they are; where it does not, or where a class has too few images to say,
    there are none.

    Args:
        found: By ``moves``.
        counts: Of ``recognised``.

    >>> found = [Move(0, 1, 0.9, 20), Move(1, 0, 0.8, 20), Move(1, 1, 0.2, 20), Move(2, 2, 0.9, 20)]
    >>> exchanged(found, torch.tensor([20, 20, 20]))
    ((0, 1),)
    """
    if bool((counts < _FEWEST).any()):
        return ()
    arrives = {move.source: move.target for move in reversed(found) if move.share >= MOST}  # of two halves the first
    if len(arrives) < len(counts) or any(arrives[b] != a for a, b in arrives.items()):
        return ()
    return tuple((a, b) for a, b in sorted(arrives.items()) if a < b)
