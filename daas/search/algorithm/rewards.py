"""What the training passes of one architecture say about their policies, by each of the estimators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from daas import processes
from daas.errors import BadInput
from daas.search.algorithm.gradients import (
    directional_derivative,
    eq9_policy_gradient,
    finite_difference,
    gate_sensitivity,
    inner_product,
    leave_one_out,
    leave_one_out_of_image,
    pixel_gradient,
    straight_through_gradient,
)
from daas.search.algorithm.influence import influence_rewards
from daas.search.algorithm.passes import Augmented, Pass, losses_of
from daas.search.algorithm.state import Search
from daas.search.spaces.cells import Path


@dataclass(frozen=True)
class Observed:
    """Rewards of the policies that were sampled for one architecture.

    Attributes:
        graph: Log-probabilities [n], or the gates [n, K, 3] of relaxed policies, with their graph in gamma.
        rewards: Rewards [n], or sensitivities [n, K, 3], on the network's device.
    """

    graph: Tensor
    rewards: Tensor


def observe(
    search: Search,
    passes: list[Pass],
    extra: list[Augmented],
    labels: Tensor,
    z: Path | None,
    theta: dict[str, nn.Parameter],
    v: tuple[Tensor, ...],
) -> Observed:
    """The rewards of one architecture's policies.

    Args:
        search: The estimator.
        passes: The M training passes.
        extra: Batches that only serve for rewards (``--reward-batches``).
        labels: [B].
        z: The architecture.
        theta: Its weights.
        v: Gradient of the validation loss at theta', one tensor per weight.
    """
    if search.method.estimator == "policy-gradient":
        rewards = torch.stack([inner_product(v, p.gradient) for p in passes])
        return Observed(_cat([p.batch.log_prob for p in passes]), rewards)
    if search.method.estimator == "straight-through":
        rows = [_gate_sensitivity(search, p, labels, z, theta, v) for p in passes]
        return Observed(_cat([p.batch.gates for p in passes]), torch.stack(rows))

    def losses(batch: Augmented, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        return losses_of(search, batch, labels, z, weights=weights)[0]

    batches = [p.batch for p in passes] + extra
    if search.method.reward == "jvp":
        rows = [_exactly(partial(losses, batch), theta, v) for batch in batches]
    elif search.method.reward == "influence":
        of_batch = [p.influence for p in passes] + [None] * len(extra)
        rows = [
            influence_rewards(partial(losses, b), b.images, list(theta.values()), v, known)
            for b, known in zip(batches, of_batch, strict=True)
        ]
    else:
        at_theta = [p.losses for p in passes] + [None] * len(extra)
        rows = [_nearly(partial(losses, b), known, theta, v) for b, known in zip(batches, at_theta, strict=True)]
    return Observed(_cat([batch.log_prob for batch in batches]), torch.cat(rows))


def gamma_objectives(search: Search, observed: list[Observed], eta: float) -> list[Tensor]:
    """One scalar per architecture of this process; the mean of their gradients in gamma over all N is the estimate.

    Args:
        search: The estimator and its baseline.
        observed: Of each architecture that this process ran.
        eta: Learning rate of the weights.
    """
    method = search.method
    rewards = [part.rewards for part in observed]
    sizes = [len(part) for part in rewards]
    flat = torch.cat(rewards).cpu() if rewards else torch.empty(0)  # the one time that the host waits for the device
    if method.baseline and method.estimator == "policy-gradient":
        total = processes.total(torch.stack([flat.double().sum(), torch.tensor(float(len(flat)))]))
        flat = leave_one_out(flat, total)  # over all N * M
    parts = list(flat.split(sizes)) if rewards else []
    if method.baseline and method.estimator == "per-image":
        draws = search.policies + method.reward_batches
        parts = [leave_one_out_of_image(part.view(draws, -1)).flatten() for part in parts]
    rule = straight_through_gradient if method.estimator == "straight-through" else eq9_policy_gradient
    return [rule(part.graph, reward, eta) for part, reward in zip(observed, parts, strict=True)]


def _exactly(
    losses: Callable[[Mapping[str, Tensor]], Tensor], theta: dict[str, nn.Parameter], v: tuple[Tensor, ...]
) -> Tensor:
    """Rewards of single images by forward-mode differentiation."""
    try:
        return directional_derivative(losses, theta, v)
    except NotImplementedError as error:
        raise BadInput(
            f"This network has an operation without a forward-mode rule in PyTorch ({_first_line(error)}). Use "
            "--reward fd, or --aug-estimator policy-gradient."
        ) from error


@torch.no_grad()
def _nearly(
    losses: Callable[[], Tensor], at_theta: Tensor | None, theta: dict[str, nn.Parameter], v: tuple[Tensor, ...]
) -> Tensor:
    """Rewards of single images by a finite difference; losses at theta may be known already."""
    return finite_difference(losses, list(theta.values()), v, losses() if at_theta is None else at_theta)


def _gate_sensitivity(
    search: Search,
    training: Pass,
    labels: Tensor,
    z: Path | None,
    theta: dict[str, nn.Parameter],
    v: tuple[Tensor, ...],
) -> Tensor:
    def loss(images: Tensor) -> Tensor:
        return losses_of(search, training.batch, labels, z, images)[0].mean()

    pixels = training.batch.images
    try:
        gradient = pixel_gradient(loss, pixels, list(theta.values()), v)
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise BadInput(
            f"This network cannot be differentiated twice in PyTorch ({_first_line(error)}), as --aug-estimator "
            "straight-through has to. Use another --aug-estimator."
        ) from error
    return gate_sensitivity(gradient / search.preparation.scale(pixels), training.batch.slots)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:160]


def _cat(parts: list[Tensor | None]) -> Tensor:
    return torch.cat([part for part in parts if part is not None])
