"""The most probable cells within limits, exactly: of partial choices only those stay that no other one beats."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from daas.errors import BadInput

Choice = tuple[tuple[tuple[int, int], ...], ...]
"""Per cell type, (edge, operation) of every chosen edge, two per node, ascending."""
_FRONT = 50_000  # partial choices that are kept at most; real spaces have a few thousand


@dataclass(frozen=True)
class Limits:
    """What derived cells may have.

    Attributes:
        costs: [D, 2, E, O] int64, D kinds of cost of every operation on every edge of the normal and the reduction
            cell, summed over all cells of the type.
        most: Per kind, what all edges together may cost.
        max_skips: Skip connections of each cell type at most; None for any number.
        skip: The index of the skip connection; None where it is no candidate.
    """

    costs: Tensor
    most: tuple[int, ...] = ()
    max_skips: int | None = None
    skip: int | None = None

    def counted(self) -> Tensor:
        """[D + 1, 2, E, O] int64: the costs, and last whether an operation is a skip connection."""
        skips = torch.zeros_like(self.costs[:1]) if len(self.costs) else self.costs.new_zeros(1, *self.costs.shape[1:])
        if self.skip is not None:
            skips[..., self.skip] = 1
        return torch.cat([self.costs, skips])

    def fit(self, choice: Choice) -> bool:
        """Whether cells keep all limits."""
        found = self.counted()
        sums = torch.stack([
            sum((found[:, cell, edge, operation] for edge, operation in edges), found.new_zeros(len(found)))
            for cell, edges in enumerate(choice)
        ])  # fmt: skip
        within = all(int(total) <= most for total, most in zip(sums[:, :-1].sum(0), self.most, strict=True))
        return within and (self.max_skips is None or int(sums[:, -1].max()) <= self.max_skips)


def most_probable(scores: Tensor, nodes: Sequence[Sequence[int]], limits: Limits) -> Choice | None:
    """The cells with the largest sum of scores that keep all limits; None where none do.

    Every node takes two of its edges, with one operation on each. Node after node all its choices are added to those of
    the nodes before; a partial choice goes where another one has at least its score and at most its cost of every
    kind, or where the cheapest rest no longer fits: neither can be part of a better whole. So the result is exact.

    Args:
        scores: [2, E, O] float64, for example log-probabilities; minus infinity for what may not be chosen.
        nodes: The edges that enter each node.
        limits: What to keep.

    Raises:
        BadInput: There are too many partial choices that none beats.
    """
    values, counted = scores.double().numpy(), limits.counted().numpy()
    options = [[_of_node(values[cell], counted[:, cell], edges) for edges in nodes] for cell in range(2)]
    skips = np.iinfo(np.int64).max if limits.max_skips is None else limits.max_skips
    most = np.array([*limits.most, skips], dtype=np.int64)
    front = _Front(np.zeros(1), np.zeros((1, len(most)), dtype=np.int64), np.zeros((1, 0), dtype=np.int64))
    order = [*((0, node) for node in options[0]), *((1, node) for node in options[1])]
    for position, (cell, node) in enumerate(order):
        rest = sum((later.least() for _, later in order[position + 1 :]), np.zeros(len(most), dtype=np.int64))
        rest[-1] = sum(int(later.least()[-1]) for other, later in order[position + 1 :] if other == cell)
        front = _undominated(front.times(node).within(most - rest))
        if position + 1 < len(order) and order[position + 1][0] != cell:
            front = _undominated(replace(front, costs=front.costs * np.r_[np.ones(len(most) - 1, dtype=np.int64), 0]))
        if not len(front.score):
            return None
        if len(front.score) > _FRONT:
            raise BadInput(
                f"The limits leave more than {_FRONT:,} partial cells that cannot be compared. Leave out one limit."
            )
    best = front.picks[int(front.score.argmax())].reshape(2, -1, 2).tolist()
    return tuple(tuple((edge, operation) for edge, operation in cell) for cell in best)


def smallest(cost: Tensor, allowed: Tensor, nodes: Sequence[Sequence[int]], limits: Limits) -> int:
    """The least that all edges together can cost, whatever the other limits but that of skip connections.

    Args:
        cost: [2, E, O] int64.
        allowed: [O] bool.
        nodes: The edges that enter each node.
        limits: Of which the number of skips is kept.
    """
    scores = (-cost.double()).masked_fill(~allowed, -torch.inf)
    found = most_probable(scores, nodes, replace(limits, costs=limits.costs[:0], most=()))
    assert found is not None  # two candidates besides none: one of them is no skip connection
    return sum(int(cost[cell, edge, operation]) for cell, edges in enumerate(found) for edge, operation in edges)


@dataclass(frozen=True)
class _Front:
    """Partial choices.

    Attributes:
        score: [n].
        costs: [n, D].
        picks: [n, 2 * edges], edge and operation in turns.
    """

    score: NDArray[np.float64]
    costs: NDArray[np.int64]
    picks: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> _Front:
        return _Front(self.score[rows], self.costs[rows], self.picks[rows])

    def least(self) -> NDArray[np.int64]:
        """[D], of each kind of cost."""
        found: NDArray[np.int64] = self.costs.min(0)
        return found

    def times(self, other: _Front) -> _Front:
        """Every choice of this with every one of another."""
        a, b = (part.ravel() for part in np.indices((len(self.score), len(other.score))))
        return _Front(
            self.score[a] + other.score[b],
            self.costs[a] + other.costs[b],
            np.concatenate([self.picks[a], other.picks[b]], 1),
        )

    def within(self, most: NDArray[np.int64]) -> _Front:
        return self.take(np.flatnonzero((self.costs <= most).all(1)))


def _of_node(scores: NDArray[np.float64], costs: NDArray[np.int64], edges: Sequence[int]) -> _Front:
    """Two edges of one node, an operation on each: scores [E, O], costs [D, E, O]."""
    rows = [
        (first, p, second, q)
        for first, second in itertools.combinations(edges, 2)
        for p in np.flatnonzero(scores[first] > -np.inf)
        for q in np.flatnonzero(scores[second] > -np.inf)
    ]
    picks = np.array(rows, dtype=np.int64)
    a, p, b, q = picks.T
    return _undominated(_Front(scores[a, p] + scores[b, q], (costs[:, a, p] + costs[:, b, q]).T, picks))


def _undominated(front: _Front) -> _Front:
    """Without what another choice beats, or equals and comes first: the best score first."""
    order = np.lexsort((*front.costs.T[::-1], -front.score))
    kept: list[int] = []
    costs = np.empty_like(front.costs)
    for index in order:
        own = front.costs[index]
        if not (costs[: len(kept)] <= own).all(1).any():
            costs[len(kept)] = own
            kept.append(index)
    return front.take(np.array(kept, dtype=np.int64))
