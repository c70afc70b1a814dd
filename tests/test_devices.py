"""Everything that may run on a GPU, on a pretended one: no mixing of devices, the CPU's results, few waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from daas import DAASPolicy, Policy, list_policies
from daas.search.algorithm.state import Moment
from daas.search.algorithm.step import iteration
from daas.search.graphs.passes import Passes
from daas.train.__main__ import main as train
from tests.pretended_gpu import DEVICE, Mixed, OnGPU, PretendedGPU, values_of
from tests.search.algorithm.test_step import ETA, TAU, batch, make

Run = Callable[..., tuple[int, Path]]


def test_the_pretended_gpu_minds_what_a_gpu_minds() -> None:
    with PretendedGPU() as gpu:
        x = torch.arange(6.0).view(2, 3).to(DEVICE)
        net = torch.nn.Linear(3, 1).to(DEVICE)
        net(x).sum().backward()
        assert isinstance(net.weight.grad, OnGPU)
        assert not gpu.waits
        with pytest.raises(Mixed, match=r"add.*OnGPU \[2, 3\], Tensor \[2, 3\]"):
            x + torch.ones(2, 3)
        assert (x.sum().item(), x.cpu().tolist()) == (15.0, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
        assert len(gpu.waits) == 2


@pytest.mark.parametrize(
    ("estimator", "method", "waits"),
    [
        ("policy-gradient", {"baseline": True}, 2),
        ("per-image", {"reward": "jvp"}, 2),
        ("per-image", {"reward": "fd", "reward_batches": 1}, 2),
        ("per-image", {"reward": "influence"}, 2),
        ("straight-through", {}, 2),
        ("uniform", {}, 1),
    ],
)
def test_an_iteration_waits_for_gates_and_rewards_alone(estimator: Any, method: dict[str, Any], waits: int) -> None:
    there, here = make(estimator, **method), make(estimator, **method)
    iteration(here, batch(1), batch(2), Moment(0, ETA, TAU, True))
    with PretendedGPU() as gpu:
        there.network.to(DEVICE)
        there.weights = torch.optim.SGD(there.network.parameters(), ETA, momentum=0.9, weight_decay=0.01)
        train, val = ((images.to(DEVICE), labels.to(DEVICE)) for images, labels in (batch(1), batch(2)))
        gpu.waits.clear()
        iteration(there, train, val, Moment(0, ETA, TAU, True))
        assert gpu.waits == ["aten::_to_copy"] * waits
    pairs = [
        (there.network, here.network),
        (there.architecture, here.architecture),
        (there.augmentation, here.augmentation),
    ]
    for one, other in pairs:
        assert one is not None
        assert other is not None
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(values_of(a), values_of(b))


class Launched:
    """A recorder on the pretended GPU, where a graph is one launch, and nothing in it may wait."""

    def __init__(self, gpu: PretendedGPU) -> None:
        self.gpu = gpu

    def record(
        self, function: Callable[[], None], tensors: Sequence[Tensor], optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        self.function = function

    def replay(self) -> None:
        launches, waits, blocking = len(self.gpu.launches), len(self.gpu.waits), len(self.gpu.blocking)
        self.function()
        assert (len(self.gpu.waits), len(self.gpu.blocking)) == (waits, blocking)
        self.gpu.launches[launches:] = ["graph"]


@pytest.mark.parametrize(("arch_estimator", "least"), [("gumbel", 2.5), ("darts", 30)])
def test_graphs_launch_less_and_wait_for_nothing_more(arch_estimator: Any, least: float) -> None:
    counts, waits, weights = [], [], []
    for graphs in (False, True):
        search = make("policy-gradient", arch_estimator=arch_estimator, architectures=1)
        with PretendedGPU() as gpu:
            search.network.to(DEVICE)
            search.weights = torch.optim.SGD(search.network.parameters(), ETA, momentum=0.9, foreach=True)
            if graphs:
                search.passes = Passes(search, partial(Launched, gpu), required=True)
            train, val = ((images.to(DEVICE), labels.to(DEVICE)) for images, labels in (batch(1), batch(2)))
            for _ in range(2):  # graphs are made in the first
                gpu.launches.clear()
                gpu.waits.clear()
                iteration(search, train, val, Moment(0, ETA, TAU, True))
        counts.append(len(gpu.launches))
        waits.append(gpu.waits)
        weights.append([values_of(weight) for weight in search.network.parameters()])
    assert waits[0] == waits[1] == ["aten::_to_copy"] * 2
    assert counts[0] > least * counts[1]
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", list_policies())
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_policy_gives_the_cpus_images_without_waiting(name: str, dtype: torch.dtype) -> None:
    policy = DAASPolicy.load(name, backend="torch")
    images = torch.randint(256, (16, 3, 12, 10), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    if dtype is torch.float32:
        images = images / 255
    draw = policy.sample(len(images), torch.Generator().manual_seed(1))
    expected = policy.apply(images, draw)
    with PretendedGPU() as gpu:
        found = policy.apply(images.to(DEVICE), draw)
        assert isinstance(found, OnGPU)
        assert not gpu.waits
    assert torch.equal(values_of(found), expected)


@pytest.mark.parametrize(
    ("name", "most"), [("random", 116), ("randaugment", 110), ("autoaugment_imagenet", 94), ("trivialaugment", 56)]
)
def test_a_policy_launches_little_whatever_its_size(name: str, most: int) -> None:
    """One group after the other, each operation by itself, were 318, 286, 210 and 146."""
    random = torch.Generator().manual_seed(0)
    policy = DAASPolicy(Policy.random(random) if name == "random" else DAASPolicy.load(name).policy, backend="torch")
    for count in (256, 1024):
        images = torch.randint(256, (count, 3, 16, 16), generator=random, dtype=torch.uint8)
        draw = policy.sample(count, random)
        with PretendedGPU() as gpu:
            there = images.to(DEVICE)
            gpu.launches.clear()
            policy.apply(there, draw)
        assert len(gpu.launches) <= most
        assert gpu.launches.count("aten::index_select") == policy.policy.slots + 1  # into order, and back
        assert not gpu.waits


@pytest.mark.parametrize("mode", [("--mode", "joint"), ("--mode", "aug", "--model", "CONVNET")])
def test_a_whole_search_runs_there(run_search: Run, small_convnet: str, mode: tuple[str, ...]) -> None:
    options = [word.replace("CONVNET", small_convnet) for word in mode]
    code, here = run_search(*options, out="here")
    assert code == 0
    with PretendedGPU():
        code, there = run_search(*options, "--device", DEVICE, out="there")
    assert code == 0
    assert {path.name for path in there.iterdir()} == {path.name for path in here.iterdir()}
    one, other = (json.loads((out / "metrics.jsonl").read_text().splitlines()[0]) for out in (here, there))
    for key in ("train_loss", "val_loss"):  # of the first epoch; later the last bits decide which paths are sampled
        assert one[key] == pytest.approx(other[key], rel=1e-3)


def test_a_training_runs_there_and_reaches_the_same(tmp_path: Path, small_convnet: str) -> None:
    given = [
        "--dataset", "digits", "--val-split", "test", "--model", small_convnet, "--img-size", "16", "--epochs", "1",
        "--warmup-epochs", "0", "--batch-size", "128", "--aa", "daas:randaugment", "--cutout", "4", "--output",
        str(tmp_path),
    ]  # fmt: skip
    assert train([*given, "--experiment", "here"]) == 0
    with PretendedGPU():
        assert train([*given, "--experiment", "there", "--device", DEVICE]) == 0
    here, there = (json.loads((tmp_path / name / "result.json").read_text())["last"] for name in ("here", "there"))
    assert here["loss"] == pytest.approx(there["loss"], rel=1e-3)
    assert here["top1"] == pytest.approx(there["top1"], abs=0.5)
