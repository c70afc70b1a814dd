"""What one search iteration reads and changes: networks, distributions, optimisers, the images' way in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import functional_call

from daas.augment import DAASPolicy
from daas.augment.draw import Draw
from daas.augment.ops import apply, normalized
from daas.data import crop_flip
from daas.search.algorithm.history import History
from daas.search.budget.budget import Budget
from daas.search.spaces.cells import ArchitectureDistribution, Path
from daas.search.spaces.policies import AugmentationDistribution
from daas.search.spaces.supernet import FixedNetwork, SuperNet
from daas.seeds import generator

if TYPE_CHECKING:
    from daas.search.algorithm.estimators.base import Sampling
    from daas.search.graphs.passes import Passes

Batch = tuple[Tensor, Tensor]
Key = tuple[int, int, int]
"""Iteration, architecture and number of a training pass: with the seed they address its random streams."""
ARCHITECTURE, POLICY, SIGNS, CROPS, DROPOUT = range(5)  # what a random stream is for


@dataclass(frozen=True)
class Moment:
    """When an iteration takes place.

    Attributes:
        step: Its number; with the seed it addresses all random streams.
        eta: Learning rate of the weights, also eta of eq. 6.
        tau: Temperature of eq. 10 and 11.
        joint: Whether policies are sampled and learned; False in the warm-up.
    """

    step: int
    eta: float
    tau: float
    joint: bool = True


@dataclass(frozen=True)
class Differentiated:
    """A pass and a gradient of its mean loss.

    Attributes:
        losses: [B], without graph.
        logits: [B, classes], without graph.
        gradient: One tensor per weight, or that of the gates alone.
    """

    losses: Tensor
    logits: Tensor
    gradient: tuple[Tensor, ...]


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


@dataclass
class State:
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
        estimator: How policies are drawn, and how gamma learns from them.
        clip_grad: Largest norm of the weights' gradient; 0 for no limit.
        seed: Of all random streams.
        given_policy: Augments training images where no policy is sampled; None for crop and flip alone.
        amp: Whether the network runs in bfloat16 where autocast says so; forward-mode passes stay in float32.
        budget: What found networks may cost: a term of the objective of alpha and beta; None for anything.
        history: Of the rewards, where the derivation asks for it.
        passes: Those that are captured as CUDA graphs; None where all are launched operation by operation.
    """

    network: SuperNet | FixedNetwork
    preparation: Preparation
    weights: torch.optim.Optimizer
    architecture: ArchitectureDistribution | None
    architecture_optimizer: torch.optim.Optimizer | None
    augmentation: AugmentationDistribution | None
    augmentation_optimizer: torch.optim.Optimizer | None
    architectures: int
    estimator: Sampling
    clip_grad: float
    seed: int
    given_policy: DAASPolicy | None = None
    amp: bool = False
    budget: Budget | None = None
    history: History | None = None
    passes: Passes | None = None

    def sample_architecture(self, at: Moment, i: int) -> Path | None:
        """z, the i-th architecture of an iteration (eq. 10, 11); None for a fixed network."""
        if self.architecture is None:
            return None
        return self.architecture.sample(generator(self.seed, at.step, ARCHITECTURE, i), at.tau)

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
