"""Which classes an operation turns into which."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from daas.screen.measure import Answers

MOST = 0.5
"""Share of a class that has to arrive in the other one (or stay) for an exchange to be called one to one."""
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


def moves(clean: Answers, under: Answers, labels: Tensor, classes: int) -> Tensor:
    """Where the recognised images of each class go.

    Args:
        clean: Answers to the images as they are, [n].
        under: Answers under an operation, [strata, draws, n].
        labels: [n].
        classes: How many there are.

    Returns:
        [classes, classes] float64: of the images of class ``a`` that are recognised as they are, the share that the
        network takes for ``b`` under the operation; rows without such images are 0.
    """
    known = clean.predicted == labels
    said = under.predicted.flatten(0, 1)[:, known]
    found = torch.zeros(classes, classes, dtype=torch.float64)
    own = labels[known].expand_as(said)
    found.index_put_((own.flatten(), said.flatten()), torch.ones(said.numel(), dtype=torch.float64), accumulate=True)
    return found / found.sum(1, keepdim=True).clamp_min(1.0)


def recognised(clean: Answers, labels: Tensor, classes: int) -> Tensor:
    """[classes] int64, images of each class that are recognised as they are."""
    return torch.bincount(labels[clean.predicted == labels], minlength=classes)


def largest(table: Tensor, counts: Tensor, least: float = 0.1) -> tuple[Move, ...]:
    """The largest moves from one class to another, of classes with at least five recognised images.

    Args:
        table: Of ``moves``.
        counts: Of ``recognised``.
        least: Share from which on a move counts.
    """
    large = (table >= least) & (counts >= _FEWEST).unsqueeze(1)
    found = [Move(a, b, float(table[a, b]), int(counts[a])) for a, b in large.nonzero().tolist() if a != b]
    return tuple(sorted(found, key=lambda move: (-move.share, move.source, move.target))[:_TOP])


def exchanged(table: Tensor, counts: Tensor) -> tuple[tuple[int, int], ...]:
    """The pairs of classes that an operation exchanges almost one to one, if it does nothing else.

    A pair is exchanged where most images of either class arrive in the other. The pairs are worth something only if
    the operation leaves all other classes as they are; where it does not, or where a class has too few images to say,
    there are none.

    Args:
        table: Of ``moves``.
        counts: Of ``recognised``.

    >>> table = torch.tensor([[0.1, 0.9, 0.0], [0.8, 0.2, 0.0], [0.0, 0.1, 0.9]])
    >>> exchanged(table, torch.tensor([20, 20, 20]))
    ((0, 1),)
    """
    if bool((counts < _FEWEST).any()):
        return ()
    share, target = table.max(1)
    arrives = [int(target[a]) if share[a] >= MOST else -1 for a in range(len(table))]
    if any(b < 0 or arrives[b] != a for a, b in enumerate(arrives)):
        return ()
    return tuple((a, b) for a, b in enumerate(arrives) if a < b)
