"""Only the sampled path runs, only its weights are active; gates carry the exact gradient of a scaled edge."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from daas.search.spaces.cells import (
    PRIMITIVE_SETS,
    ArchEstimator,
    Architecture,
    ArchitectureDistribution,
    Mixture,
)
from daas.search.spaces.supernet import FixedNetwork, SuperNet, begins_with_relu, run_primitive


@pytest.fixture(scope="module")
def parts() -> tuple[SuperNet, Architecture, torch.Tensor]:
    torch.manual_seed(0)
    network = SuperNet(5, channels=4, layers=4)
    z = ArchitectureDistribution(generator=torch.Generator().manual_seed(1)).sample(torch.Generator().manual_seed(2), 1)
    return network, z, torch.randn(3, 3, 16, 16)


def test_exactly_the_active_parameters_receive_a_gradient(parts: tuple[SuperNet, Architecture, torch.Tensor]) -> None:
    network, z, x = parts
    network(x, z).sum().backward()
    touched = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    network.zero_grad(set_to_none=True)
    assert touched == set(network.active(z))
    assert len(touched) < 0.2 * len(list(network.parameters()))


def test_modules_outside_the_path_do_not_run(parts: tuple[SuperNet, Architecture, torch.Tensor]) -> None:
    network, z, x = parts
    ran: set[nn.Module] = set()
    kinds = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.Identity)
    hooks = [
        module.register_forward_hook(lambda *_, primitive=primitive: ran.add(primitive))
        for cell in network.cells
        for edge in cell.edges
        for primitive in edge
        for module in primitive.modules()
        if isinstance(module, kinds)
    ]
    network(x, z)
    for hook in hooks:
        hook.remove()
    assert len(ran) == len(network.cells) * 8


def test_gates_of_one_change_nothing_and_carry_gradient(parts: tuple[SuperNet, Architecture, torch.Tensor]) -> None:
    network, z, x = parts
    torch.testing.assert_close(network(x, z, gated=True), network(x, z), rtol=1e-5, atol=1e-5)
    gradient = torch.autograd.grad(network(x, z, gated=True)[:, 0].sum(), z.gates, retain_graph=True)[0]
    sampled = torch.zeros(2, 14, dtype=torch.bool)
    for cell in range(2):
        sampled[cell, list(z.edges[cell])] = True
    assert (gradient[sampled] != 0).all()
    assert (gradient[~sampled] == 0).all()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gate_gradients_against_finite_differences(memory_format: torch.memory_format) -> None:
    """d loss / d gate of every sampled edge by central differences, in float64."""
    torch.manual_seed(0)
    network = SuperNet(5, channels=2, layers=3).double().to(memory_format=memory_format)
    made = ArchitectureDistribution(generator=torch.Generator().manual_seed(1)).double()
    z = made.sample(torch.Generator().manual_seed(8), 1.0)
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64).contiguous(memory_format=memory_format)

    def loss(gates: torch.Tensor) -> torch.Tensor:
        return network(x, Architecture(z.operations, z.edges, gates), gated=True).square().sum()

    gates = torch.ones(2, 14, dtype=torch.float64, requires_grad=True)
    analytic = torch.autograd.grad(loss(gates), gates)[0]
    step = 1e-5
    with torch.no_grad():
        for cell in range(2):
            for edge in z.edges[cell]:
                unit = torch.zeros(2, 14, dtype=torch.float64)
                unit[cell, edge] = step
                numeric = (loss(gates + unit) - loss(gates - unit)) / (2 * step)
                torch.testing.assert_close(analytic[cell, edge], numeric, rtol=1e-4, atol=1e-6)


def test_a_run_primitive_is_the_primitive_times_the_gate(parts: tuple[SuperNet, Architecture, torch.Tensor]) -> None:
    network, _, _ = parts
    x = torch.randn(3, 4, 8, 8)
    gate = torch.tensor(0.3)
    for primitive in network.cells[0].edges[0]:
        found = run_primitive(primitive, x.relu() if begins_with_relu(primitive) else x, gate)
        torch.testing.assert_close(found, 0.3 * primitive(x), rtol=1e-4, atol=1e-5)


def test_the_network_keeps_no_trace_of_a_pass(parts: tuple[SuperNet, Architecture, torch.Tensor]) -> None:
    network, _, _ = parts
    assert not list(network.buffers())
    fixed = FixedNetwork(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)))
    assert not list(fixed.buffers())


def test_a_supernet_needs_a_path() -> None:
    with pytest.raises(ValueError, match="sampled path"):
        SuperNet(2, channels=2, layers=3)(torch.zeros(2, 3, 8, 8), None)


@pytest.mark.parametrize("estimator", ["gdas", "darts"])
def test_gates_on_every_edge_against_finite_differences(estimator: ArchEstimator) -> None:
    """d loss / d gate by central differences in float64; the mixture's gates are weights, also without ``gated``."""
    torch.manual_seed(0)
    primitives = PRIMITIVE_SETS["darts"]
    network = SuperNet(4, channels=2, layers=3, nodes=2, primitives=primitives).double()
    made = ArchitectureDistribution(2, primitives, torch.Generator().manual_seed(1), estimator).double()
    z = made.sample(torch.Generator().manual_seed(3), 1.0)
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)

    def loss(gates: torch.Tensor) -> torch.Tensor:
        return network(x, dataclasses.replace(z, gates=gates), gated=True).square().sum()

    gates = z.gates.detach().clone().requires_grad_()
    analytic = torch.autograd.grad(loss(gates), gates)[0]
    if estimator == "darts":
        torch.testing.assert_close(network(x, z, gated=True), network(x, z))
    with torch.no_grad():
        for index in range(0, gates.numel(), 3):
            unit = torch.zeros(gates.numel(), dtype=torch.float64)
            unit[index] = 1e-5
            numeric = (loss(gates + unit.view_as(gates)) - loss(gates - unit.view_as(gates))) / 2e-5
            torch.testing.assert_close(analytic.flatten()[index], numeric, rtol=1e-4, atol=1e-6)


def test_the_mixture_is_the_weighted_sum_of_all_operations() -> None:
    torch.manual_seed(0)
    network = SuperNet(4, channels=2, layers=3, nodes=2, primitives=PRIMITIVE_SETS["darts"]).double()
    cell = network.cells[1]
    s0, s1 = torch.randn(2, 3, 6, 8, 8, dtype=torch.float64).clamp_min(0)
    s1 = torch.randn(3, 4, 8, 8, dtype=torch.float64).clamp_min(0)
    weights = torch.rand(2, 5, 8, dtype=torch.float64)
    states = [cell.preprocess0(s0), cell.preprocess1(s1)]
    for target in (2, 3):
        edges = [edge for edge, (_, node) in enumerate(cell.edge_list) if node == target]
        states.append(
            sum(
                weights[1, edge, o] * primitive(states[cell.edge_list[edge][0]])
                for edge in edges
                for o, primitive in enumerate(cell.edges[edge])
            )
        )
    expected = torch.cat(states[2:], 1)
    torch.testing.assert_close(cell(s0, s1, Mixture(weights), gated=False), expected)


class Remembers(nn.Module):
    """Computes something from its weight once per stretch of evaluation, as some of timm's models do."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.kept = nn.Parameter(torch.ones(2)), {}

    def train(self, mode: bool = True) -> Remembers:
        super().train(mode)
        if mode:
            self.kept = {}
        return self

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x.mean((1, 2, 3)).unsqueeze(1) * self.weight
        return x.mean((1, 2, 3)).unsqueeze(1) * self.kept.setdefault("weight", self.weight.detach().clone())


def test_validation_of_a_fixed_network_sees_its_present_weights() -> None:
    network = FixedNetwork(Remembers())
    for value in (1.0, 2.0, 3.0):
        with torch.no_grad():
            network.active()["model.weight"].fill_(value)
        network.set_mode(training=False)
        assert network(torch.ones(1, 3, 4, 4)).tolist() == [[value, value]]
