"""What is said when a search begins: what it is about, whether it is long enough, how long it will take."""

from __future__ import annotations

import resource
import sys

import torch

from daas.search.algorithm.state import State
from daas.search.graphs.passes import why_launched
from daas.search.options import SearchConfig
from daas.search.runs.build import SearchData
from daas.search.runs.plan import Plan
from daas.search.spaces.supernet import FixedNetwork

ENOUGH = 2400
"""Sampled policies after which planted answers were found (docs/estimators.md); per image, each image has one."""
_FEW_STEPS = 200  # iterations up to which cells are hardly more than their random start
_BATCHES = 8  # per epoch, that a smaller batch should give
_LEAST_BATCH = 16


def about(config: SearchConfig, data: SearchData, plan: Plan, state: State) -> list[str]:
    """Images, network and length of a search, a sentence each.

    Args:
        config: The options.
        data: The images.
        plan: Of the iterations.
        state: With the network.
    """
    facts = data.facts
    classes = len(data.class_names)
    parameters = sum(parameter.numel() for parameter in state.network.parameters())
    what = {"aug": "a policy", "arch": "cells"}.get(config.mode, "cells and a policy")
    if isinstance(state.network, FixedNetwork):
        network = f"{config.model}, fixed"
    else:
        network = f"a network of {config.layers} cells and {config.channels} channels that holds all candidates"
    warm = min(config.warmup_epochs * plan.steps_per_epoch, plan.last_step)
    learned = "" if config.mode == "arch" else f", {plan.last_step - warm} of them with the policy"
    return [
        f"Images: {facts['name']}, {facts['train_images']} to train and {facts['val_images']} to validate on, of "
        f"{classes} classes, {facts['image_size']} x {facts['image_size']} pixels.",
        f"Searched: {what}, on {network} ({parameters / 1e6:.2f} M weights), in {plan.last_step} iterations of "
        f"{config.batch_size} images{learned}.",
        columns(state),
        *launches(config, next(state.network.parameters()).device),
    ]


def columns(state: State) -> str:
    """What the figures of an epoch's line are, a sentence."""
    alpha, pi = state.architecture is not None, state.augmentation is not None
    words = (
        ["derived, the accuracy of the cells as they would be found now; skips, the share of their edges that skip"]
        if alpha
        else ["network, its accuracy on validation images"]
    )
    decided = ["alpha, which operations the edges take"] * alpha + ["pi, which the policies take"] * pi
    words.append(f"entropy of {' and of '.join(decided)}: 1 is undecided, 0 decided")
    if pi and state.estimator.learns:
        words.append("signal / noise of the gradient that the policies learn from: 1 is noise alone")
    return f"The lines below: {'; '.join(words)}."


def launches(config: SearchConfig, device: torch.device) -> list[str]:
    """On CUDA, whether passes are captured as graphs, and why not; a sentence. Elsewhere none."""
    if device.type != "cuda":
        return []
    reason = why_launched(config, device)
    return ["Passes: captured as CUDA graphs." if reason is None else f"Passes: operation by operation; {reason}."]


def too_few(config: SearchConfig, data: SearchData, plan: Plan) -> str:
    """A warning where the images and epochs make fewer iterations than a search needs, and what to pass; or empty.

    A policy needs about ``ENOUGH`` sampled policies, cells alone some hundred iterations; what --max-steps or a time
    budget cuts off is the user's own choice.
    """
    have, need = _samples(config, plan.steps_per_epoch, config.batch_size)
    if have >= need:
        return ""
    train = int(data.facts["train_images"])
    batch = max(min(config.batch_size, train // _BATCHES), min(_LEAST_BATCH, config.batch_size))
    then, needed = _samples(config, max(1, train // batch), batch)
    factor = -(-needed // max(1, then))
    words = [f"--batch-size {batch}"] if batch < config.batch_size else []
    words += [f"--warmup-epochs {factor * config.warmup_epochs}", f"--epochs {factor * config.epochs}"]
    if not _learns_policies(config):
        said = f"{have} iterations; cells need about {need}"
    else:
        said = f"{have} sampled policies; a policy needs about {need}"
    return (
        f"This search is too short to learn much: {train} training images and these epochs make {said}. Take "
        f"{' '.join(words)} or more images."
    )


def rising(config: SearchConfig) -> str:
    """A warning where the weights' learning rate would rise over the epochs instead of falling; or empty."""
    if config.lr >= config.min_lr:
        return ""
    return (
        f"The learning rate rises, from --lr {config.lr:g} to --min-lr {config.min_lr:g}, where it should fall. Take a "
        "--min-lr below --lr."
    )


def _learns_policies(config: SearchConfig) -> bool:
    return config.mode != "arch" and config.aug_estimator != "uniform"


def _samples(config: SearchConfig, steps_per_epoch: int, batch: int) -> tuple[int, int]:
    """What a search has of what it needs, and how much it needs."""
    if not _learns_policies(config):
        return (config.warmup_epochs + config.epochs) * steps_per_epoch, _FEW_STEPS
    each = config.policies * (1 if config.mode == "aug" else config.architectures)
    each *= batch if config.aug_estimator == "per-image" else 1
    return config.epochs * steps_per_epoch * each, ENOUGH


def estimate(config: SearchConfig, plan: Plan, seconds: float) -> str:
    """How long the rest takes, from a first iteration, and the memory that it took.

    Args:
        config: The options.
        plan: Of the iterations; the first is one of the warm-up where there is any.
        seconds: That the first iteration took.
    """
    warm = min(config.warmup_epochs * plan.steps_per_epoch, plan.last_step)
    passes = (config.policies + 2) / 2 if warm and config.mode != "arch" else 1.0  # of an iteration with the policy
    minutes = seconds * (warm + passes * (plan.last_step - warm)) / 60
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return (
        f"The first iteration took {seconds:.1f} s: about {max(1, round(minutes))} min in all. Memory: {peak:.1f} GiB."
    )
