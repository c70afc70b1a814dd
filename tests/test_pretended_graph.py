"""A pretended graph minds what a graph minds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.pretended_gpu import DEVICE, OnGPU, PretendedGPU, values_of
from tests.pretended_graph import InPool, PretendedGraph


class Step:
    """Reads ``given``, adds to ``total``; ``times`` its Python has run."""

    def __init__(self) -> None:
        self.given, self.total, self.times = torch.ones(2), torch.zeros(2), 0
        self.within = self.given

    def __call__(self) -> None:
        self.times += 1
        self.within = self.given * 3
        self.total.add_(self.within.view(2) if self.times < 3 else 2 * self.within)


def test_it_repeats_operations_and_no_python() -> None:
    step, graph = Step(), PretendedGraph()
    graph.record(step, [step.total])
    assert step.total.tolist() == [0.0, 0.0]
    for value in (1.0, 10.0):
        step.given.fill_(value)
        graph.replay()
    assert step.times == 4
    assert step.total.tolist() == [66.0, 66.0]  # by the branch that was taken when it was captured
    assert step.within.tolist() == [30.0, 30.0]


def test_memory_of_others_is_not_kept_alive() -> None:
    step, graph = Step(), PretendedGraph()
    graph.record(step, [step.total])
    step.given = torch.zeros(2)
    with pytest.raises(AssertionError, match="given back"):
        graph.replay()


def test_in_a_pool_nothing_outlives_a_replay() -> None:
    step, graph = Step(), InPool()
    graph.record(step, [step.total])
    assert step.within.isnan().all()  # capturing computes nothing
    graph.replay()
    assert step.within.isnan().all()
    assert step.total.tolist() == [6.0, 6.0]


def test_random_numbers_are_new_ones_from_the_global_stream() -> None:
    x, found = torch.ones(64), torch.zeros(64)
    graph = PretendedGraph()
    graph.record(lambda: found.copy_(F.dropout(x, 0.5)), [found])
    seen = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        graph.replay()
        seen.append(found.clone())
    torch.manual_seed(1)
    assert torch.equal(seen[0], F.dropout(x, 0.5))
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])


def test_on_the_pretended_gpu_it_may_not_wait() -> None:
    with PretendedGPU() as gpu:
        there = torch.ones(2).to(DEVICE)
        with pytest.raises(AssertionError, match="waited"):
            PretendedGraph(gpu).record(lambda: there.mul_(float(there.sum())), [there])
        graph = PretendedGraph(gpu)
        graph.record(lambda: there.mul_(there.sum()), [there])
        graph.replay()
        graph.replay()
    assert isinstance(there, OnGPU)
    assert values_of(there).tolist() == [8.0, 8.0]


def test_gradients_and_what_is_changed_in_place_are_repeated() -> None:
    weight, x = torch.full((2,), 3.0, requires_grad=True), torch.tensor([1.0, 2.0])
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.5, foreach=False)

    def step() -> None:
        optimizer.zero_grad()
        (weight * x).square().sum().backward()
        optimizer.step()

    def after(steps: int, do: object) -> Tensor:
        for _ in range(steps):
            do()  # type: ignore[operator]  # a function
        return weight.detach().clone()

    graph = PretendedGraph()
    graph.record(step, [weight], optimizer)
    found = after(3, graph.replay)
    with torch.no_grad():
        weight.fill_(3.0)
    optimizer.state.clear()
    assert torch.equal(found, after(3, step))
