"""What one search iteration reads and changes: networks, distributions, optimisers, the images' way in."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.ops import apply
from daas.data import crop_flip
from daas.search import distributed
from daas.search.architecture import ArchitectureDistribution
from daas.search.augmentation import AugmentationDistribution
from daas.search.supernet import FixedNetwork, SuperNet


@dataclass(frozen=True)
class Preparation:
    """From a uint8 batch to the network's input: random crop and flip (training only), policy, normalisation.

    Attributes:
        mean: Per channel, as a share of the full range.
        std: The same.
        crop_padding: Pixels of zero padding before the random crop; 0 for none.
        hflip: Probability of a horizontal flip.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_padding: int
    hflip: float

    def augment(self, images: Tensor, draw: Draw | None, crops: torch.Generator) -> Tensor:
        """[B, 3, H, W] uint8 -> cropped, flipped, augmented, normalised float: the same order as in training."""
        images = crop_flip(images, crops, self.crop_padding, self.hflip)
        return self.normalize(images if draw is None else apply(images, draw))

    def normalize(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> float in channels-last order, zero mean and unit variance over the training images."""
        scale = torch.tensor(self.std, device=images.device).mul(255.0).view(3, 1, 1)
        shift = torch.tensor(self.mean, device=images.device).mul(255.0).view(3, 1, 1)
        return ((images.float() - shift) / scale).contiguous(memory_format=torch.channels_last)


@dataclass
class Search:
    """Everything that one iteration reads and changes.

    Attributes:
        network: theta.
        preparation: The images' way into the network.
        weights: Optimiser of theta.
        architecture: alpha and beta; None when only a policy is searched.
        architecture_optimizer: Theirs.
        augmentation: gamma; None when only an architecture is searched.
        augmentation_optimizer: Its own.
        architectures: N, sampled architectures per iteration.
        policies: M, sampled policies (or batches of one policy per image) per architecture.
        per_image: One policy per image, rewarded by a directional derivative, instead of one per batch.
        clip_grad: Largest norm of the weights' gradient; 0 for no limit.
        seed: Of all random streams.
    """

    network: SuperNet | FixedNetwork
    preparation: Preparation
    weights: torch.optim.Optimizer
    architecture: ArchitectureDistribution | None
    architecture_optimizer: torch.optim.Optimizer | None
    augmentation: AugmentationDistribution | None
    augmentation_optimizer: torch.optim.Optimizer | None
    architectures: int
    policies: int
    per_image: bool
    clip_grad: float
    seed: int


@dataclass
class StepResult:
    """What one iteration saw; the tensors stay on the network's device, so that nothing waits for them.

    Attributes:
        train: Rows of (mean loss, share of correct images), one per training pass.
        val: The same for the validation passes.
        rewards: Rewards of the sampled policies.
        policy_gradient: The gradient of gamma that was descended, by name; empty where gamma did not learn.
    """

    train: list[Tensor] = field(default_factory=list)
    val: list[Tensor] = field(default_factory=list)
    rewards: list[Tensor] = field(default_factory=list)
    policy_gradient: dict[str, Tensor] = field(default_factory=dict)

    def means(self, device: torch.device) -> Tensor:
        """(train loss, train correct, validation loss, validation correct), [4], over the passes of all processes."""
        sums = torch.zeros(2, 3, device=device)
        for row, passes in enumerate((self.train, self.val)):
            if passes:  # a process without samples has none
                sums[row, :2] = torch.stack(passes).sum(0)
                sums[row, 2] = len(passes)
        sums = distributed.total(sums)
        return (sums[:, :2] / sums[:, 2:]).flatten()


class Gradients:
    """The three gradients of an iteration, gathered over its N architectures, then descended together.

    Weights that no sampled architecture used have no gradient: neither they nor their momentum move.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self.theta: dict[Tensor, Tensor] = {}
        self.architecture: dict[Tensor, Tensor] = {}
        self.gamma: dict[Tensor, Tensor] = {}

    def add(self, into: dict[Tensor, Tensor], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Adds 1/N of one architecture's gradients."""
        for parameter, gradient in zip(parameters, gradients, strict=True):
            part = gradient / self.search.architectures
            into[parameter] = into[parameter] + part if parameter in into else part

    def descend(self) -> None:
        """Step 2 and 3 of Algorithm 1: one step of each optimiser along its gradient, summed over all processes.

        Raises:
            FloatingPointError: A gradient of alpha, beta or gamma is infinite or not a number; nothing has moved.
        """
        for gradients, module in (
            (self.theta, self.search.network),
            (self.architecture, self.search.architecture),
            (self.gamma, self.search.augmentation),
        ):
            if module is not None:
                distributed.sum_gradients(gradients, module.parameters())
        if not all(bool(gradient.isfinite().all()) for gradient in (*self.architecture.values(), *self.gamma.values())):
            raise FloatingPointError("a gradient of the search parameters is infinite or not a number")
        if self.search.clip_grad and self.theta:
            norm = torch.stack(torch._foreach_norm(list(self.theta.values()))).norm()
            scale = (self.search.clip_grad / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_(list(self.theta.values()), scale)
        for optimizer, gradients in (
            (self.search.architecture_optimizer, self.architecture),
            (self.search.augmentation_optimizer, self.gamma),
            (self.search.weights, self.theta),
        ):
            if optimizer is not None and gradients:
                optimizer.zero_grad(set_to_none=True)
                for parameter, gradient in gradients.items():
                    parameter.grad = gradient
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

    def of_policy(self) -> dict[str, Tensor]:
        """The gradient of gamma, by name."""
        if self.search.augmentation is None:
            return {}
        named = self.search.augmentation.named_parameters()
        return {name: self.gamma[parameter] for name, parameter in named if parameter in self.gamma}
