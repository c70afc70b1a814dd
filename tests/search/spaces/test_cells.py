"""Gumbel samples against exact probabilities, gates against finite differences of the relaxed sample."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from daas.search.spaces.cells import (
    PRIMITIVE_SETS,
    ArchEstimator,
    Architecture,
    ArchitectureDistribution,
    Mixture,
    cell_edges,
)


def distribution(scale: float = 1.0, nodes: int = 4) -> ArchitectureDistribution:
    random = torch.Generator().manual_seed(5)
    made = ArchitectureDistribution(nodes, generator=random)
    with torch.no_grad():
        made.alpha.copy_(scale * torch.randn(made.alpha.shape, generator=random))
        made.beta.copy_(scale * torch.randn(made.beta.shape, generator=random))
    return made


def test_edges_are_ordered_by_node_then_input() -> None:
    assert cell_edges(2) == ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert len(cell_edges(4)) == 14


def test_samples_have_two_distinct_inputs_per_node_and_gates_of_one() -> None:
    made = distribution()
    for seed in range(50):
        z = made.sample(torch.Generator().manual_seed(seed), 1.0)
        assert torch.equal(z.gates, torch.ones_like(z.gates))
        for cell in z.edges:
            for node in range(4):
                pair = cell[2 * node : 2 * node + 2]
                assert len(set(pair)) == 2
                assert all(made.edge_list[edge][1] == node + 2 for edge in pair)


def test_sample_frequencies_agree_with_the_exact_probabilities() -> None:
    """Operations are categorical by softmax(alpha); the two edges are drawn without replacement by softmax(beta)."""
    made = distribution()
    draws = 8_000
    random = torch.Generator().manual_seed(1)
    operation_count = torch.zeros(2, 14, len(made.primitives), dtype=torch.float64)
    pair_count: dict[tuple[int, tuple[int, ...]], int] = {}
    for _ in range(draws):
        z = made.sample(random, 0.7)
        operation_count[torch.arange(2).unsqueeze(1), torch.arange(14), torch.tensor(z.operations)] += 1
        for cell in range(2):
            for node in range(4):
                key = (cell, z.edges[cell][2 * node : 2 * node + 2])
                pair_count[key] = pair_count.get(key, 0) + 1
    p = made.operation_probabilities().double()
    error = (p * (1 - p) / draws).sqrt()
    assert ((operation_count / draws - p).abs() / error).max() < 4.5

    q = made.edge_probabilities().double()
    for cell, node in itertools.product(range(2), range(4)):
        own = [edge for edge, (_, target) in enumerate(made.edge_list) if target == node + 2]
        for a, b in itertools.combinations(own, 2):
            qa, qb = float(q[cell, a]), float(q[cell, b])
            exact = min(1.0, qa * qb / (1 - qa) + qb * qa / (1 - qb))
            seen = pair_count.get((cell, (a, b)), 0) / draws
            assert abs(seen - exact) < 4.5 * (exact * (1 - exact) / draws) ** 0.5 + 1e-6


def test_temperature_scales_gradients_but_not_samples() -> None:
    made = distribution()
    hot = made.sample(torch.Generator().manual_seed(3), 10.0)
    cold = made.sample(torch.Generator().manual_seed(3), 0.5)
    assert (hot.operations, hot.edges) == (cold.operations, cold.edges)
    gradients = [torch.autograd.grad(z.gates.sum(), made.alpha)[0] for z in (hot, cold)]
    assert not torch.allclose(*gradients)


def relaxed_gates(made: ArchitectureDistribution, alpha: Tensor, beta: Tensor, seed: int, tau: float) -> Tensor:
    """A~ and B~ of eq. 10 and 11 at the entries that seed samples, written out plainly; their log-gradient's sum."""
    random = torch.Generator().manual_seed(seed)
    g = -(-torch.rand(alpha.shape, generator=random, dtype=torch.float64).log()).log()
    h = -(-torch.rand(beta.shape, generator=random, dtype=torch.float64).log()).log()
    a = ((alpha.log_softmax(-1) + g) / tau).softmax(-1).max(-1).values
    b = torch.zeros_like(beta)
    for node in range(2, 6):
        own = torch.tensor([edge for edge, (_, target) in enumerate(made.edge_list) if target == node])
        log_beta = beta[:, own].log_softmax(-1)
        b[:, own] = ((log_beta + h[:, own]) / tau).softmax(-1)
    return a + b


def test_gate_gradients_are_those_of_the_relaxed_sample() -> None:
    """d(gate) = d(A~) + d(B~) at the sample, by central differences in float64."""
    made = distribution().double()
    weight = torch.randn(2, 14, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = made.sample(torch.Generator().manual_seed(9), 0.8)
    analytic = torch.autograd.grad((weight * z.gates).sum(), [made.alpha, made.beta])
    step = 1e-6
    for which, gradient in enumerate(analytic):
        values = [made.alpha.detach().clone(), made.beta.detach().clone()]
        flat = values[which].view(-1)
        for index in range(0, flat.numel(), 5):
            ends = []
            for sign in (1, -1):
                flat[index] += sign * step
                ends.append((weight * relaxed_gates(made, *values, seed=9, tau=0.8)).sum())
                flat[index] -= sign * step
            torch.testing.assert_close(gradient.view(-1)[index], (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-8)


def test_derivation_takes_the_two_best_edges_by_beta_and_the_best_operation_by_alpha() -> None:
    made = distribution()
    genotype = made.derive()
    for cell, nodes in enumerate((genotype.normal, genotype.reduce)):
        for node, chosen in enumerate(nodes):
            own = [edge for edge, (_, target) in enumerate(made.edge_list) if target == node + 2]
            best = sorted(sorted(own, key=lambda e: -float(made.beta.detach()[cell, e]))[:2])
            expected = [(made.primitives[int(made.alpha[cell, e].argmax())], made.edge_list[e][0]) for e in best]
            assert [tuple(edge) for edge in chosen] == expected


@pytest.mark.parametrize("scale", [0.0, 1000.0])
def test_entropy_is_one_when_uniform_and_zero_when_decided(scale: float) -> None:
    made = distribution(scale)
    expected = 1.0 if scale == 0.0 else 0.0
    assert made.entropy() == pytest.approx({"alpha": expected, "beta": expected}, abs=0.05)


@pytest.mark.parametrize("estimator", ["gumbel", "gdas", "darts"])
def test_none_can_be_searched_but_is_never_derived(estimator: ArchEstimator) -> None:
    made = ArchitectureDistribution(4, PRIMITIVE_SETS["darts"], torch.Generator().manual_seed(0), estimator)
    with torch.no_grad():
        made.alpha[..., made.primitives.index("none")] += 5.0
    genotype = made.derive()
    assert "none" not in {name for nodes in (genotype.normal, genotype.reduce) for node in nodes for name, _ in node}
    z = made.derived_architecture()
    assert all(made.primitives[z.operations[cell][edge]] != "none" for cell in range(2) for edge in z.edges[cell])


@pytest.mark.parametrize("estimator", ["gdas", "darts"])
def test_without_beta_an_edge_is_as_strong_as_its_best_operation(estimator: ArchEstimator) -> None:
    random = torch.Generator().manual_seed(2)
    made = ArchitectureDistribution(4, generator=random, estimator=estimator)
    with torch.no_grad():
        made.alpha.copy_(torch.randn(made.alpha.shape, generator=random))
    assert [name for name, _ in made.named_parameters()] == ["alpha"]
    strength = made.alpha.detach().softmax(-1).amax(-1)
    genotype = made.derive()
    for cell, nodes in enumerate((genotype.normal, genotype.reduce)):
        for node, chosen in enumerate(nodes):
            own = [edge for edge, (_, target) in enumerate(made.edge_list) if target == node + 2]
            best = sorted(sorted(own, key=lambda e: -float(strength[cell, e]))[:2])
            assert [source for _, source in chosen] == [made.edge_list[edge][0] for edge in best]
            shares = made.edge_probabilities()[cell, own]
            torch.testing.assert_close(shares, strength[cell, own] / strength[cell, own].sum())


def test_gdas_samples_one_operation_on_every_edge_by_alpha() -> None:
    random = torch.Generator().manual_seed(4)
    made = ArchitectureDistribution(2, generator=random, estimator="gdas")
    with torch.no_grad():
        made.alpha.copy_(torch.randn(made.alpha.shape, generator=random))
    draws, count = 4000, torch.zeros(2, 5, 7, dtype=torch.float64)
    for _ in range(draws):
        z = made.sample(random, 1.0)
        assert isinstance(z, Architecture)
        assert z.edges == ((0, 1, 2, 3, 4),) * 2
        count[torch.arange(2).unsqueeze(1), torch.arange(5), torch.tensor(z.operations)] += 1
    p = made.operation_probabilities().double()
    assert ((count / draws - p).abs() / (p * (1 - p) / draws).sqrt()).max() < 4.5


def test_darts_is_the_mixture_with_the_gradient_of_alpha() -> None:
    made = ArchitectureDistribution(2, generator=torch.Generator().manual_seed(1), estimator="darts").double()
    z = made.sample(torch.Generator().manual_seed(1), 1.0)
    assert isinstance(z, Mixture)
    torch.testing.assert_close(z.gates, made.alpha.softmax(-1))
