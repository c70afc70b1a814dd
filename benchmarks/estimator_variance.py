"""``python -m benchmarks.estimator_variance --data-dir DIR``: how noisy each estimator of gamma's gradient is.

On a trained small network, at fixed weights: the trace of the covariance of the gamma gradient over iterations with
fresh batches and policies, times the seconds that one iteration takes, is the variance at equal wall time. Early: gamma
as a search starts, uniform. Late: gamma after a search. Contestants take turns, iteration by iteration.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.planted import ETA, build, halves
from benchmarks.timing import table, write
from daas.data import BatchStream, load_images
from daas.search.algorithm.estimators import PerImage, PolicyGradient, Sampling, Uniform
from daas.search.algorithm.state import Moment, State
from daas.search.algorithm.step import iteration
from daas.seeds import generator

CONTESTANTS: dict[str, Sampling] = {
    "eq. 9 as printed": PolicyGradient(2, baseline=False),
    "eq. 9, leave-one-out": PolicyGradient(2),
    "per-image, jvp": PerImage(1),
    "per-image, fd": PerImage(1, reward="fd"),
    "per-image, fd, R = 1": PerImage(1, reward="fd", reward_batches=1),
    "per-image, fd, R = 3": PerImage(1, reward="fd", reward_batches=3),
    "per-image, fd, R = 7": PerImage(1, reward="fd", reward_batches=7),
    "per-image, influence": PerImage(1, reward="influence"),
    "per-image, influence, R = 1": PerImage(1, reward="influence", reward_batches=1),
    "per-image, influence, R = 3": PerImage(1, reward="influence", reward_batches=3),
}
REFERENCE = "eq. 9 as printed"


class Frozen:
    """A search whose iterations compute everything and move nothing."""

    def __init__(self, search: State) -> None:
        self.search = search
        search.weights = torch.optim.SGD(search.network.parameters(), 0.0)
        assert search.augmentation is not None
        search.augmentation_optimizer = torch.optim.SGD(search.augmentation.parameters(), 0.0)

    def gradient(self, train: BatchStream, val: BatchStream, step: int) -> Tensor:
        """The gamma gradient of an iteration, flattened."""
        result = iteration(self.search, train.batch(step), val.batch(step), Moment(step, ETA, 1.0, True))
        return torch.cat([part.flatten() for part in result.policy_gradient.values()])


def measure(
    search: State, train: BatchStream, val: BatchStream, rounds: int, offset: int
) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    """Gradients [rounds, parameters] and seconds of every contestant."""
    frozen = Frozen(search)
    gradients: dict[str, list[Tensor]] = {name: [] for name in CONTESTANTS}
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for k in tqdm(range(-1, rounds), desc="rounds", disable=None):
        for number, (name, estimator) in enumerate(CONTESTANTS.items()):
            search.estimator = estimator
            step = offset + (k + 1) * len(CONTESTANTS) + number  # fresh batches for everyone
            start = time.perf_counter()
            found = frozen.gradient(train, val, step)
            if k >= 0:
                gradients[name].append(found)
                seconds[name].append(time.perf_counter() - start)
    return {name: torch.stack(rows) for name, rows in gradients.items()}, seconds


def advantages(gradients: dict[str, Tensor], seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Per contestant: trace, seconds, and how many times less variance than the reference at equal time.

    The interval is the central 95% of a bootstrap over iterations.
    """
    random = generator(0)
    spread = {name: (rows - rows.mean(0)).square().sum(1) for name, rows in gradients.items()}
    cost = {name: sorted(values)[len(values) // 2] for name, values in seconds.items()}
    found = {}
    for name, mine in spread.items():
        n = len(mine)
        draws = torch.randint(n, (2000, n), generator=random)
        other = spread[REFERENCE]
        others = torch.randint(len(other), (2000, len(other)), generator=random)
        ratios = (other[others].mean(1) * cost[REFERENCE] / (mine[draws].mean(1) * cost[name])).sort().values
        found[name] = {
            "trace": float(mine.sum() / (n - 1)),
            "seconds": cost[name],
            "less": float(other.mean() * cost[REFERENCE] / (mine.mean() * cost[name])),
            "low": float(ratios[50]),
            "high": float(ratios[1949]),
            "n": n,
        }
    return found


def main() -> None:
    options = _options()
    images = load_images(data_dir=options.data_dir)
    data = halves(images, 4000, options.seed)
    train, val = (BatchStream(half, 64, options.seed + k) for k, half in enumerate(data))
    search = build(options.seed, len(images.class_names), data[0], CONTESTANTS[REFERENCE], shared=False)
    figures: dict[str, Any] = {}
    rows = []
    for stage, steps, estimator in (
        ("early", options.train, Uniform(1)),
        ("late", options.search, PerImage(1, reward="fd", reward_batches=1)),
    ):
        train_with(search, train, val, estimator, steps, 0 if stage == "early" else options.train)
        assert search.augmentation is not None
        entropy = search.augmentation.entropy()
        found = advantages(*measure(search, train, val, options.rounds, 10_000_000 * (1 + len(figures))))
        figures[stage] = {"entropy": entropy, "contestants": found}
        for name, line in found.items():
            rows.append(
                [
                    f"{stage} (entropy of pi {entropy['pi']:.2f}, p {entropy['p']:.2f})", name, f"{line['trace']:.3g}",
                    f"{1000 * line['seconds']:.0f}", f"{line['less']:.1f} ({line['low']:.1f} to {line['high']:.1f})",
                    str(line["n"]),
                ]
            )  # fmt: skip
    head = ["gamma", "estimator", "trace of covariance", "ms", "times less variance at equal time", "iterations"]
    text = (
        f"Small convnet after {options.train} iterations under uniform policies (early), and after {options.search} "
        "more of a search (late); 4,000 + 4,000 photographs, batch 64, N = 1. In brackets the central 95% of a "
        "bootstrap over iterations.\n\n" + table(head, rows)
    )
    command = (
        f"python -m benchmarks.estimator_variance --data-dir {options.data_dir.name} --seed {options.seed} "
        f"--train {options.train} --search {options.search} --rounds {options.rounds}"
    )
    write("estimator_variance", command, text, figures)


def train_with(
    search: State, train: BatchStream, val: BatchStream, estimator: Sampling, steps: int, start: int
) -> None:
    """Trains the network, and gamma by the estimator, for some iterations."""
    assert search.augmentation is not None
    search.estimator = estimator
    search.weights = torch.optim.SGD(search.network.parameters(), ETA, momentum=0.9, weight_decay=3e-4)
    search.augmentation_optimizer = torch.optim.Adam(search.augmentation.parameters(), 0.03, betas=(0.5, 0.999))
    for step in tqdm(range(start, start + steps), desc=estimator.name, disable=None):
        iteration(search, train.batch(step), val.batch(step), Moment(step, ETA, 1.0, True))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="a folder of class folders, or a .tar of one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=int, default=400, help="iterations before the early measurement")
    parser.add_argument("--search", type=int, default=400, help="iterations of search before the late one")
    parser.add_argument("--rounds", type=int, default=100, help="iterations of each contestant")
    return parser.parse_args()


if __name__ == "__main__":
    main()
