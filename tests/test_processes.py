"""Several processes: the collectives, and that two processes search as one does."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from daas import processes
from daas.augment.draw import Draw
from daas.errors import BadInput
from daas.search.algorithm.estimators import PerImage
from daas.search.algorithm.state import Moment, Preparation, State
from daas.search.algorithm.step import iteration
from daas.search.runs import checkpoint
from daas.search.spaces.cells import ArchitectureDistribution
from daas.search.spaces.policies import AugmentationDistribution
from daas.search.spaces.supernet import SuperNet
from daas.seeds import generator
from daas.train.checks import check
from daas.train.options import TrainOptions
from tests.conftest import SHORT_SEARCH
from tests.search.runs.test_one import assert_same_run

ETA, TAU, STEPS = 0.05, 2.0, 4


class DoublePreparation(Preparation):
    """In float64, so that the order of sums does not show."""

    def normalize(self, images: Tensor) -> Tensor:
        return super().normalize(images).double()

    def augment(self, images: Tensor, draw: Draw | None, crops: torch.Generator) -> Tensor:
        return super().augment(images, draw, crops).double()


def make_search(architectures: int) -> State:
    torch.manual_seed(0)
    network = SuperNet(3, channels=2, layers=3, nodes=2).double()
    architecture = ArchitectureDistribution(2, generator=generator(1)).double()
    augmentation = AugmentationDistribution(generator=generator(2)).double()
    return State(
        network=network,
        preparation=DoublePreparation((0.4, 0.4, 0.4), (0.3, 0.3, 0.3), 1, 0.5),
        weights=torch.optim.SGD(network.parameters(), ETA, momentum=0.9, weight_decay=0.01),
        architecture=architecture,
        architecture_optimizer=torch.optim.Adam(architecture.parameters(), 0.01, betas=(0.5, 0.999)),
        augmentation=augmentation,
        augmentation_optimizer=torch.optim.Adam(augmentation.parameters(), 0.01, betas=(0.5, 0.999)),
        architectures=architectures,
        estimator=PerImage(policies=1),
        clip_grad=5.0,
        seed=5,
    )


def searched(architectures: int) -> dict[str, Tensor]:
    """The state after a few iterations on images made up from a seed, and the metrics of the last one."""
    search = make_search(architectures)
    random = generator(3)
    images = torch.randint(256, (8, 3, 12, 12), generator=random, dtype=torch.uint8)
    labels = torch.randint(3, (8,), generator=random)
    for step in range(STEPS):
        result = iteration(search, (images, labels), (images.flip(0), labels.flip(0)), Moment(step, ETA, TAU, step > 0))
    means = result.means(torch.device("cpu"))
    processes.check_same("At the end", checkpoint.tensors(search))
    return {**checkpoint.tensors(search), "means": means}


def in_processes(work: str, count: int, folder: Path) -> list[dict[str, Tensor]]:
    """Runs a function of this module in several gloo processes; what each returned."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = []
    for rank in range(count):
        environment = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        code = f"from tests import test_processes as t; t.run(t.{work}, {str(folder / str(rank))!r})"
        started.append(subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE))
    errors = [process.communicate(timeout=600)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * count, errors
    return [torch.load(folder / str(rank), weights_only=True) for rank in range(count)]


def run(work: Callable[[], dict[str, Tensor]], path: str) -> None:
    with processes.processes():
        torch.save(work(), path)


@pytest.mark.parametrize(("architectures", "count"), [(4, 2), (3, 2)])
def test_processes_take_the_same_steps_as_one(architectures: int, count: int, tmp_path: Path) -> None:
    one = searched(architectures)
    several = in_processes(f"searched_{architectures}", count, tmp_path)
    for found in several:
        assert set(found) == set(one)  # also: the same weights have momentum
        for name, tensor in one.items():
            assert torch.allclose(found[name], tensor, rtol=1e-9, atol=1e-12), name


def searched_4() -> dict[str, Tensor]:
    return searched(4)


def searched_3() -> dict[str, Tensor]:
    return searched(3)


def by_torchrun(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "daas.search",
        *SHORT_SEARCH, "--out", str(out), *arguments,
    ]  # fmt: skip
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def test_a_search_by_two_processes_is_that_of_one(whole_search: Path, tmp_path: Path) -> None:
    """On digits, from the command line: the same genotype, policy, metrics and weights; only one process writes."""
    found = by_torchrun(tmp_path / "two")
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("Done. Results in") == 1
    assert found.stdout.count("epoch   1") == 1
    assert_same_run(tmp_path / "two", whole_search)
    assert json.loads((tmp_path / "two" / "summary.json").read_text())["processes"] == 2


def collectives() -> dict[str, Tensor]:
    """What each process gets; process 1 has one row more than process 0."""
    number = processes.rank()
    a, b, c = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(1))
    gradients: dict[Tensor, Tensor] = {b: torch.full((3,), 1.0 + number)} | ({a: torch.ones(2)} if number else {})
    processes.sum_gradients(gradients, [a, b, c])
    assert list(gradients) == [a, b]
    try:
        processes.check_same("Here", {"same": torch.ones(2), "other": torch.tensor(number)})
        different = ""
    except processes.RanksDiffer as error:
        different = str(error)
    assert "different values of other" in different
    with processes.alone():
        assert (processes.rank(), processes.world_size(), list(processes.share(3))) == (0, 1, [0, 1, 2])
    return {
        "gathered": processes.gather(torch.full((1 + number, 2), float(number))),
        "total": processes.total(torch.tensor([1.0, float(number)])),
        "share": torch.tensor(list(processes.share(5))),
        "any": torch.tensor(processes.any_of(number == 1, False)),
        "a": gradients[a],
        "b": gradients[b],
    }


def test_collectives(tmp_path: Path) -> None:
    for number, found in enumerate(in_processes("collectives", 2, tmp_path)):
        assert found["gathered"].tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
        assert found["total"].tolist() == [2.0, 1.0]
        assert found["share"].tolist() == [[0, 2, 4], [1, 3]][number]
        assert found["any"].tolist() == [True, False]
        assert found["a"].tolist() == [1.0, 1.0]
        assert found["b"].tolist() == [3.0, 3.0, 3.0]


def test_one_process_needs_nothing() -> None:
    rows = torch.ones(2)
    assert processes.gather(rows) is rows
    assert processes.total(rows) is rows
    assert processes.any_of(True, False) == [True, False]


def test_a_process_of_a_pool_that_may_start_no_others_is_told_so() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(check, (TrainOptions(data_dir="photos", workers=0),))
        with pytest.raises(BadInput, match=r"--workers 4: this is a daemonic process.* Take workers=0 here"):
            pool.apply(check, (TrainOptions(data_dir="photos", workers=4),))
    check(TrainOptions(data_dir="photos", workers=4))


@pytest.mark.parametrize(("environment", "index"), [({}, 0), ({"LOCAL_RANK": "3"}, 3)])
def test_a_gpu_is_taken_by_its_number(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], index: int) -> None:
    """With the driver's part replaced: set_device itself refuses a device without a number."""
    taken: list[int] = []
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch._C, "_cuda_setDevice", taken.append, raising=False)
    monkeypatch.setattr(torch, "empty", lambda *_, device: taken.append(device.index))
    for name in ("auto", "cuda"):
        assert processes.local_device(name) == torch.device("cuda", index)
    assert taken == [index] * 4


@pytest.mark.parametrize("name", ["gpu", "hpu", "cuda:99"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(BadInput, match=f"--device {name} cannot be used"):
        processes.local_device(name)
