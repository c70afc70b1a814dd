"""The term of the cost: exact against enumeration, its gradient against finite differences; limits that cannot be."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from daas.errors import BadInput
from daas.search.budget.budget import Budget, limit_cells
from daas.search.budget.table import CostTable, count_tables
from daas.search.budget.trained import TrainedNetwork
from daas.search.spaces.cells import ArchEstimator, ArchitectureDistribution

NETWORK = TrainedNetwork("daas_cell_cifar", 4, 3, 2, 8)


def cells(nodes: int = 2, estimator: ArchEstimator = "gumbel") -> ArchitectureDistribution:
    random = torch.Generator().manual_seed(4)
    made = ArchitectureDistribution(nodes, generator=random, estimator=estimator).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return made


def budget(made: ArchitectureDistribution, weight: float = 1.0, **limits: int) -> Budget:
    return Budget(NETWORK, count_tables(NETWORK, made.nodes, made.primitives), limits, weight)


def expected_by_enumeration(made: ArchitectureDistribution, table: CostTable) -> float:
    """Over all ordered pairs of edges of each node, drawn without replacement, and the operations on them."""
    share, operations = made.edge_probabilities(), made.operation_probabilities()
    found = float(table.base)
    for cell in range(2):
        for edges in made.node_edges:
            for first, second in itertools.permutations(edges, 2):
                p, q = float(share[cell, first]), float(share[cell, second])
                for edge in (first, second):
                    found += p * q / (1 - p) * float((operations[cell, edge] * table.parts[cell, edge]).sum())
    return found


@pytest.mark.parametrize("kind", ["params", "macs"])
def test_the_expected_cost_is_exact(kind: str) -> None:
    made = cells(nodes=4)
    table = budget(made, params=1).tables[kind]
    found = table.expected(made.inclusion(), made.choice()).detach()
    assert float(found) == pytest.approx(expected_by_enumeration(made, table), rel=1e-12)


def test_the_expected_cost_is_the_mean_of_sampled_cells() -> None:
    made = cells(nodes=3)
    table = budget(made, params=1).tables["params"]
    random = torch.Generator().manual_seed(0)
    costs = [table.of(made.genotype(made.sample(random, 0.5))) for _ in range(600)]  # type: ignore[arg-type]  # gumbel's
    mean = torch.tensor(costs).double()
    error = float(mean.std()) / math.sqrt(len(costs))
    assert abs(float(mean.mean()) - float(table.expected(made.inclusion(), made.choice()))) < 4 * error


@pytest.mark.parametrize("estimator", ["gumbel", "gdas", "darts"])
def test_its_gradient_is_that_of_finite_differences(estimator: ArchEstimator) -> None:
    made = cells(nodes=3, estimator=estimator)
    limited = budget(made, 0.7, params=2000, macs=30_000)
    found = limited.gradient(made)
    assert set(found) == set(made.parameters())
    step = 1e-6
    for parameter in made.parameters():
        flat, gradient = parameter.data.view(-1), found[parameter].reshape(-1)
        for index in range(0, len(flat), 7):
            before = float(flat[index])
            sides = []
            for sign in (1, -1):
                flat[index] = before + sign * step
                sides.append(float(limited.penalty(made).detach()))
            flat[index] = before
            assert float(gradient[index]) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5, abs=1e-9)


def test_descending_it_brings_the_expected_cost_below_the_limit_and_no_further() -> None:
    made = cells()
    table = budget(made, params=1).tables["params"]
    limit = int(0.8 * float(table.expected(made.inclusion(), made.choice())))
    limited = budget(made, params=limit)
    optimizer = torch.optim.Adam(made.parameters(), 0.02)
    for _ in range(300):
        gradient = limited.gradient(made)
        if not gradient:
            break
        for parameter in made.parameters():
            parameter.grad = gradient[parameter]
        optimizer.step()
    reached = float(table.expected(made.inclusion(), made.choice()))
    assert 0.95 * limit < reached <= limit
    assert float(limited.penalty(made)) == 0


def test_the_weight_multiplies_the_term() -> None:
    made = cells()
    one, three = (float(budget(made, weight, params=1000).penalty(made).detach()) for weight in (1.0, 3.0))
    assert one > 0
    assert three == pytest.approx(3 * one)
    assert budget(made, 0.0, params=1000).gradient(made) == {}


def test_edges_that_are_all_but_certain_have_finite_gradients() -> None:
    made = cells()
    with torch.no_grad():
        made.beta[:, 2] += 800.0
        made.alpha[..., 3] += 800.0
    assert all(bool(g.isfinite().all()) for g in budget(made, params=1000).gradient(made).values())


def test_a_limit_below_the_smallest_network_is_refused() -> None:
    made = cells()
    tables = count_tables(NETWORK, made.nodes, made.primitives)
    with pytest.raises(
        BadInput, match=r"fits --max-params 1k parameters: the smallest possible has [\d.]+k parameters"
    ):
        limit_cells(made, Budget(NETWORK, tables, {"params": 1000}, 1.0), None)
    least = min(tables["params"].of(made.genotype(made.draw(torch.Generator().manual_seed(n)))) for n in range(300))
    limit_cells(made, Budget(NETWORK, tables, {"params": least}, 1.0), None)
    assert tables["params"].of(made.derive()) <= least


def test_limits_that_only_contradict_each_other_are_refused_too() -> None:
    made = ArchitectureDistribution(2, ("skip_connect", "sep_conv_3x3"))
    shape = (2, 5, 2)
    tables = {
        "params": CostTable("params", 10, torch.tensor([0, 5]).expand(shape), made.primitives),
        "macs": CostTable("macs", 10, torch.tensor([5, 0]).expand(shape), made.primitives),
    }
    with pytest.raises(BadInput, match="No cells keep all limits together"):
        limit_cells(made, Budget(NETWORK, tables, {"params": 15, "macs": 15}, 1.0), None)
    limit_cells(made, Budget(NETWORK, tables, {"params": 30, "macs": 30}, 1.0), None)
    assert [tables[kind].of(made.derive()) for kind in tables] == [30, 30]
