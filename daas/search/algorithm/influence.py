"""What an image contributes to the loss of its whole batch: its own loss, and through the statistics of batch norm.

Every image gets a weight, 1, that counts in the mean of the losses and in the mean and variance of each batch norm.
The derivative of the loss in an image's weight is its influence (that of a sample in statistics, the infinitesimal
jackknife). Without batch norm it is the image's own loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from daas.search.algorithm.batch_norm import BatchNormMode, Norm
from daas.search.algorithm.gradients import finite_difference, frozen, gradients

STEP = 0.1
"""Length of the step along v between two influences, which are gradients: a short one would see little but the kinks of
the ReLUs. Chosen by hand on a few images."""


def influences(
    per_image_loss: Callable[[], Tensor], images: Tensor, theta: Sequence[Tensor] = ()
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """The losses of a batch, the influence of every image, and the gradient of the mean loss.

    Args:
        per_image_loss: Computes [B] losses from the images.
        images: [B, ...], floating point; only their number, type and device matter.
        theta: Weights in which the gradient of the mean loss is wanted too, from the same backward pass.

    Returns:
        Losses [B] without graph; influences [B], B times the derivative of the mean loss in each image's weight; one
        gradient per weight.
    """
    count = len(images)
    weights = torch.ones(count, device=images.device, dtype=images.dtype, requires_grad=True)
    with _Weighted(weights):
        losses = per_image_loss()
    *of_theta, of_weights = gradients((weights * losses).mean(), [*theta, weights])
    return losses.detach(), of_weights * count, tuple(of_theta)


def influence_rewards(
    per_image_loss: Callable[[], Tensor],
    images: Tensor,
    theta: Sequence[Tensor],
    v: Sequence[Tensor],
    at_theta: Tensor | None = None,
) -> Tensor:
    """Rewards of single images: the derivative of every image's influence along v, by a one-sided finite difference.

    Args:
        per_image_loss: Computes [B] losses from the images and the weights as they stand.
        images: [B, ...].
        theta: The weights, moved along v meanwhile.
        v: The direction, one tensor per weight.
        at_theta: The influences at theta, where they are known already.

    Returns:
        [B] rewards.
    """

    def influence() -> Tensor:
        return influences(per_image_loss, images)[1]

    with frozen(theta):
        return finite_difference(influence, theta, v, influence() if at_theta is None else at_theta, STEP)


class _Weighted(BatchNormMode):
    """Within the block batch norms depend on the weights of the images, in whatever network they stand.

    Args:
        weights: [B], ones.
    """

    def __init__(self, weights: Tensor) -> None:
        super().__init__(len(weights))
        self.weights = weights

    def normalized(self, input: Tensor, norm: Norm) -> Tensor:
        """With the derivative in the weights."""
        found: Tensor = _BatchNorm.apply(
            input, self.weights, norm.weight, norm.bias, *norm.running, norm.momentum, norm.eps
        )
        return found


class _BatchNorm(torch.autograd.Function):
    """Batch norm in training mode, where image b counts weights[b] times in mean and variance, at weights of one."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weights: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        output, mean, inverse = torch.native_batch_norm(x, scale, shift, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, scale, mean, inverse)
        ctx.eps = eps
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, mean, inverse = ctx.saved_tensors
        of_x, of_scale, of_shift = torch.ops.aten.native_batch_norm_backward(
            grad, x, scale, None, None, mean, inverse, True, ctx.eps, [ctx.needs_input_grad[0], True, True]
        )
        of_weights = _of_weights(x, mean, inverse, of_scale, of_shift, scale)
        needed = ctx.needs_input_grad
        return (
            of_x if needed[0] else None, of_weights, of_scale if needed[2] else None, of_shift if needed[3] else None,
            None, None, None, None,
        )  # fmt: skip


def _of_weights(
    x: Tensor, mean: Tensor, inverse: Tensor, of_scale: Tensor, of_shift: Tensor, scale: Tensor | None
) -> Tensor:
    """[B]: the loss in the images' weights, through the mean and the variance of one batch norm.

    With y = (x - mean) * inverse the loss has the derivatives -inverse * sum(grad) in the mean and
    -inverse^2 / 2 * sum(grad * y) in the variance; an image moves these by 1/B times its own moments less the batch's.
    """
    channels = (-1, *(1,) * (x.dim() - 2))
    centred = (x - mean.view(channels)).flatten(2) if x.dim() > 2 else (x - mean).unsqueeze(2)
    first = centred.mean(2) * inverse
    second = centred.square().mean(2) * inverse.square()
    if scale is not None:
        of_scale, of_shift = of_scale * scale, of_shift * scale
    return -(first @ of_shift + (second - second.mean(0)) @ of_scale / 2) / len(x)
