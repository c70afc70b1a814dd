"""Watching a search while it runs: is there signal in gamma's gradient, what is the derived pair worth by now."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from daas.search.algorithm.gradients import gradients, one_step_ahead
from daas.search.algorithm.state import State
from daas.search.runs.build import SearchData
from daas.search.spaces.cells import Path
from daas.search.spaces.policies import AugmentationDistribution
from daas.seeds import generator, seed_of

_POLICY, _SIGNS, _CROPS, _DROPOUT = range(201, 205)  # what a random stream is for
_CELLS = 207
_VAL_BATCHES = 8  # of D_val, on which the derived pair is measured in every epoch
_TRIES = 50  # draws per random network that is to keep the limits


@dataclass
class PolicySignal:
    """Signal-to-noise ratio of gamma's gradient over the iterations of an epoch.

    Attributes:
        count: n, iterations seen.
        sums: Per parameter, the sum of its gradients.
        squares: Per parameter, the sum of their squared norms.
    """

    count: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    squares: dict[str, Tensor] = field(default_factory=dict)

    def add(self, gradient: dict[str, Tensor]) -> None:
        """Counts one iteration's gradient of gamma, by name; an empty one is left out."""
        self.count += bool(gradient)
        for name, value in gradient.items():
            value = value.detach().double()
            square = value.square().sum()
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.squares[name] = self.squares[name] + square if name in self.squares else square

    def ratios(self) -> dict[str, float]:
        """By parameter, n |mean|^2 / trace of the covariance: 1 is what noise alone gives, larger values are signal.

        Empty with fewer than two iterations, or where the gradient is constant.
        """
        found: dict[str, float] = {}
        for name, total in self.sums.items():
            if self.count < 2:
                break
            mean = float(total.square().sum()) / self.count**2
            spread = (float(self.squares[name]) - self.count * mean) / (self.count - 1)
            if spread > 0:
                found[name.removesuffix("_logit")] = self.count * mean / spread
        return found

    def tensors(self) -> dict[str, Tensor]:
        """The state, for a checkpoint."""
        return (
            {"signal.count": torch.tensor(self.count)}
            | {f"signal.sums.{name}": value for name, value in self.sums.items()}
            | {f"signal.squares.{name}": value for name, value in self.squares.items()}
        )

    @staticmethod
    def of(tensors: dict[str, Tensor]) -> PolicySignal:
        """The inverse of ``tensors``."""
        parts: dict[str, dict[str, Tensor]] = {"sums": {}, "squares": {}}
        for key, value in tensors.items():
            _, kind, *name = key.split(".", 2)
            if kind in parts:
                parts[kind][name[0]] = value
        return PolicySignal(int(tensors["signal.count"]), **parts)


def affordable(steps: int, most: int) -> int:
    """Comparisons with what is uniform that so many iterations pay for: one per eight, and none below two."""
    found = min(most, steps // 8)
    return found if found >= 2 else 0


def derived_accuracy(search: State, data: SearchData, device: torch.device) -> float:
    """Accuracy (percent) of the derived network with the shared weights, on a fixed part of D_val."""
    z = None if search.architecture is None else search.architecture.derived_architecture()
    return path_accuracy(search, data, device, z)


@torch.no_grad()
def path_accuracy(search: State, data: SearchData, device: torch.device, z: Path | None) -> float:
    """Accuracy (percent) of the network on one path, on the same part of D_val."""
    shares = [(logits.argmax(-1) == labels).float().mean() for logits, labels in _answers(search, data, device, z)]
    return 100 * float(torch.stack(shares).double().mean())


def _answers(search: State, data: SearchData, device: torch.device, z: Path | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits and labels of the network on one path, batch by batch, on a fixed part of D_val."""
    for step in range(min(_VAL_BATCHES, data.val.steps_per_epoch)):
        images, labels = data.val_batch(step, device)
        yield search.logits(search.preparation.normalize(images), z), labels


def cells_rank(search: State, data: SearchData, device: torch.device, networks: int) -> dict[str, int] | None:
    """Where the found cells stand among random ones: of how many the validation loss is higher, with shared weights.

    All are measured on the same part of D_val. The cells were chosen on these images, so that this says whether the
    search has told cells apart, not what they reach when they are trained. By chance every rank is as likely as any
    other, so that cells which are better than all of n are a matter of 1 in n + 1.

    Args:
        search: With cells that are searched.
        data: The images.
        device: Of the network.
        networks: Number of random cells, drawn uniformly among those that keep the limits.

    Returns:
        The number of random cells, ``n``, and how many of them have the higher loss, ``better``. None where hardly any
        random cells keep the limits.
    """
    assert search.architecture is not None
    uniform = search.architecture.uniform()
    tried = (uniform.draw(generator(search.seed, _CELLS, k)) for k in range(_TRIES * networks))
    drawn = list(itertools.islice(filter(uniform.within, tried), networks))
    if len(drawn) < networks:
        return None
    found = _path_loss(search, data, device, search.architecture.derived_architecture())
    each = tqdm(drawn, desc="cells beside random ones", disable=None, leave=False)
    others = [_path_loss(search, data, device, z) for z in each]
    values = torch.tensor(others, dtype=torch.float64) - found
    return {"n": networks, "better": int((values > 0).sum())}


@torch.no_grad()
def _path_loss(search: State, data: SearchData, device: torch.device, z: Path) -> float:
    losses = [cross_entropy(logits, labels) for logits, labels in _answers(search, data, device, z)]
    return float(torch.stack(losses).double().mean())


def policy_gain(
    search: State,
    data: SearchData,
    device: torch.device,
    step: int,
    eta: float,
    pairs: int,
    policies: AugmentationDistribution | None = None,
) -> dict[str, float]:
    """What the policy is worth beside a uniform one: how much lower the validation loss is after one training step.

    From the weights as they are, one step (eq. 6) on a batch under the policy and one on the same batch, cropped and
    flipped alike, under a uniform policy; the weights are restored bit for bit.

    Args:
        search: With a policy that is searched.
        data: The images.
        device: Of the network.
        step: Addresses the random streams.
        eta: Learning rate of the two steps.
        pairs: Number of comparisons, each on its own batches.
        policies: What is compared; gamma by default.

    Returns:
        ``mean`` of the differences in validation loss (positive: the policy is better than a uniform one), their
        standard error ``se``, their number ``n``, and ``eta``.
    """
    assert search.augmentation is not None
    uniform = search.augmentation.uniform()
    policies = search.augmentation if policies is None else policies
    with torch.random.fork_rng([device] if device.type == "cuda" else []):  # the search's own draws stay what they are
        differences = [
            _loss_after(search, data, device, uniform, (step, k), eta)
            - _loss_after(search, data, device, policies, (step, k), eta)
            for k in tqdm(range(pairs), desc="policy beside a uniform one", disable=None, leave=False)
        ]
    values = torch.stack(differences).double()
    return {"mean": float(values.mean()), "se": float(values.std()) / math.sqrt(pairs), "n": pairs, "eta": eta}


def _loss_after(
    search: State,
    data: SearchData,
    device: torch.device,
    gamma: AugmentationDistribution,
    key: tuple[int, int],
    eta: float,
) -> Tensor:
    """The validation loss of the derived network one training step ahead, with one policy of gamma per image."""
    step, k = key
    z = None if search.architecture is None else search.architecture.derived_architecture()
    theta = list(search.network.active(z).values())
    images, labels = data.train_batch(step + k, device)
    sample = gamma.sample(len(images), generator(search.seed, step, _POLICY, k))
    draw = gamma.to_draw(sample, len(images), generator(search.seed, step, _SIGNS, k))
    images = search.preparation.augment(images, draw, generator(search.seed, step, _CROPS, k))
    torch.manual_seed(seed_of(search.seed, step, _DROPOUT, k))
    gradient = gradients(cross_entropy(search.logits(images, z, training=True), labels), theta)
    val_images, val_labels = data.val_batch(step + k, device)
    with one_step_ahead(theta, gradient, eta), torch.no_grad():
        return cross_entropy(search.logits(search.preparation.normalize(val_images), z), val_labels)
