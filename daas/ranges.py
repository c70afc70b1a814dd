"""What numeric options may be: one table for all programs, since a name means the same in each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from daas.errors import BadInput


class Range(NamedTuple):
    """From ``least`` to ``most``; ``above`` and ``below`` leave these two themselves out, ``hint`` is the way out."""

    least: float
    most: float
    above: bool = False
    below: bool = False
    hint: str = ""

    def holds(self, value: float) -> bool:
        """Whether a value lies in it; NaN never does."""
        low = value > self.least if self.above else value >= self.least
        return low and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        if (self.above, self.below) == (False, False) and (self.least, self.most) == (0, 1):
            return "between 0 and 1"
        low, high = "above" if self.above else "at least", "below" if self.below else "at most"
        return f"{low} {_shown(self.least)} and {high} {_shown(self.most)}"


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


_COUNT, _FROM_0 = Range(1, 1_000_000), Range(0, 1_000_000)
_SHARE, _NOT_ALL = Range(0, 1), Range(0, 1, below=True)
_SHARES = " Shares of the full range are meant: divide levels from 0 to 255 by 255, mean and standard deviation alike."
_RATE, _DECAY = Range(0, 1e30), Range(0, 100)  # products of rates and gradients fit into float32
SOME_RATE = Range(0, 1e30, above=True)
"""Of a learning rate, where nothing would learn at 0."""

RANGES: Mapping[str, Range] = {
    # length
    "epochs": _COUNT, "warmup_epochs": _FROM_0, "cooldown_epochs": _FROM_0, "start_epoch": _FROM_0,
    "patience_epochs": _FROM_0, "mixup_off_epoch": _FROM_0, "decay_epochs": Range(0, 1_000_000, above=True),
    "max_steps": Range(1, 2**40), "val_interval": _COUNT, "log_interval": Range(1, 2**40),
    "recovery_interval": Range(0, 2**40), "save_every": Range(0, 10**9), "trainings": Range(2, 1_000_000),
    # images and batches
    "batch_size": Range(1, 2**20), "validation_batch_size": Range(1, 2**20), "grad_accum_steps": Range(1, 2**16),
    "workers": Range(0, 1024), "image_size": Range(1, 4096), "img_size": Range(1, 4096), "max_images": Range(1, 2**40),
    "max_classes": Range(1, 2**20), "num_classes": Range(1, 2**20), "crop_padding": Range(0, 4096),
    "cutout": Range(0, 4096), "folds": Range(2, 1000),
    "mean": Range(0, 1, hint=_SHARES), "std": Range(1e-4, 1, hint=_SHARES),
    # learning
    "lr": _RATE, "lr_base": _RATE, "lr_base_size": Range(1, 2**20), "min_lr": _RATE, "warmup_lr": _RATE,
    "arch_lr": _RATE, "aug_lr": _RATE, "momentum": _NOT_ALL, "opt_betas": _NOT_ALL, "opt_eps": _SHARE,
    "weight_decay": _DECAY, "arch_weight_decay": _DECAY, "clip_grad": Range(0, 1e6, above=True),
    "layer_decay": Range(0, 1, above=True), "layer_decay_min_scale": _SHARE, "layer_decay_no_opt_scale": _SHARE,
    "decay_rate": Range(0, 100, above=True), "lr_noise": _SHARE, "lr_noise_pct": _SHARE,
    "lr_noise_std": Range(0, 100), "lr_cycle_mul": Range(0, 100, above=True), "lr_cycle_decay": Range(0, 10),
    "lr_cycle_limit": _COUNT, "lr_k_decay": Range(0, 100, above=True), "head_init_scale": Range(0, 1000),
    "head_init_bias": Range(-1000, 1000), "bn_momentum": _SHARE, "bn_eps": Range(0, 1, above=True),
    "model_ema_decay": _NOT_ALL, "aux_weight": Range(0, 1000), "smoothing": _NOT_ALL, "bce_target_thresh": _SHARE,
    "bce_pos_weight": Range(0, 1e6, above=True), "drop": _NOT_ALL, "drop_path": _NOT_ALL, "drop_block": _NOT_ALL,
    # augmentation
    "hflip": _SHARE, "vflip": _SHARE, "reprob": _SHARE, "recount": Range(0, 64), "mixup": Range(0, 1000),
    "cutmix": Range(0, 1000), "mixup_prob": _SHARE, "mixup_switch_prob": _SHARE, "color_jitter": Range(0, 10),
    "color_jitter_prob": _SHARE, "grayscale_prob": _SHARE, "gaussian_blur_prob": _SHARE,
    # search
    "architectures": Range(1, 1024), "policies": Range(1, 1024), "reward_batches": Range(0, 1024),
    "channels": Range(1, 4096), "layers": Range(1, 1000), "nodes": Range(1, 64), "tau_max": Range(1e-3, 1000),
    "tau_min": Range(1e-3, 1000), "seed": Range(0, 2**63 - 1),
    "max_latency": Range(0, 1e6, above=True), "latency_batch": Range(1, 2**16),
    "latency_threads": Range(1, 1024), "cost_weight": Range(0, 1e6), "confidence_penalty": Range(0, 1e6),
    "max_skips": Range(0, 1000), "race": _FROM_0, "race_epochs": _COUNT, "race_workers": Range(1, 1024),
}  # fmt: skip
"""By the name of an option, with underscores; of an option with several values, for each of them."""


def plain(value: Any) -> Any:
    """A number or truth value of NumPy as one of Python, which JSON can hold; anything else as it is.

    >>> import numpy as np
    >>> plain(np.float32(0.5)), plain(np.int64(3)), plain(np.bool_(True)), plain("0.5")
    (0.5, 3, True, '0.5')
    """
    if isinstance(value, np.number | np.bool_):
        return value.item()
    if isinstance(value, int | float):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def check_ranges(options: Any, **other: Range) -> None:
    """Checks all numbers of a dataclass of options.

    Args:
        options: The dataclass; options that are None are left to their defaults.
        **other: Ranges that differ from the table's, by name.

    Raises:
        BadInput: An option out of its range, with what is allowed.

    >>> from daas.train.fit import Recipe
    >>> check_ranges(Recipe(momentum=2.0))
    Traceback (most recent call last):
    daas.errors.BadInput: --momentum 2.0: it must be at least 0 and below 1.
    """
    for option in fields(options):
        allowed = other.get(option.name) or RANGES.get(option.name)
        if allowed is not None:
            check_range(option.name, getattr(options, option.name), allowed)


def check_range(name: str, value: Any, allowed: Range) -> None:
    """Checks one option, or each of its values.

    Raises:
        BadInput: It is out of its range.
    """
    several: Iterable[Any] = value if isinstance(value, tuple) else () if value is None else (value,)
    if not all(isinstance(plain(one), int | float) and allowed.holds(one) for one in several):
        said = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise BadInput(f"--{name.replace('_', '-')} {said}: it must be {allowed}.{allowed.hint}")
