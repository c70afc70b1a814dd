"""The derivation within limits against all cells of small spaces, one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from daas.errors import BadInput
from daas.search.spaces.cells import ArchEstimator, ArchitectureDistribution
from daas.search.spaces.derivation import Choice, Limits, most_probable, smallest

NODES = ((0, 1), (2, 3, 4))  # the edges of a cell with two nodes
OPERATIONS = 3


def every_cell() -> list[tuple[tuple[int, int], ...]]:
    """All cells of one type: 9 choices for the first node, 27 for the second."""

    def of(edges: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], ...]]:
        for pair in itertools.combinations(edges, 2):
            for operations in itertools.product(range(OPERATIONS), repeat=2):
                yield tuple(zip(pair, operations, strict=True))

    return [a + b for a in of(NODES[0]) for b in of(NODES[1])]


def total(values: Tensor, choice: Choice) -> float:
    return sum(float(values[cell, edge, op]) for cell, edges in enumerate(choice) for edge, op in edges)


def by_hand(scores: Tensor, limits: Limits) -> float:
    """The largest score of all 59,049 pairs of cells that keep the limits."""
    cells = every_cell()
    value = [torch.tensor([total(scores[c : c + 1], (cell,)) for cell in cells], dtype=torch.float64) for c in range(2)]
    cost = [
        torch.tensor([[total(kind[c : c + 1], (cell,)) for cell in cells] for kind in limits.counted()])
        for c in range(2)
    ]
    fits = torch.ones(len(cells), len(cells), dtype=torch.bool)
    for kind, most in enumerate(limits.most):
        fits &= cost[0][kind].unsqueeze(1) + cost[1][kind] <= most
    if limits.max_skips is not None:
        fits &= (cost[0][-1] <= limits.max_skips).unsqueeze(1) & (cost[1][-1] <= limits.max_skips)
    sums = value[0].unsqueeze(1) + value[1]
    return float(sums.masked_fill(~fits, -math.inf).max())


@pytest.mark.parametrize("kinds", [0, 1, 2])
@pytest.mark.parametrize("max_skips", [None, 0, 1])
@pytest.mark.parametrize("share", [0.15, 0.4])
def test_the_best_cells_within_limits_are_found(kinds: int, max_skips: int | None, share: float) -> None:
    random = torch.Generator().manual_seed(10 * kinds + int(100 * share))
    for _ in range(2):
        scores = torch.randn(2, 5, OPERATIONS, generator=random, dtype=torch.float64)
        costs = torch.randint(0, 40, (kinds, 2, 5, OPERATIONS), generator=random)
        most = tuple(int(share * 8 * int(cost.max())) for cost in costs)
        limits = Limits(costs, most, max_skips, skip=1)
        expected, found = by_hand(scores, limits), most_probable(scores, NODES, limits)
        if found is None:
            assert expected == -math.inf
        else:
            assert total(scores, found) == pytest.approx(expected, abs=1e-12)
            assert limits.fit(found)


def test_where_nothing_fits_there_is_none() -> None:
    costs = torch.full((1, 2, 5, OPERATIONS), 5)
    scores = torch.zeros(2, 5, OPERATIONS)
    assert most_probable(scores, NODES, Limits(costs, (39,))) is None
    assert most_probable(scores, NODES, Limits(costs, (40,))) is not None
    assert smallest(costs[0], torch.ones(OPERATIONS, dtype=torch.bool), NODES, Limits(costs)) == 40


def test_the_smallest_network_keeps_the_limit_of_skips() -> None:
    cost = torch.tensor([7, 0, 3]).expand(2, 5, 3)
    every = torch.tensor([True, True, True])
    empty = cost[None][:0]
    assert smallest(cost, every, NODES, Limits(empty, skip=1)) == 0
    assert smallest(cost, every, NODES, Limits(empty, (), 1, 1)) == 2 * 3 * 3
    assert smallest(cost, torch.tensor([True, True, False]), NODES, Limits(empty, (), 1, 1)) == 2 * 3 * 7


def distribution(estimator: ArchEstimator, primitives: tuple[str, ...], seed: int = 3) -> ArchitectureDistribution:
    random = torch.Generator().manual_seed(seed)
    made = ArchitectureDistribution(4, primitives, random, estimator)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return made


@pytest.mark.parametrize("estimator", ["gumbel", "gdas", "darts"])
def test_without_limits_the_largest_score_is_todays_derivation(estimator: ArchEstimator) -> None:
    for seed in range(10):
        made = distribution(estimator, ("none", "skip_connect", "sep_conv_3x3", "max_pool_3x3"), seed)
        before = made.derive()
        found = most_probable(made.scores(), made.node_edges, Limits(torch.zeros(0, *made.alpha.shape).long()))
        assert found is not None
        z = made.derived_architecture()
        assert found == tuple(tuple((edge, z.operations[cell][edge]) for edge in z.edges[cell]) for cell in range(2))
        made.limit(Limits(torch.zeros(0, *made.alpha.shape).long(), (), 8, 1))
        assert made.derive() == before


@pytest.mark.parametrize("estimator", ["gumbel", "gdas", "darts"])
@pytest.mark.parametrize("most", [0, 1, 2])
def test_derived_cells_have_no_more_skips_than_allowed(estimator: ArchEstimator, most: int) -> None:
    made = distribution(estimator, ("none", "skip_connect", "sep_conv_3x3"))
    with torch.no_grad():
        made.alpha[..., 1] += 4.0
    skips = [name for node in made.derive().normal for name, _ in node].count("skip_connect")
    assert skips > most
    made.limit(Limits(torch.zeros(0, *made.alpha.shape).long(), (), most, 1))
    found = made.derive()
    for cell in (found.normal, found.reduce):
        names = [name for node in cell for name, _ in node]
        assert names.count("skip_connect") == most
        assert "none" not in names
    assert made.genotype(made.derived_architecture()) == found


def test_a_derivation_follows_alpha() -> None:
    made = distribution("gumbel", ("skip_connect", "sep_conv_3x3", "dil_conv_3x3"))
    with torch.no_grad():
        made.alpha[..., 0] += 4.0
    made.limit(Limits(torch.zeros(0, *made.alpha.shape).long(), (), 0, 0))
    before = made.derive()
    with torch.no_grad():
        made.alpha[..., 1:] = made.alpha[..., 1:].flip(-1)
    after = made.derive()
    assert before != after
    swapped = {"sep_conv_3x3": "dil_conv_3x3", "dil_conv_3x3": "sep_conv_3x3"}
    assert [[(swapped[name], source) for name, source in node] for node in before.normal] == [
        list(node) for node in after.normal
    ]


def test_edges_on_which_none_is_certain_may_be_derived() -> None:
    made = distribution("darts", ("none", "skip_connect", "sep_conv_3x3"))
    with torch.no_grad():
        made.alpha[..., 0] += 500.0
        made.alpha[..., 1] += 9.0
    made.limit(Limits(torch.zeros(0, *made.alpha.shape).long(), (), 0, 1))
    assert {name for node in made.derive().normal for name, _ in node} == {"sep_conv_3x3"}
    assert bool(made.inclusion().isfinite().all())


def test_limits_that_no_cells_keep_are_refused() -> None:
    made = distribution("gumbel", ("skip_connect", "sep_conv_3x3"))
    costs = torch.tensor([0, 9]).expand(1, 2, 14, 2)
    with pytest.raises(BadInput, match="No cells keep all limits together"):
        made.limit(Limits(costs, (16 * 9 - 1,), 0, 0))
    made.limit(Limits(costs, (16 * 9,), 0, 0))


def test_drawn_cells_have_no_none_and_two_edges_per_node() -> None:
    made = distribution("gdas", ("none", "skip_connect", "sep_conv_3x3"))
    drawn = [made.draw(torch.Generator().manual_seed(seed)) for seed in range(20)]
    assert len({made.genotype(z).normal for z in drawn}) > 1
    for z in drawn:
        cells = made.genotype(z)
        assert all(len(node) == 2 and len({source for _, source in node}) == 2 for node in cells.normal)
        assert all(name != "none" for node in cells.normal + cells.reduce for name, _ in node)
