"""One training pass: a policy is sampled, the batch augmented, the weights' gradient taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from daas.augment.draw import Draw
from daas.augment.ops import apply
from daas.search.algorithm.influence import influences
from daas.search.algorithm.state import Search
from daas.search.spaces.cells import Path
from daas.search.spaces.policies import AugmentationDistribution
from daas.seeds import generator, seed_of

ARCHITECTURE, POLICY, SIGNS, CROPS, DROPOUT = range(5)  # what a random stream is for
RELAXATION_TEMPERATURE = 0.5  # of the straight-through estimator's relaxed policies; ours, the paper gives none
Key = tuple[int, int, int]


@dataclass(frozen=True)
class Augmented:
    """A training batch under freshly sampled policies.

    Attributes:
        images: [B, 3, H, W], what the network sees.
        seed: Of whatever the network itself draws in a pass over them (dropout, drop-path, ...).
        log_prob: [1] or [B], log p(Gamma; gamma) with its graph; None where gamma does not learn from it.
        gates: [1, K, 3], of a relaxed policy, with their graph; only for the straight-through estimator.
        slots: Per slot, its input, the operation applied to it, both in [0, 1], and whether it was applied; the same.
    """

    images: Tensor
    seed: int
    log_prob: Tensor | None = None
    gates: Tensor | None = None
    slots: tuple[tuple[Tensor, Tensor, Tensor], ...] = ()


@dataclass(frozen=True)
class Pass:
    """A training pass.

    Attributes:
        batch: What it ran on.
        losses: [B], of the images, without graph.
        gradient: Mean training gradient, one tensor per active weight.
        influence: [B], of the images on the loss of the batch, without graph; only where rewards are made of it.
    """

    batch: Augmented
    losses: Tensor
    gradient: tuple[Tensor, ...]
    influence: Tensor | None = None


def augmented(search: Search, images: Tensor, key: Key, with_policy: bool) -> Augmented:
    """Gamma(D_train) under freshly sampled policies: one per batch, or one per image, as the estimator has it.

    Args:
        search: The distribution, the estimator, and how images are prepared.
        images: [B, 3, H, W] uint8.
        key: Iteration, architecture and number of the pass: with the seed they address the random streams. Passes from
            M on are run for their rewards alone; they crop and flip as pass 0 does, so that an image's rewards differ
            by its policies and little else.
        with_policy: Whether policies are sampled; otherwise crop and flip alone, or the given policy.
    """
    step, i, j = key
    seed = seed_of(search.seed, step, DROPOUT, i, j)
    policy, signs = (generator(search.seed, step, use, i, j) for use in (POLICY, SIGNS))
    crops = generator(search.seed, step, CROPS, i, j if j < search.policies else 0)
    preparation, distribution, count = search.preparation, search.augmentation, len(images)
    if not with_policy or distribution is None:
        draw = None if search.given_policy is None else search.given_policy.sample(count, policy)
        return Augmented(preparation.augment(images, draw, crops), seed)
    if search.method.estimator == "straight-through":
        return _relaxed(search, distribution, images, seed, (policy, signs, crops))
    sample = distribution.sample(1 if search.method.estimator == "policy-gradient" else count, policy)
    images = preparation.augment(images, distribution.to_draw(sample, count, signs), crops)
    return Augmented(images, seed, None if search.method.estimator == "uniform" else distribution.log_prob(sample))


def _relaxed(
    search: Search,
    distribution: AugmentationDistribution,
    images: Tensor,
    seed: int,
    streams: tuple[torch.Generator, torch.Generator, torch.Generator],
) -> Augmented:
    policy, signs, crops = streams
    sample, gates = distribution.sample_relaxed(policy, RELAXATION_TEMPERATURE)
    every = distribution.to_draw(sample.all_applied(), len(images), signs)
    images, slots = search.preparation.crop_flip(images, crops), []
    for slot, applied in enumerate(sample.applied[0]):
        operated = apply(images, Draw(every.op[:, [slot]], every.value[:, [slot]], every.center[:, [slot]]))
        slots.append((images.float() / 255.0, operated.float() / 255.0, applied.to(images.device)))
        images = operated if applied else images
    return Augmented(search.preparation.normalize(images), seed, None, gates.unsqueeze(0), tuple(slots))


def losses_of(
    search: Search,
    batch: Augmented,
    labels: Tensor,
    z: Path | None,
    images: Tensor | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """A forward pass in training mode; every one over the same batch has the same dropout masks.

    So differences and derivatives of these losses are those of one function.

    Args:
        search: The network.
        batch: What it runs on.
        labels: [B].
        z: The path.
        images: Stand in for the batch's own.
        weights: Stand in for the network's own, by name.

    Returns:
        Losses [B] and logits [B, classes].
    """
    torch.manual_seed(batch.seed)
    logits = search.logits(batch.images if images is None else images, z, weights=weights, training=True)
    return cross_entropy(logits, labels, reduction="none"), logits


def training_pass(
    search: Search, batch: Augmented, labels: Tensor, z: Path | None, theta: dict[str, nn.Parameter]
) -> tuple[Pass, Tensor]:
    """Gradient of L_t(theta, z; Gamma(D_train)) in theta.

    Returns:
        The pass, and its logits [B, classes] without graph.
    """
    weights, seen = list(theta.values()), []

    def per_image_loss() -> Tensor:
        losses, logits = losses_of(search, batch, labels, z)
        seen.append(logits.detach())
        return losses

    if search.method.counts_influence and batch.log_prob is not None:
        losses, influence, gradient = influences(per_image_loss, batch.images, weights)
        return Pass(batch, losses, gradient, influence), seen[0]
    losses = per_image_loss()
    return Pass(batch, losses.detach(), torch.autograd.grad(losses.mean(), weights)), seen[0]
