"""Passes from graphs against ordinary ones, without a GPU: called each time, and by a pretended graph."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from daas.errors import BadInput
from daas.recording import Eager, Uncapturable
from daas.search.algorithm.model import Model
from daas.search.algorithm.state import Moment, State
from daas.search.algorithm.step import advance
from daas.search.graphs import passes, piece, whole
from daas.search.graphs.passes import Passes, why_launched
from daas.search.options import SearchConfig
from daas.search.runs import build
from daas.search.runs import one as one_run
from daas.search.spaces.cells import PRIMITIVE_SETS, Architecture
from daas.search.spaces.supernet import FixedNetwork
from daas.seeds import generator
from tests.pretended_graph import InPool
from tests.search.algorithm.test_step import ETA, TAU, batch, make, noisy

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
Run = Callable[..., tuple[int, Path]]


def with_graphs(search: State, kept_by: Callable[[], Any] = Eager) -> State:
    search.passes = Passes(search, kept_by, required=True)
    return search


def after(search: State, steps: int = 2) -> list[Tensor]:
    """All that has moved, and what was seen, after an iteration of warm-up and some with the policy."""
    seen = [
        advance(search, batch(step), batch(9 + step), Moment(step, ETA, TAU, step > 0)).means(CPU)
        for step in range(steps)
    ]
    modules = [module for module in (search.network, search.architecture, search.augmentation) if module is not None]
    return [parameter.detach() for module in modules for parameter in module.parameters()] + seen


@pytest.mark.parametrize(
    ("given", "kept_by"),
    [
        ({}, Eager),
        ({}, InPool),
        ({"estimator": "per-image", "reward_batches": 1}, InPool),
        ({"estimator": "per-image", "reward": "influence"}, InPool),
        ({"estimator": "straight-through"}, InPool),
        ({"arch_estimator": "gdas", "architectures": 1}, InPool),
        ({"arch_estimator": "darts", "architectures": 1}, InPool),
    ],
)
def test_iterations_are_the_ordinary_ones_to_the_bit(given: dict[str, Any], kept_by: Callable[[], Any]) -> None:
    plain, found = after(make(**given)), after(with_graphs(make(**given), kept_by))
    assert all(torch.equal(one, other) for one, other in zip(found, plain, strict=True))


@pytest.mark.parametrize("estimator", ["policy-gradient", "per-image", "uniform"])
@pytest.mark.parametrize("kept_by", [Eager, InPool])
def test_so_are_those_of_a_fixed_network_that_draws(estimator: Any, kept_by: Callable[[], Any]) -> None:
    plain, found = after(noisy(estimator)), after(with_graphs(noisy(estimator), kept_by))
    assert all(torch.equal(one, other) for one, other in zip(found, plain, strict=True))


@pytest.mark.parametrize(
    ("given", "tolerance"),
    [({"amp": True, "primitives": PRIMITIVE_SETS["paper"][:4]}, 2e-2), ({"primitives": PRIMITIVE_SETS["darts"]}, 1e-5)],
)
def test_where_memory_is_set_out_in_another_way_they_differ_by_rounding(
    given: dict[str, Any], tolerance: float
) -> None:
    """The ordinary passes of these have gradients that are cut out of others, which PyTorch sums in another order."""
    plain, found = after(make(**given)), after(with_graphs(make(**given), InPool))
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets searches take graphs on a CPU, with ``--graph on``: what was asked for."""
    asked: list[str] = []

    def why(config: SearchConfig, device: torch.device) -> str | None:
        asked.append(config.graph)
        return None if config.graph == "on" else "--graph auto"

    monkeypatch.setattr(build, "why_launched", why)
    monkeypatch.setattr(one_run, "why_launched", lambda config, device: None)
    return asked


@pytest.mark.parametrize(
    "options",
    [
        ("--aug-estimator", "policy-gradient", "--policies", "2"),
        ("--mode", "arch"),
        ("--mode", "aug", "--model", "CONVNET", "--aug-estimator", "policy-gradient"),
    ],
)
def test_a_whole_search_finds_the_same(
    run_search: Run, small_convnet: str, options: tuple[str, ...], everywhere: list[str]
) -> None:
    words = [word.replace("CONVNET", small_convnet) for word in (*options, "--epochs", "1", "--max-images", "200")]
    plain = run_search(*words, out="plain")[1]
    found = run_search(*words, "--graph", "on", out="found")[1]
    assert everywhere == ["off", "on"]
    assert results(found) == results(plain)


def results(out: Path) -> dict[str, Any]:
    """What a search has found and seen, and its weights."""
    found: dict[str, Any] = {
        name: json.loads((out / name).read_text()) for name in ("genotype.json", "policy.json") if (out / name).exists()
    }
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    found["metrics"] = [{key: value for key, value in line.items() if key != "seconds"} for line in lines]
    tensors = load_file(out / "checkpoint.safetensors")
    return found | {name: tensor.tolist() for name, tensor in tensors.items()}


@pytest.mark.parametrize("first", ["on", "off"])
def test_a_search_goes_on_with_and_without(
    run_search: Run, whole_search: Path, everywhere: list[str], first: str
) -> None:
    then = "off" if first == "on" else "on"
    run_search("--graph", first, "--max-steps", "4")
    code, found = run_search("--graph", then, "--resume", "auto")
    assert code == 0
    assert everywhere == [first, then]
    assert results(found) == results(whole_search)


def test_what_a_pass_gives_outlives_the_next() -> None:
    search = with_graphs(make())
    assert search.architecture is not None
    z = search.architecture.sample(generator(3), TAU)
    model = Model(search, z)
    images, labels = batch(1)
    val = search.preparation.normalize(images), labels
    first = model.gradient(val)
    gates = model.gate_gradient(val)
    before = [tensor.clone() for tensor in (*first, gates)]
    other = search.preparation.normalize(batch(2)[0]), labels
    second = model.gradient(other)
    assert not torch.equal(model.gate_gradient(other), gates)
    assert not torch.equal(first[0], second[0])
    assert all(torch.equal(one, kept) for one, kept in zip((*first, gates), before, strict=True))


def test_a_piece_is_kept_once_for_each_kind_of_gradient_and_for_two_shapes() -> None:
    InPool.recorded = 0
    search = with_graphs(make(arch_estimator="gdas", architectures=1, policies=3), InPool)
    assert search.architecture is not None
    assert search.passes is not None
    z = search.architecture.sample(generator(3), TAU)
    model, counts = Model(search, z), []
    for size in (8, 8, 6, 6, 4):
        images, labels = batch(1)
        val = search.preparation.normalize(images[:size]), labels[:size]
        taken = search.passes.of_weights(model, val, training=False)
        assert (taken is None) == (size == 4)  # a third shape
        if taken is not None:
            expected = model.through_weights(val, training=False)
            assert all(torch.equal(a, b) for a, b in zip(taken.gradient, expected.gradient, strict=True))
        counts.append(InPool.recorded)
    assert counts[0] == counts[1] > 40
    assert counts[2:] == [2 * counts[0]] * 3
    search.passes.of_gates(model, (search.preparation.normalize(batch(1)[0]), labels))
    assert counts[-1] < InPool.recorded <= 3 * counts[0]


def test_candidates_of_one_edge_share_memory() -> None:
    """Else graphs of all of them would take as much as all candidates at once."""
    together, alone = make(), []
    for operation in range(7):
        alone.append(kept_after(make(), operation))
        size = kept_after(together, operation)
    assert max(alone) <= size < 0.6 * sum(alone)
    assert kept_after(together, 0) == size


def kept_after(search: State, operation: int) -> int:
    """Numbers that are kept for backward passes, after one with an operation on all edges."""
    assert search.architecture is not None
    search.passes = search.passes or Passes(search, Eager)
    val = search.preparation.normalize(batch(1)[0]), batch(1)[1]
    z = search.architecture.sample(generator(3), TAU)
    path = Architecture(((operation,) * 5, (operation,) * 5), z.edges, z.gates)
    assert search.passes.of_weights(Model(search, path), val, training=True) is not None
    kept = search.passes._sampled[val[0].shape]._kept
    return sum(row.numel() for one in kept.values() for rows in one._rows.values() for row in rows)


class Refusing(Eager):
    """A recorder of a device that captures nothing."""

    def record(self, *_: object) -> None:
        raise Uncapturable("CUDA refuses it: operation not permitted when stream is capturing")


@pytest.mark.parametrize("made", [make, lambda: noisy("policy-gradient")])
def test_what_cannot_be_captured_is_said_once_and_runs_without(
    made: Callable[[], State], capsys: pytest.CaptureFixture[str]
) -> None:
    passes.say_eager.cache_clear()
    search = made()
    search.passes = Passes(search, Refusing)
    assert all(torch.equal(one, other) for one, other in zip(after(search), after(made()), strict=True))
    said = capsys.readouterr().err
    assert said == (
        "Passes of the search are not captured as a CUDA graph: CUDA refuses it: operation not permitted when stream "
        "is capturing.\n"
    )


def test_with_graph_on_that_is_an_error() -> None:
    search = make()
    search.passes = Passes(search, Refusing, required=True)
    with pytest.raises(BadInput, match="--graph on: the network cannot be captured: CUDA refuses it"):
        after(search)


class Odd(nn.Module):
    """Like a primitive, but in float64."""

    def forward(self, x: Tensor) -> Tensor:
        return x.double()


def test_a_primitive_of_another_kind_than_the_others_is_not_captured() -> None:
    search = with_graphs(make(architectures=1))
    for cell in search.network.cells:  # type: ignore[union-attr]  # a supernet's
        for edge in cell.edges:
            for operation in range(len(edge)):
                edge[operation] = Odd()
    with pytest.raises(BadInput, match=r"a primitive gives float64 \[8, 2, 12, 12\] where others give float32"):
        after(search)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"graph": "off"}, "--graph off"),
        ({"policy_passes": "batched"}, "--policy-passes batched"),
        ({"aug_estimator": "per-image", "reward": "influence"}, "--reward influence"),
    ],
)
def test_what_does_not_go_with_it_is_named(given: dict[str, Any], said: str) -> None:
    config = SearchConfig(**{"preset": "paper-cifar10", "graph": "auto", **given})
    assert str(why_launched(config, CUDA)).startswith(said)
    if "graph" not in given:
        with pytest.raises(BadInput, match=f"^--graph on: {said}.* Leave --graph out, or change that.$"):
            why_launched(SearchConfig(**{"preset": "paper-cifar10", **given, "graph": "on"}), CUDA)


def test_auto_captures_fixed_networks_alone_and_on_cuda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "why_not_tried", lambda: None)
    cells: dict[str, Any] = {"preset": "paper-cifar10", "graph": "auto"}
    fixed: dict[str, Any] = {**cells, "mode": "aug", "model": "resnet18"}
    assert why_launched(SearchConfig(**fixed), CUDA) is None
    assert "--graph on also with cells" in str(why_launched(SearchConfig(**cells), CUDA))
    assert why_launched(SearchConfig(**{**fixed, "graph": SearchConfig.graph}), CUDA) == "--graph off"  # the default
    assert why_launched(SearchConfig(preset="paper-cifar10", graph="on"), CUDA) is None
    assert why_launched(SearchConfig(preset="paper-cifar10", mode="arch", graph="on"), CUDA) is None
    for config in (SearchConfig(**fixed), SearchConfig(**cells)):
        assert "the device is cpu" in str(why_launched(config, CPU))


def test_graph_on_without_a_gpu_is_refused_before_anything_is_written(
    run_search: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_search("--graph", "on", "--device", "cpu", "--screen")
    assert code == 2
    assert "error: --graph on: CUDA graphs are for CUDA, and the device is cpu." in capsys.readouterr().err
    assert not out.exists()


def test_fixed_networks_may_have_buffers_that_passes_change() -> None:
    def made() -> State:
        search = noisy("policy-gradient")
        torch.manual_seed(3)
        body = (nn.Conv2d(3, 4, 3), nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)), nn.Flatten())
        search.network = FixedNetwork(nn.Sequential(*body, nn.Linear(4 * 8 * 8, 3)))
        search.weights = torch.optim.SGD(search.network.parameters(), ETA)
        return search

    plain, found = after(made()), after(with_graphs(made(), InPool))
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other)


class Keeping(torch.autograd.Function):
    """Twice x; remembers something for its backward pass."""

    seen = True

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        if Keeping.seen:
            ctx.save_for_backward(x * 2)
        else:
            ctx.two = x * 2
        return x * 2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        kept = ctx.saved_tensors[0] if Keeping.seen else ctx.two
        return grads[0] * 2 + 0 * kept


class Doubles(nn.Module):
    """A primitive of one's own."""

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = Keeping.apply(x)
        return doubled


class Remembers(nn.Module):
    """Adds what it gave before; ``mask`` is made once and for all."""

    last: Tensor | None = None
    mask: Tensor | None = None

    def __init__(self, once: bool) -> None:
        super().__init__()
        self.once = once

    def forward(self, x: Tensor) -> Tensor:
        if self.mask is None:
            self.mask = torch.zeros_like(x)
        found = x + self.mask + (0 if self.last is None else 0 * self.last)
        if not self.once:
            self.last = found.detach()
        return found


def with_primitive(made: Callable[[], nn.Module]) -> State:
    search = make(architectures=1)
    for cell in search.network.cells:  # type: ignore[union-attr]  # a supernet's
        for index, edge in enumerate(cell.edges):
            if not cell.reduction or cell.edge_list[index][0] > 1:
                for operation in range(len(edge)):
                    edge[operation] = made()
    return search


@pytest.mark.parametrize(
    ("seen", "made", "works"),
    [(True, Doubles, True), (False, Doubles, False), (True, lambda: Remembers(True), True),
     (True, lambda: Remembers(False), False)],
)  # fmt: skip
def test_what_outlives_a_graph_unseen_is_refused(
    seen: bool, made: Callable[[], nn.Module], works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool's memory is somebody else's by then: without the refusal the search would read that."""
    monkeypatch.setattr(Keeping, "seen", seen)
    if works:
        plain, found = after(with_primitive(made)), after(with_graphs(with_primitive(made), InPool))
        assert all(torch.equal(one, other) for one, other in zip(found, plain, strict=True))
        return
    with pytest.raises(BadInput, match=r"a module keeps a tensor \(\[8, .*\) from one pass"):
        after(with_graphs(with_primitive(made), InPool))
    for module in (piece, whole):
        monkeypatch.setattr(module, "refuse_outliving", lambda *_: None)
    with pytest.raises((FloatingPointError, AssertionError), match=r"not a number|given back"):
        after(with_graphs(with_primitive(made), InPool))


@pytest.mark.parametrize("arch_estimator", ["gumbel", "darts"])
def test_graphs_are_freed_with_their_search(arch_estimator: Any) -> None:
    made: list[weakref.ref[InPool]] = []

    def recorder() -> InPool:
        one = InPool()
        made.append(weakref.ref(one))
        return one

    search = with_graphs(make(arch_estimator=arch_estimator, architectures=1), recorder)
    after(search, steps=1)
    gc.collect()
    gc.disable()
    try:
        assert made
        assert all(one() is not None for one in made)
        del search
        assert all(one() is None for one in made)
    finally:
        gc.enable()


def test_no_gradient_is_taken_before_the_first_gate() -> None:
    """With the stem fixed nothing that a cell reads from it needs one."""
    search = with_graphs(make(architectures=1), InPool)
    assert search.architecture is not None
    assert search.passes is not None
    z = search.architecture.sample(generator(3), TAU)
    val = search.preparation.normalize(batch(1)[0]), batch(1)[1]
    taken = search.passes.of_gates(Model(search, z), val)
    assert taken is not None
    expected = Model(search, z).through_gates(val, z.gates.detach())
    assert torch.equal(taken.gradient[0], expected.gradient[0])
    passes_ = search.passes._sampled[val[0].shape]
    first, second = passes_._cells[0], passes_._cells[1]
    unasked = [passes_._stem, *(v for pair in zip(first.raw[:2], first.activated[:2], strict=True) for v in pair)]
    for value in (*unasked, second.raw[0], second.activated[0]):
        assert value.gradient is not None
        assert not value.gradient.any()
    assert first.output.gradient is not None
    assert first.output.gradient.any()
