"""The gradient estimators of the search, one function each, as small as the mathematics allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def one_step_ahead(theta: Sequence[Tensor], gradient: Sequence[Tensor], eta: float) -> Iterator[None]:
    """Within the block the weights are theta' = theta - eta * gradient (eq. 6); afterwards theta again, bit for bit.

    Args:
        theta: The active weights, changed in place and restored from copies.
        gradient: Mean training gradient, one tensor per weight.
        eta: Learning rate of the weights.
    """
    saved = [weight.detach().clone() for weight in theta]
    with torch.no_grad():
        torch._foreach_add_(list(theta), list(gradient), alpha=-eta)
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(theta), saved)


def inner_product(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """<a, b> over lists of tensors of the same shapes, a scalar: eq. 9's reward of one policy."""
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def directional_derivative(
    per_image_loss: Callable[[dict[str, Tensor]], Tensor], theta: Mapping[str, Tensor], v: Sequence[Tensor]
) -> Tensor:
    """The derivative of every image's loss along v, in one forward-mode pass.

    This is <v, gradient of image b's loss> for all b at once: eq. 9's reward with one policy per image. With batch
    norm an image's loss also depends on the other images of the batch. The derivative includes how the statistics
    move along v; what per-image credit leaves out is that the policy of one image also changes the loss of others.

    Args:
        per_image_loss: Maps named weights to losses [B].
        theta: The weights at which to differentiate.
        v: The direction, one tensor per weight.

    Returns:
        [B] rewards.
    """
    names = list(theta)

    def losses(*weights: Tensor) -> Tensor:
        return per_image_loss(dict(zip(names, weights, strict=True)))

    with torch.no_grad():
        primal = tuple(weight.detach() for weight in theta.values())
        outputs = torch.func.jvp(losses, primal, tuple(v))
    rewards: Tensor = outputs[1]
    return rewards


def leave_one_out(rewards: Tensor) -> Tensor:
    """Each reward minus the mean of all others: a baseline that leaves the estimator unbiased.

    Args:
        rewards: [n], of policies drawn independently; n >= 2 (a single reward is returned as it is).
    """
    count = rewards.numel()
    if count < 2:
        return rewards
    return (rewards - rewards.mean()) * (count / (count - 1))


def eq9_policy_gradient(log_prob: Tensor, rewards: Tensor, eta: float) -> Tensor:
    """A scalar whose gradient in gamma is eq. 9: -eta * mean of reward * gradient of log p(Gamma; gamma).

    Args:
        log_prob: [n], log-probabilities of the sampled policies, with their graph.
        rewards: [n], <v, training gradient under the policy>, v = gradient of the validation loss at theta' (eq. 6).
        eta: Learning rate of the weights.
    """
    return -eta * (rewards.detach().to(log_prob) * log_prob).mean()
