"""What one search iteration reads and changes: networks, distributions, optimisers, the images' way in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.func import functional_call

from daas import processes
from daas.augment import DAASPolicy
from daas.augment.draw import Draw
from daas.augment.ops import apply, normalized
from daas.data import crop_flip
from daas.search.spaces.cells import ArchitectureDistribution, Path
from daas.search.spaces.policies import AugmentationDistribution
from daas.search.spaces.supernet import FixedNetwork, SuperNet

Batch = tuple[Tensor, Tensor]
AugEstimator = Literal["per-image", "policy-gradient", "straight-through", "uniform"]
RewardRule = Literal["jvp", "fd", "influence"]


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
        images = self.crop_flip(images, crops)
        if draw is None:
            return self.normalize(images)
        return apply(images, draw, normalize=(self.mean, self.std)).contiguous(memory_format=torch.channels_last)

    def crop_flip(self, images: Tensor, crops: torch.Generator) -> Tensor:
        """[B, 3, H, W] uint8, randomly cropped and flipped."""
        return crop_flip(images, crops, self.crop_padding, self.hflip)

    def normalize(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> float in channels-last order, zero mean and unit variance over the training images."""
        return normalized(images, (self.mean, self.std)).contiguous(memory_format=torch.channels_last)

    def scale(self, images: Tensor) -> Tensor:
        """[3, 1, 1]: what images in [0, 1] are divided by, on the device and in the type of ``images``."""
        return torch.tensor(self.std, device=images.device, dtype=images.dtype).view(3, 1, 1)


@dataclass(frozen=True)
class AugmentationMethod:
    """How gamma learns.

    Attributes:
        estimator: Of its gradient; ``uniform`` learns nothing.
        baseline: Whether the mean of the other rewards is subtracted from each (``leave_one_out``): over all N * M
            policies (policy-gradient), or over the batch and the image's other draws (per-image).
        reward: Of single images: the derivative along v of the image's own loss, exactly by forward-mode derivatives
            (jvp) or by a finite difference (fd), or of its influence on the loss of the batch, by a finite difference.
        reward_batches: R, batches of policies per architecture that only serve for rewards, besides the M for training.
    """

    estimator: AugEstimator = "policy-gradient"
    baseline: bool = False
    reward: RewardRule = "jvp"
    reward_batches: int = 0

    @property
    def learns(self) -> bool:
        """Whether gamma has a gradient at all."""
        return self.estimator != "uniform"

    @property
    def counts_influence(self) -> bool:
        """Whether an image's reward is that of its influence on the whole batch."""
        return self.estimator == "per-image" and self.reward == "influence"


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
        method: How gamma learns.
        clip_grad: Largest norm of the weights' gradient; 0 for no limit.
        seed: Of all random streams.
        given_policy: Augments training images where no policy is sampled; None for crop and flip alone.
        amp: Whether the network runs in bfloat16 where autocast says so; forward-mode passes stay in float32.
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
    method: AugmentationMethod
    clip_grad: float
    seed: int
    given_policy: DAASPolicy | None = None
    amp: bool = False

    def logits(
        self,
        images: Tensor,
        z: Path | None,
        gated: bool = False,
        weights: Mapping[str, Tensor] | None = None,
        training: bool = False,
    ) -> Tensor:
        """Runs the network: [B, 3, H, W] -> [B, classes].

        Args:
            images: Normalised.
            z: The path; None for a fixed network.
            gated: Whether the path's gates are multiplied in.
            weights: Stand in for the network's own, by name.
            training: Whether dropout and the like of a fixed network are active (a supernet has none).
        """
        if isinstance(self.network, FixedNetwork):
            self.network.set_mode(training)
        half = self.amp and weights is None  # forward-mode rules of batch norm do not mix types
        with torch.autocast(images.device.type, torch.bfloat16) if half else nullcontext():  # not all devices have it
            if weights is None:
                logits: Tensor = self.network(images, z, gated)
            else:
                logits = functional_call(self.network, dict(weights), (images, z, gated))
        return logits.float() if self.amp else logits


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
        sums = torch.zeros(2, 3, dtype=torch.float64, device=device)
        for row, passes in enumerate((self.train, self.val)):
            if passes:  # a process without samples has none
                sums[row, :2] = torch.stack(passes).double().sum(0)
                sums[row, 2] = len(passes)
        sums = processes.total(sums)
        return (sums[:, :2] / sums[:, 2:]).flatten()


class Gradients:
    """The three gradients of an iteration, gathered over its N architectures, then descended together.

    Sums are taken in float64, so that they do not depend on the order of the samples, nor on how many processes share
    them, but for the rarest rounding.

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
            part = gradient.double() / self.search.architectures
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
                processes.sum_gradients(gradients, module.parameters())
        search_gradients = [*self.architecture.values(), *self.gamma.values()]
        if search_gradients and not bool(torch.stack(torch._foreach_norm(search_gradients)).isfinite().all()):
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
                    parameter.grad = gradient.to(parameter.dtype)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

    def of_policy(self) -> dict[str, Tensor]:
        """The gradient of gamma, by name."""
        if self.search.augmentation is None:
            return {}
        named = self.search.augmentation.named_parameters()
        return {name: self.gamma[parameter] for name, parameter in named if parameter in self.gamma}
