"""Which options of the method go together, and what they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daas.errors import BadInput
from daas.models.primitives import known_primitives
from daas.models.start import Start
from daas.options import name_values
from daas.search.algorithm.estimators import (
    WARM_UP,
    PerImage,
    PolicyGradient,
    Sampling,
    StraightThrough,
    Uniform,
)
from daas.search.spaces.cells import NONE, PRIMITIVE_SETS

if TYPE_CHECKING:
    from daas.search.options import SearchConfig

SINGLE_SAMPLE = ("gdas", "darts")
"""Estimators of alpha with one sample (or none) per iteration."""


WITHOUT_REWARDS = ("straight-through",)
"""Estimators of gamma that learn, and give no policy a reward."""


def check_method(config: SearchConfig) -> None:
    """Raises BadInput for options of the method that contradict each other, or would change nothing."""
    _check_mode(config)
    _check_augmentation(config)
    _check_limits(config)
    candidates(config.primitives)
    if config.arch_estimator in SINGLE_SAMPLE and config.architectures != 1:
        raise BadInput(
            f"--arch-estimator {config.arch_estimator} takes one sample per iteration; --architectures is "
            f"{config.architectures}. Set it to 1, or use --arch-estimator gumbel."
        )


def _check_mode(config: SearchConfig) -> None:
    mode = config.mode
    if mode == "aug" and not config.model:
        raise BadInput("--mode aug searches a policy for a fixed network: name a timm model with --model.")
    if mode != "aug" and config.model:
        raise BadInput(f"--model {config.model} is a fixed network; it goes with --mode aug, not --mode {mode}.")
    if config.model_kwargs and not config.model:
        raise BadInput("--model-kwargs are arguments of --model, which is missing.")
    if mode != "aug" and Start.of(config).given:
        raise BadInput(f"{Start.of(config).words()[0]} is of a fixed network; it goes with --mode aug, not {mode}.")
    Start.of(config).check(config.model)
    model_arguments(config.model_kwargs)
    if config.policy and mode != "arch":
        raise BadInput(f"--policy {config.policy} is a fixed policy; it goes with --mode arch, not --mode {mode}.")
    if mode == "one-level" and config.val_dir is not None:
        raise BadInput("--mode one-level learns everything on the training images; leave out --val-dir.")
    if mode == "aug":
        for name in ("arch_estimator", "primitives"):
            if getattr(config, name) != type(config).__dataclass_fields__[name].default:
                raise BadInput(f"--{name.replace('_', '-')} has no meaning with --mode aug: the network is fixed.")


def _check_limits(config: SearchConfig) -> None:
    default = type(config).__dataclass_fields__
    limited = [f"--max-{kind}" for kind in config.cost_limits]
    if config.mode == "aug" and limited:
        raise BadInput(f"{' and '.join(limited)} limit cells that are searched; with --mode aug the network is fixed.")
    for name, needed in (
        ("latency_batch", ["--max-latency"]),
        ("latency_threads", ["--max-latency"]),
        ("cost_weight", ["--max-params", "--max-macs", "--max-latency"]),
    ):
        if getattr(config, name) != default[name].default and not set(needed) & set(limited):
            raise BadInput(f"--{name.replace('_', '-')} goes with {' or '.join(needed)}, which is missing.")


def _check_augmentation(config: SearchConfig) -> None:
    estimator, default = config.aug_estimator, type(config).__dataclass_fields__
    allowed = {
        "baseline": ("per-image", "policy-gradient"),
        "reward": ("per-image",),
        "reward_batches": ("per-image",),
        "policy_passes": ("policy-gradient",),
        "apply_rate": ("per-image", "policy-gradient"),
        "confidence_penalty": ("per-image", "policy-gradient"),
    }
    for name, estimators in allowed.items():
        value = getattr(config, name)
        if value != default[name].default and (estimator not in estimators or config.mode == "arch"):
            raise BadInput(
                f"--{name.replace('_', '-')} {value} goes with --aug-estimator {' or '.join(estimators)} and a mode "
                f"that learns a policy; found --aug-estimator {estimator} and --mode {config.mode}."
            )
    if config.derive == "decided" and estimator in WITHOUT_REWARDS and config.mode != "arch":
        raise BadInput(
            f"--derive decided compares rewards, and --aug-estimator {estimator} has none; use --derive printed, or "
            "another estimator."
        )
    if config.amp and config.reward != "jvp":
        raise BadInput(
            f"--reward {config.reward} takes steps that bfloat16 rounds away: leave out --amp, or use --reward jvp."
        )
    if config.baseline == "leave-one-out" and estimator == "policy-gradient" and _rewards(config) < 2:
        raise BadInput("--baseline leave-one-out needs at least two policies per iteration; raise --policies.")


def estimator_of(config: SearchConfig) -> Sampling:
    """How policies are drawn and learn, from the options."""
    if config.mode == "arch":
        return WARM_UP
    policies, baseline = config.policies, config.baseline != "none"  # of a single reward there is none in any case
    if config.aug_estimator == "per-image":
        return PerImage(
            policies, baseline, config.reward, config.reward_batches, confidence_penalty=config.confidence_penalty
        )
    if config.aug_estimator == "policy-gradient":
        return PolicyGradient(policies, baseline, confidence_penalty=config.confidence_penalty)
    return StraightThrough(policies) if config.aug_estimator == "straight-through" else Uniform(policies)


def _rewards(config: SearchConfig) -> int:
    """N * M: rewards of whole batches per iteration; where a policy is learned for a fixed network, N is 1."""
    return config.policies * (1 if config.mode in ("aug", "independent") else config.architectures)


def candidates(primitives: str) -> tuple[str, ...]:
    """The candidate operations that ``--primitives`` stands for.

    Raises:
        BadInput: An unknown name, one given twice, or fewer than two that can be derived.
    """
    if primitives in PRIMITIVE_SETS:
        return PRIMITIVE_SETS[primitives]
    names = tuple(name.strip() for name in primitives.split(","))
    unknown = [name for name in names if name not in (*known_primitives(), NONE)]
    if unknown:
        raise BadInput(
            f"--primitives: unknown {', '.join(map(repr, unknown))}. It is one of {', '.join(PRIMITIVE_SETS)}, or some "
            f"of {', '.join((*known_primitives(), NONE))}, joined by commas."
        )
    if len(set(names)) < len(names) or len([name for name in names if name != NONE]) < 2:
        raise BadInput(f"--primitives {primitives}: name at least two operations besides none, each once.")
    return names


def model_arguments(pairs: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE texts -> constructor arguments, read as in training.

    Raises:
        BadInput: One without a name or an equals sign.
    """
    return name_values(pairs, "--model-kwargs")
