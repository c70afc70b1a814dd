"""One training step: forward, backward and an update, launched operation by operation."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from timm.utils import dispatch_clip_grad
from torch import Tensor, nn

from daas.train.batches import Place
from daas.train.options import TrainOptions
from daas.train.training import Learner


def autocast(options: TrainOptions, device: torch.device, cache: bool = True) -> AbstractContextManager[Any]:
    """Mixed precision, if it is asked for.

    Args:
        options: The run's.
        device: Of the network.
        cache: Whether a weight is cast once per block; a captured step must not keep what a cast gave.
    """
    if not options.amp:
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, options.amp_dtype), cache_enabled=cache)


def loss_of(learner: Learner, images: Tensor, targets: Tensor, options: TrainOptions) -> Tensor:
    """The loss of a batch, that of an auxiliary classifier included.

    Args:
        learner: What learns.
        images: [B, 3, H, W], normalised.
        targets: [B], or [B, classes] where they are mixed.
        options: The run's.
    """
    output = learner.runner(images)
    loss: Tensor
    if isinstance(output, tuple):
        loss = learner.loss(output[0], targets) + options.aux_weight * learner.loss(output[1], targets)
    else:
        loss = learner.loss(output, targets)
    return loss


def clipped(options: TrainOptions, model: nn.Module) -> list[nn.Parameter]:
    """The parameters whose gradients ``--clip-grad`` limits; none where it is not given."""
    if options.clip_grad is None:
        return []
    parameters = list(model.parameters())
    return parameters[:-2] if options.clip_mode == "agc" else parameters  # as timm: not the classifier


def clip(options: TrainOptions, model: nn.Module) -> None:
    """Limits the gradients, if ``--clip-grad`` is given."""
    if options.clip_grad is not None:
        dispatch_clip_grad(clipped(options, model), value=options.clip_grad, mode=options.clip_mode)


def step(
    learner: Learner, images: Tensor, targets: Tensor, whole: bool, parts: int, options: TrainOptions, place: Place
) -> float:
    """Forward, backward and, if the accumulation is whole, an update; gives the loss."""
    collect = learner.runner.no_sync() if place.world > 1 and not whole else nullcontext()  # type: ignore[operator]  # of DDP
    with collect:
        with autocast(options, place.device):
            loss = loss_of(learner, images, targets, options)
        scaled = loss / parts if parts > 1 else loss
        if learner.scaler is not None:
            learner.scaler(
                scaled, learner.optimizer, clip_grad=options.clip_grad, clip_mode=options.clip_mode,
                parameters=clipped(options, learner.model), need_update=whole,
            )  # fmt: skip
        else:
            scaled.backward()
            if whole:
                clip(options, learner.model)
                learner.optimizer.step()
    if whole:
        learner.optimizer.zero_grad()
    return float(loss.detach())
