"""The gradient estimators of the search, one function each, as small as the mathematics allows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

FD_STEP = 1e-4
"""Length of the step of a finite difference of losses along v, in weight space."""


@cache
def _compile_rules() -> None:
    """Lets PyTorch compile its forward-mode rules, which it does at the first need with its own deprecated compiler."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        import torch._decomp.decompositions_for_jvp  # noqa: F401


class _DenseGroupNorms(TorchFunctionMode):
    """Within the block group norms are given their images with the channels first.

    PyTorch 2.6's and 2.11's forward-mode rule for them takes no other order, and convolutions may give another.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in (F.group_norm, torch.group_norm) and args:
            args = args[0].contiguous(), *args[1:]
        return func(*args, **(kwargs or {}))


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies of several tensors, without graphs: few launches, however many they are."""
    found = [torch.empty_like(tensor) for tensor in tensors]
    with torch.no_grad():
        torch._foreach_copy_(found, list(tensors))
    return found


@contextmanager
def one_step_ahead(theta: Sequence[Tensor], gradient: Sequence[Tensor], eta: float | Tensor) -> Iterator[None]:
    """Within the block the weights are theta' = theta - eta * gradient (eq. 6); afterwards theta again, bit for bit.

    Args:
        theta: The active weights, changed in place and restored from copies.
        gradient: Mean training gradient, one tensor per weight.
        eta: Learning rate of the weights; a scalar tensor stays on its device.
    """
    saved = copies(theta)
    with torch.no_grad():
        if isinstance(eta, Tensor):
            torch._foreach_sub_(list(theta), torch._foreach_mul(list(gradient), eta))
        else:
            torch._foreach_add_(list(theta), list(gradient), alpha=-eta)
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(theta), saved)


@contextmanager
def frozen(theta: Iterable[Tensor]) -> Iterator[None]:
    """Within the block no gradient is taken in these weights, so that none is computed for nothing."""
    weights = list(theta)
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def gradients(loss: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Gradient of a loss in some weights; zeros in those that it does not depend on, as a head that is not used."""
    return torch.autograd.grad(loss, weights, materialize_grads=True)


def inner_product(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """<a, b> over lists of tensors of the same shapes, a scalar: eq. 9's reward of one policy."""
    products = torch._foreach_mul(list(a), list(b))
    if not products[0].is_cpu:  # there a sum per tensor is a launch per tensor
        return torch.cat([part.flatten() for part in products]).sum()
    return torch.stack([part.sum() for part in products]).sum()


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

    # fused attention has no forward-mode rule
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _DenseGroupNorms():
        primal = tuple(weight.detach() for weight in theta.values())
        _compile_rules()
        outputs = torch.func.jvp(losses, primal, tuple(v))
    rewards: Tensor = outputs[1]
    return rewards


def finite_difference(
    values: Callable[[], Tensor], theta: Sequence[Tensor], v: Sequence[Tensor], at_theta: Tensor, step: float = FD_STEP
) -> Tensor:
    """The derivative of some values along v by a one-sided difference: a forward pass instead of a forward-mode one.

    Args:
        values: Computes them from the weights as they stand.
        theta: The weights, moved by ``step`` along v / |v| meanwhile.
        v: The direction, one tensor per weight.
        at_theta: The values at theta.
        step: Length of the step.

    Returns:
        The derivative, of the shape of the values.
    """
    norm = torch.stack(torch._foreach_norm(list(v))).norm().clamp_min(1e-30)
    with one_step_ahead(theta, v, -step / norm):
        ahead = values()
    derivative: Tensor = (ahead - at_theta) * (norm / step)
    return derivative


def leave_one_out(rewards: Tensor, total: Tensor | None = None) -> Tensor:
    """Each reward minus the mean of all others: a baseline that leaves the estimator unbiased.

    Args:
        rewards: [n], of policies drawn independently; n >= 2 (a single reward is returned as it is).
        total: (sum, number) of all rewards, where ``rewards`` are only this process's share of them.
    """
    total = torch.stack([rewards.sum(), rewards.new_tensor(rewards.numel())]) if total is None else total
    count = total[1]
    credit = (rewards - total[0] / count) * (count / (count - 1).clamp_min(1))
    return torch.where(count > 1, credit, rewards)


def leave_one_out_of_image(rewards: Tensor) -> Tensor:
    """A baseline for several draws per image: a blend of what the image's other draws and all other rewards say.

    An image's other draws know how much its loss moves along v whatever its policy is; with n draws their mean gets
    the weight (n - 1) / n, the best one where images and policies contribute alike to the spread of rewards. No reward
    enters its own baseline, so that the estimator stays unbiased.

    Args:
        rewards: [n, B], n draws of a policy for each of B images.

    Returns:
        [n, B] rewards minus baselines.
    """
    draws = len(rewards)
    credit = leave_one_out(rewards.flatten()).view_as(rewards)
    if draws == 1:
        return credit
    same_image = (rewards.sum(0) - rewards) / (draws - 1)
    everyone = rewards - credit
    return credit - (draws - 1) / draws * (same_image - everyone)


def eq9_policy_gradient(log_prob: Tensor, rewards: Tensor, eta: float) -> Tensor:
    """A scalar whose gradient in gamma is eq. 9: -eta * mean of reward * gradient of log p(Gamma; gamma).

    Args:
        log_prob: [n], log-probabilities of the sampled policies, with their graph.
        rewards: [n], <v, training gradient under the policy>, v = gradient of the validation loss at theta' (eq. 6).
        eta: Learning rate of the weights.
    """
    return -eta * (rewards.detach().to(log_prob) * log_prob).mean()


def straight_through_gradient(gates: Tensor, sensitivity: Tensor, eta: float) -> Tensor:
    """A scalar whose gradient in gamma is that of DADA (Li et al., ECCV 2020): the baseline that section 4.1 rejects.

    The chain rule of eq. 7 is continued through the augmented images: -eta * <v, d/dx of the training gradient> *
    dx/dgates * dgates/dgamma, where dx/dmagnitude is set to one. See ``gate_sensitivity`` for dx/dgates and
    ``AugmentationDistribution.sample_relaxed`` for the gates.

    Args:
        gates: [n, K, 3] of n sampled policies, with their graph.
        sensitivity: [n, K, 3], derivative of <v, training gradient> in each gate.
        eta: Learning rate of the weights.
    """
    return -eta * (sensitivity.detach().to(gates) * gates).sum((-1, -2)).mean()


def gate_sensitivity(pixel_gradient: Tensor, slots: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """How <v, training gradient> changes with the gates of a relaxed policy, through the pixels.

    Slot k of a policy is x_k = a (b O(x_{k-1}; m) + (1 - b) x_{k-1}), with the gates a = 1 (operation), b in {0, 1}
    (application) and the magnitude m. None of the operations is differentiated: dO/dx is the identity and dO/dm is
    one (DADA, the straight-through estimator of the magnitude).

    Args:
        pixel_gradient: [B, C, H, W], d<v, training gradient> / d(augmented image), images in [0, 1].
        slots: Per slot: its input and the operation applied to it, both [B, C, H, W] in [0, 1], and b, a scalar.

    Returns:
        [K, 3]: the derivatives in a, b and m (as a share of its range).
    """
    rows = []
    for before, operated, applied in slots:
        after = torch.where(applied, operated, before)
        rows.append(
            torch.stack(
                [
                    (pixel_gradient * after).sum(),
                    (pixel_gradient * (operated - before)).sum(),
                    applied * pixel_gradient.sum(),
                ]
            )
        )
    return torch.stack(rows)


def pixel_gradient(
    loss: Callable[[Tensor], Tensor], images: Tensor, theta: Sequence[Tensor], v: Sequence[Tensor]
) -> Tensor:
    """D <v, gradient of the loss in theta> / d images, exactly, by differentiating twice.

    Args:
        loss: Maps images to the mean training loss.
        images: [B, C, H, W].
        theta: The weights.
        v: The direction, one tensor per weight.

    Returns:
        [B, C, H, W].
    """
    images = images.detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # fused attention cannot be differentiated twice
        gradient = torch.autograd.grad(loss(images), list(theta), create_graph=True, materialize_grads=True)
        return torch.autograd.grad(inner_product(gradient, v), images)[0]
