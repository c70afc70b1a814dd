"""``python -m benchmarks.reward_truth --data-dir ARCHIVE``: do rewards rank policies as whole trainings under them do?

The plan is ``benchmarks/results/reward-truth-plan.md``. Every finished training, and the rewards of every probe, are a
line of ``benchmarks/results/reward-truth.jsonl``; a later call does what is missing. ``--table`` makes
``reward-truth.md`` of the lines.
"""

from __future__ import annotations

import argparse
import copy
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.regret_lines import Lines
from benchmarks.tables.records import revision
from benchmarks.tasks import Task, task
from daas.augment import DAASPolicy, Policy, PolicyOp, SubPolicy
from daas.augment.find import find_policy
from daas.augment.ops import normalized
from daas.augment.space import OPERATIONS, magnitude_table
from daas.calibration import confidence, fit_temperature
from daas.data import ImageData, MemoryImages, channel_stats, crop_flip, load_images
from daas.race.candidates import network
from daas.race.sets import FAMILIES
from daas.race.statistics import score
from daas.screen.tries import everything
from daas.search.algorithm.gradients import gradients, inner_product
from daas.seeds import generator, seed_of
from daas.train.fit import Recipe, fit

RESULTS = Path(__file__).parent / "results" / "reward-truth.jsonl"
NETWORK = network("wide_resnet40_2_cifar", {"depth": 10, "widen": 1})
SIDE, VAL, TEST, LOOKED_AT, BATCH = 16, 500, 3000, 1500, 50
MOMENTS = {"early": 1 / 6, "middle": 1 / 2, "late": 1.0}
"""Shares of the probe's epochs after which rewards are taken."""
_WHOLE, _PROBE, _LOOK, _DRAW = range(601, 605)  # what a random stream is for


@dataclass(frozen=True)
class Regime:
    """What is trained on.

    Attributes:
        task: Of ``benchmarks.tasks``.
        images: To train on.
        epochs: Of every training.
    """

    task: str
    images: int
    epochs: int

    @property
    def recipe(self) -> Recipe:
        """Of every training."""
        return Recipe(epochs=self.epochs, batch_size=BATCH, amp=True, channels_last=True)


REGIMES = {
    "overfits": Regime("natural", 500, 60),
    "underfits": Regime("natural", 4000, 8),
    "labels changed": Regime("filter", 500, 60),
}


def policies() -> dict[str, Policy | None]:
    """What is compared, by name."""
    table = magnitude_table()
    found: dict[str, Policy | None] = {"none": None}
    for index, row in enumerate(OPERATIONS):
        values = table[index].tolist() if row.has_magnitude else [None]
        subs = tuple(SubPolicy(1.0, (PolicyOp(row.name, 0.5, value),)) for value in values)
        found[row.name] = Policy(row.name, "on every second image", subs)
    everywhere = Policy.of_operations()
    found |= {"all": everywhere, "all, two": Policy.of_operations(slots=2), "all, weak": everywhere.scaled(1 / 3)}
    for name, families in FAMILIES.items():
        found[name] = Policy.of_operations([row.name for row in OPERATIONS if row.family in families])
    return found | {name: find_policy(name) for name in ("trivialaugment", "randaugment", "autoaugment_cifar10")}


class Bench:
    """One regime with one seed."""

    def __init__(self, name: str, seed: int, photographs: ImageData, lines: Lines) -> None:
        self.name, self.seed, self.lines, self.regime = name, seed, lines, REGIMES[name]
        self.task: Task = task(self.regime.task, photographs, self.regime.images, VAL, TEST, seed)

    def whole(self, name: str, policy: Policy | None) -> None:
        """One training under a policy, judged on the test images."""
        key = self._key("whole") | {"policy": name}
        if self.lines.find(key) is not None:
            return
        fitted = fit(
            NETWORK.maker(len(self.task.train.class_names)), self.task.train, self.task.test, self.regime.recipe,
            augment=policy, seed=seed_of(self.seed, _WHOLE) % 2**31,
        )  # fmt: skip
        found = score(fitted.logits, fitted.labels)
        self._append(key | {"accuracy": found.accuracy, "score": found.score, "seconds": round(fitted.seconds, 1)})

    def rewards(self) -> None:
        """One training under everything at a low rate, and every policy's figures at each of its moments."""
        if self.lines.find(self._key("rewards")) is not None:
            return
        start, kept = time.monotonic(), {}
        held: list[nn.Module] = []
        wanted = {round(share * self.regime.epochs): moment for moment, share in MOMENTS.items()}

        def made() -> nn.Module:
            held.append(NETWORK.create(len(self.task.train.class_names)))
            return held[0]

        def keep(epoch: int, _: int, __: float) -> None:
            if epoch in wanted:
                kept[wanted[epoch]] = copy.deepcopy(held[0])

        fit(
            made, self.task.train, self.task.val, self.regime.recipe, augment=everything(OPERATIONS),
            seed=seed_of(self.seed, _PROBE) % 2**31, progress=keep,
        )  # fmt: skip
        figures = {moment: look(kept[moment], self.task, self.seed) for moment in MOMENTS}
        self._append(self._key("rewards") | {"figures": figures, "seconds": round(time.monotonic() - start, 1)})

    def _key(self, kind: str) -> dict[str, Any]:
        return {"regime": self.name, "seed": self.seed, "kind": kind}

    def _append(self, line: dict[str, Any]) -> None:
        words = ["python", "-m", "benchmarks.reward_truth", "--regime", self.name, "--seed", str(self.seed)]
        self.lines.append(line | {"command": shlex.join(words), "revision": revision(Path(__file__).parents[1])})


def look(model: nn.Module, made: Task, seed: int) -> dict[str, dict[str, float]]:
    """Every policy's figures at the weights of a network.

    Args:
        model: At some moment of its training. Confidences use the statistics of batch norm that it has by then,
            gradients those of each batch.
        made: The images.
        seed: Of crops, flips and draws.

    Returns:
        Policy -> figure -> value, as the plan names them.
    """
    statistics = channel_stats(made.train)
    model = model.float().to(memory_format=torch.channels_last)
    learner = copy.deepcopy(model)  # in training mode a pass moves the statistics
    clean = _asked(model, made.val, None, statistics, seed)
    temperature = fit_temperature(clean, made.val.labels)
    v = _gradient(learner, [(made.val.images, made.val.labels)], None, statistics, seed)
    v_norm = _norm(v)
    seen = _looked_at(made.train)
    batches = [(seen.images[rows], seen.labels[rows]) for rows in _batches(len(seen), seed)]
    trained = _asked(model, seen, None, statistics, seed)
    found = {}
    for name, policy in policies().items():
        transform = None if policy is None else DAASPolicy(policy)
        g = _gradient(learner, batches, transform, statistics, seed, crops=True)
        on_val, on_train = (_asked(model, images, transform, statistics, seed) for images in (made.val, seen))
        reward, cosine = float(inner_product(v, g)), float(inner_product(v, g)) / (v_norm * _norm(g))
        excess = _excess(on_train, seen.labels, temperature) - _excess(trained, seen.labels, temperature)
        val_excess = _excess(on_val, made.val.labels, temperature) - _excess(clean, made.val.labels, temperature)
        found[name] = {
            "reward": reward,
            "cosine": cosine,
            "reward, penalty": reward / v_norm**2 - excess,
            "cosine, penalty": cosine - excess,
            "- excess, training": -excess,
            "- excess, validation": -val_excess,
            "accuracy, validation": 100 * float((on_val.argmax(1) == made.val.labels).double().mean()),
        }
    return found


def _looked_at(train: MemoryImages) -> MemoryImages:
    """The training images on which gradients are taken: all where they are few."""
    return train.subset(torch.arange(min(LOOKED_AT, len(train))))


def _batches(count: int, seed: int) -> list[Tensor]:
    """Rows of the batches, over as many epochs as make 1,500 images."""
    epochs = max(1, LOOKED_AT // count)
    orders = [torch.randperm(count, generator=generator(seed, _LOOK, epoch)) for epoch in range(epochs)]
    return [rows for order in orders for rows in order.split(BATCH)]


def _gradient(
    model: nn.Module,
    batches: list[tuple[Tensor, Tensor]],
    transform: DAASPolicy | None,
    statistics: Any,
    seed: int,
    crops: bool = False,
) -> list[Tensor]:
    """Mean gradient of the loss, each batch normalised by its own statistics."""
    model.train()
    weights = list(model.parameters())
    total = [torch.zeros_like(weight) for weight in weights]
    for number, (images, labels) in enumerate(batches):
        if crops:
            images = crop_flip(images, generator(seed, _LOOK, number), SIDE // 8, 0.5)
        if transform is not None:
            images = transform.apply(images, transform.sample(len(images), generator(seed, _DRAW, number)))
        loss = cross_entropy(model(normalized(images, statistics)), labels)
        torch._foreach_add_(total, list(gradients(loss, weights)), alpha=1 / len(batches))
    return total


@torch.no_grad()
def _asked(model: nn.Module, images: MemoryImages, transform: DAASPolicy | None, statistics: Any, seed: int) -> Tensor:
    """[n, classes]: the logits of images as they are or under a policy, by the statistics of the training."""
    model.eval()
    shown = images.images
    if transform is not None:
        shown = transform.apply(shown, transform.sample(len(shown), generator(seed, _DRAW)))
    return torch.cat([model(normalized(part, statistics)) for part in shown.split(250)])


def _excess(logits: Tensor, labels: Tensor, temperature: float) -> float:
    """Mean confidence minus accuracy, shares."""
    sure, said = confidence(logits, temperature)
    return float(sure.mean() - (said == labels).double().mean())


def _norm(parts: list[Tensor]) -> float:
    return float(torch.stack(torch._foreach_norm(parts)).norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="photographs: an archive or a folder of class folders")
    parser.add_argument("--regime", nargs="+", choices=list(REGIMES), default=list(REGIMES))
    parser.add_argument("--seed", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--lines", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="make the table of the lines that there are")
    options = parser.parse_args()
    lines = Lines(options.lines)
    if options.table:
        from benchmarks.reward_truth_table import write_table

        write_table(lines, list(REGIMES), list(MOMENTS))
        return
    torch.set_num_threads(1)
    photographs = load_images("", options.data_dir, image_size=SIDE)
    for seed in options.seed:
        for name in options.regime:
            bench = Bench(name, seed, photographs, lines)
            bench.rewards()
            for policy in policies().items():
                bench.whole(*policy)


if __name__ == "__main__":
    main()
