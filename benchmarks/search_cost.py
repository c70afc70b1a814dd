"""``python -m benchmarks.search_cost``: time and peak memory of one search iteration, ours and its rivals'.

All are built from the same cells; contestants take turns. Memory is measured in a process of each one's own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.search_rivals import ETA, Batch, FirstOrder, MixedNet, SecondOrder, with_plain_depthwise
from benchmarks.timing import ratio_text, table, take_turns, write
from daas.search.algorithm.estimators import WARM_UP, PerImage, PolicyGradient, Sampling
from daas.search.algorithm.state import Moment, Preparation, State
from daas.search.algorithm.step import iteration
from daas.search.spaces.cells import ArchEstimator, ArchitectureDistribution
from daas.search.spaces.policies import AugmentationDistribution
from daas.search.spaces.supernet import SuperNet
from daas.seeds import generator

REFERENCE = "DARTS, first order"


class Ours:
    """An iteration of the search of this package.

    Args:
        channels: Of the first cells.
        layers: Cells.
        estimator: Of gamma's gradient; None to search the architecture alone.
        architectures: N.
        arch_estimator: Of alpha.
    """

    def __init__(
        self,
        channels: int,
        layers: int,
        estimator: Sampling | None,
        architectures: int = 5,
        arch_estimator: ArchEstimator = "gumbel",
    ) -> None:
        self.network = network = SuperNet(10, channels, layers).to(memory_format=torch.channels_last)
        architecture = ArchitectureDistribution(4, generator=generator(0, 1), estimator=arch_estimator)
        augmentation = None if estimator is None else AugmentationDistribution(generator=generator(0, 2))
        self.search = State(
            network=network,
            preparation=Preparation((0.4, 0.4, 0.4), (0.3, 0.3, 0.3), 4, 0.5),
            weights=torch.optim.SGD(network.parameters(), ETA, momentum=0.9, weight_decay=3e-4),
            architecture=architecture,
            architecture_optimizer=torch.optim.Adam(architecture.parameters(), 3e-4, weight_decay=1e-3),
            augmentation=augmentation,
            augmentation_optimizer=None
            if augmentation is None
            else torch.optim.Adam(augmentation.parameters(), 0.01, betas=(0.5, 0.999)),
            architectures=architectures,
            estimator=WARM_UP if estimator is None else estimator,
            clip_grad=5.0,
            seed=0,
        )
        self.step = 0

    def __call__(self, train: Batch, val: Batch) -> None:
        """One iteration."""
        iteration(self.search, train, val, Moment(self.step, ETA, 1.0, self.search.augmentation is not None))
        self.step += 1


CONTESTANTS: dict[str, Callable[[int, int], Callable[[Batch, Batch], None]]] = {
    REFERENCE: lambda c, n: FirstOrder(MixedNet(c, n)),
    "DARTS, first order, channels first": lambda c, n: FirstOrder(MixedNet(c, n), torch.contiguous_format),
    "DARTS, first order, PyTorch's depthwise": lambda c, n: FirstOrder(with_plain_depthwise(MixedNet(c, n))),
    "DARTS, second order": lambda c, n: SecondOrder(MixedNet(c, n)),
    "PC-DARTS, first order": lambda c, n: FirstOrder(MixedNet(c, n, partial=4)),
    "--mode arch --arch-estimator darts": lambda c, n: Ours(c, n, None, 1, "darts"),
    "--mode arch --arch-estimator gdas": lambda c, n: Ours(c, n, None, 1, "gdas"),
    "--mode arch, N=5": lambda c, n: Ours(c, n, None),
    "policy-gradient, N=5, M=2": lambda c, n: Ours(c, n, PolicyGradient(2, baseline=False)),
    "per-image, jvp, N=5, M=1": lambda c, n: Ours(c, n, PerImage(1)),
    "per-image, fd, N=5, M=1": lambda c, n: Ours(c, n, PerImage(1, reward="fd")),
    "per-image, fd, N=5, M=2": lambda c, n: Ours(c, n, PerImage(2, reward="fd")),
    "per-image, influence, N=5, M=1": lambda c, n: Ours(c, n, PerImage(1, reward="influence")),
}
"""By name: (channels, cells) -> an iteration. The first five search an architecture alone; ours a policy too."""
GROWTH: dict[str, dict[str, int]] = {
    "base": {}, "batch x 2": {"batch": 2}, "channels x 2": {"channels": 2}, "cells 4 -> 8": {"layers": 2},
    "N x 2": {"architectures": 2}, "M x 2": {"policies": 2},
}  # fmt: skip


def batches(size: int) -> tuple[Batch, Batch]:
    """Random uint8 images of 32 x 32 and labels, twice."""
    random = generator(7)

    def one() -> tuple[Tensor, Tensor]:
        images = torch.randint(256, (size, 3, 32, 32), generator=random, dtype=torch.uint8)
        return images, torch.randint(10, (size,), generator=random)

    return one(), one()


def memory(name: str, options: argparse.Namespace) -> float:
    """MB that an iteration adds to a process that has run one on two images, measured in its own process."""
    sizes = ["--batch-size", str(options.batch_size), "--channels", str(options.channels)]
    return float(alone("benchmarks.search_cost", f"--memory-of={name}", *sizes, "--layers", str(options.layers)))


def alone(module: str, *words: str) -> Any:
    """The JSON that a benchmark prints in a process of its own, from which freed memory leaves at once."""
    returned = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **returned})
    return json.loads(done.stdout)


def own_memory(name: str, options: argparse.Namespace) -> float:
    run = CONTESTANTS[name](options.channels, options.layers)
    data = batches(options.batch_size)
    run(*batches(2))  # libraries that load at first use
    before = peak()
    run(*data)
    return (peak() - before) / 1024


def peak() -> int:
    """Peak resident memory of this process in kB (Linux); ``getrusage`` would start at that of the parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def growth(rounds: int) -> tuple[list[list[str]], dict[str, Any]]:
    """How the iteration's time grows with each size, from 8 channels, 4 cells, batch 16, N = 2, M = 1."""
    contestants = {}
    for name, factors in GROWTH.items():
        policies = factors.get("policies", 1)
        for estimator in (PolicyGradient(policies, baseline=False), PerImage(policies, reward="fd")):
            kind = estimator.name
            run = Ours(
                8 * factors.get("channels", 1), 4 * factors.get("layers", 1), estimator,
                2 * factors.get("architectures", 1),
            )  # fmt: skip
            contestants[f"{name}, {kind}"] = partial(run, *batches(16 * factors.get("batch", 1)))
    times = take_turns(contestants, rounds, warmup=1)
    rows = [
        [
            name,
            *(
                ratio_text(times[f"{name}, {kind}"], times[f"base, {kind}"])
                for kind in ("policy-gradient", "per-image")
            ),
        ]
        for name in GROWTH
    ]
    return rows, times


def main() -> None:
    options = _options()
    torch.manual_seed(0)
    if options.memory_of:
        print(json.dumps(own_memory(options.memory_of, options)))
        return
    sections: list[str] = []
    figures: dict[str, Any] = {}
    if "time" in options.parts:
        data = batches(options.batch_size)
        runs = {name: partial(make(options.channels, options.layers), *data) for name, make in CONTESTANTS.items()}
        times = figures["seconds"] = take_turns(runs, options.rounds, warmup=1)
        rows = [
            [name, f"{statistics.median(seconds):.2f}", ratio_text(seconds, times[REFERENCE])]
            for name, seconds in times.items()
        ]
        sections.append(
            f"Seconds per iteration, and their ratio to DARTS with its quartiles ({options.rounds} rounds):\n\n"
            + table(["iteration", "s", "time / DARTS"], rows)
        )
    if "memory" in options.parts:
        used = figures["megabytes"] = {name: memory(name, options) for name in CONTESTANTS}
        rows = [[name, f"{size:.0f}", f"{size / used[REFERENCE]:.2f}"] for name, size in used.items()]
        sections.append(
            "Peak memory that an iteration adds to a process that has run one on two images, each in its own:\n\n"
            + table(["iteration", "MB", "memory / DARTS"], rows)
        )
    if "growth" in options.parts:
        rows, figures["growth_seconds"] = growth(options.rounds)
        sections.append(
            "Growth of the time, from 8 channels, 4 cells, batch 16, N = 2, M = 1:\n\n"
            + table(["", "policy-gradient", "per-image, fd"], rows)
        )
    size = f"{options.channels} channels, {options.layers} cells, batch {options.batch_size}, 32 x 32 pixels."
    given = " ".join(sys.argv[1:])
    write("search_cost", f"python -m benchmarks.search_cost {given}".strip(), "\n\n".join([size, *sections]), figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument(
        "--parts", nargs="+", choices=["time", "memory", "growth"], default=["time", "memory", "growth"]
    )
    parser.add_argument("--memory-of", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
