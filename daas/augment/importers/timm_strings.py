"""timm's configuration strings: ``original``, ``v0``, ``3a``, ``rand-m9-mstd0.5-inc1`` and the like."""

from __future__ import annotations

import copy
import itertools
import math
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from timm.data.auto_augment import auto_augment_transform, rand_augment_transform

from daas.augment.importers.expansion import Alternative, check_left_out, expand, refuse, without
from daas.augment.policy import Policy, PolicyOp
from daas.augment.sub_policy import MAX_OPS
from daas.errors import BadInput

NOISE_LEVELS = 5
"""A noisy magnitude (``mstd``) becomes this many equally likely ones: the middles of its quantiles."""

_AUTO = ("original", "originalr", "v0", "v0r", "3a")
_PLAIN = {"AutoContrast", "Equalize", "Invert"}
_SIGNED = {"Rotate": ("Rotate", 30.0), "ShearX": ("ShearX", 0.3), "ShearY": ("ShearY", 0.3)}
_FACTORS = ("Color", "Contrast", "Brightness", "Sharpness")
_INCREASING = tuple(f"{name}Increasing" for name in _FACTORS)


def from_timm(config: str, hparams: Mapping[str, Any] | None = None, leave_out: Collection[str] = ()) -> Policy:
    """The policy that timm makes of a string, with timm's own tables and its conversion from levels.

    The ``increasing`` variants of color, contrast, brightness and sharpness go to either side of 1 at random
    (``1 +- 0.09 level``), where the others run through 0.1 to 1.9; ``PosterizeIncreasing`` and ``SolarizeIncreasing``
    turn the scale round. timm interpolates (bilinear or bicubic, at random), which is no part of a policy here.

    Args:
        config: ``original``, ``originalr``, ``v0``, ``v0r``, ``3a`` or ``rand-...``, with their options.
        hparams: timm's: ``img_mean`` (the fill, (128, 128, 128) by default), ``translate_pct``, ``magnitude_std``,
            ``magnitude_max``.
        leave_out: Operations to treat as doing nothing: ``SolarizeAdd``, ``GaussianBlur`` and ``GaussianBlurRand``
            are not among ours.

    Raises:
        BadInput: No such string, or an operation that is neither ours nor left out.
    """
    kind = config.split("-")[0]
    if kind != "rand" and kind not in _AUTO:
        raise BadInput(
            f"timm:{config}: timm's strings begin with {', '.join(_AUTO)} or rand; AugMix (augmix-...) mixes several "
            "versions of an image, which a policy does not."
        )
    options = None if hparams is None else copy.deepcopy(dict(hparams))
    try:
        transform = (rand_augment_transform if kind == "rand" else auto_augment_transform)(config, options)
    except (AssertionError, ValueError) as error:
        raise BadInput(f"timm:{config}: timm cannot read it ({error}).") from error
    operations = list(transform.ops) if kind == "rand" else [op for sub in transform.policy for op in sub]
    check_left_out([op.name for op in operations], leave_out)
    if kind == "rand":
        alternatives = [_alternatives(op, config, leave_out) for op in operations]
        choices = list(_layers(config, alternatives, transform.num_layers, transform.choice_weights))
    else:
        choices = [(1.0, [_alternatives(op, config, leave_out) for op in sub]) for sub in transform.policy]
    noise = "" if not operations[0].magnitude_std else f"; noise in {NOISE_LEVELS} magnitudes"
    fill = tuple(int(value) for value in operations[0].kwargs["fillcolor"])
    source = without(f"the string {config!r} of timm (Apache-2.0), with timm's magnitudes{noise}", leave_out)
    return expand(f"timm_{config}", source, choices, (fill[0], fill[1], fill[2]))


def _layers(
    config: str, alternatives: Sequence[list[Alternative]], count: int, weights: Sequence[float] | None
) -> Iterator[tuple[float, Sequence[Sequence[Alternative]]]]:
    """RandAugment's sub-policies: with replacement where the operations are equally likely, without where weighted."""
    if not 1 <= count <= MAX_OPS:
        raise BadInput(f"timm:{config}: n is {count}; there are 1 to {MAX_OPS} operations per image.")
    if weights is None:
        slot = [(share / len(alternatives), op) for options in alternatives for share, op in options]
        yield 1.0, [slot] * count
        return
    for order in itertools.permutations(range(len(alternatives)), count):
        share, left = 1.0, 1.0
        for index in order:
            share, left = share * float(weights[index]) / left, left - float(weights[index])
        yield share, [alternatives[index] for index in order]


def _alternatives(op: Any, config: str, leave_out: Collection[str]) -> list[Alternative]:
    """One of timm's operations, at each of its magnitudes and on each side of 1."""
    if op.name in leave_out:
        return [(1.0, None)]
    found: dict[PolicyOp, float] = {}
    levels = list(_levels(op))
    for level in levels:
        name, values = _values(op, level, config)
        for value in values:
            chosen = PolicyOp(name, float(op.prob), value)
            found[chosen] = found.get(chosen, 0.0) + 1.0 / len(levels) / len(values)
    return [(share, chosen) for chosen, share in found.items()]


def _levels(op: Any) -> Iterator[float]:
    """The magnitudes on timm's scale, clipped as timm clips them."""
    middles = [(index + 0.5) / NOISE_LEVELS for index in range(NOISE_LEVELS)]
    if not op.magnitude_std:
        drawn = [float(op.magnitude)]
    elif math.isinf(op.magnitude_std):
        drawn = [middle * op.magnitude for middle in middles]
    else:
        drawn = [statistics.NormalDist(op.magnitude, op.magnitude_std).inv_cdf(middle) for middle in middles]
    for level in drawn:
        yield max(0.0, min(level, op.magnitude_max or 10.0))


def _values(op: Any, level: float, config: str) -> tuple[str, list[float | None]]:
    """Our operation and its equally likely values at a level."""
    share = level / 10.0
    name = op.name
    if name in _PLAIN:
        return name, [None]
    if name in _SIGNED:
        ours, largest = _SIGNED[name]
        return ours, [share * largest]
    if name in ("TranslateXRel", "TranslateYRel"):
        return name.removesuffix("Rel"), [share * op.hparams.get("translate_pct", 0.45)]
    if name in _FACTORS:
        return name, [share * 1.8 + 0.1]
    if name in _INCREASING:
        return name.removesuffix("Increasing"), [max(0.1, 1.0 + side * share * 0.9) for side in (1.0, -1.0)]
    if name == "Desaturate":
        return "Color", [1.0 - min(1.0, 0.5 + 0.5 * share)]
    bits = int(share * 4.0)
    threshold = min(256, int(share * 256.0))
    table: dict[str, tuple[str, float]] = {
        "Posterize": ("Posterize", bits),
        "PosterizeIncreasing": ("Posterize", max(0, 4 - bits)),
        "PosterizeOriginal": ("Posterize", min(8, bits + 4)),
        "Solarize": ("Solarize", threshold),
        "SolarizeIncreasing": ("Solarize", 256 - threshold),
    }
    if name not in table:
        raise refuse(name, f"timm:{config}")
    ours, value = table[name]
    return ours, [float(value)]
