"""AutoAugment, RandAugment and TrivialAugment with torchvision's bins, signs and sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from daas.augment.importers.expansion import Alternative, expand
from daas.augment.policy import Policy, PolicyOp
from daas.augment.sub_policy import MAX_OPS
from daas.errors import BadInput

_MOST_BINS = 1000
_FACTORS = ("Brightness", "Color", "Contrast", "Sharpness")
_CHOICES = ("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", *_FACTORS,
            "Posterize", "Solarize", "AutoContrast", "Equalize")  # fmt: skip
"""What RandAugment and TrivialAugment choose from."""


@dataclass(frozen=True)
class _Space:
    """The strongest magnitudes; bin 0 is the weakest, and bins are evenly spaced."""

    shear: float
    rotate: float
    factor: float  # distance from 1, either side
    bits: int  # that Posterize may remove
    translate_share: float = 0.0
    translate_pixels: float = 0.0


_STANDARD = _Space(shear=0.3, rotate=30.0, factor=0.9, bits=4, translate_share=150.0 / 331.0)
_WIDE = _Space(shear=0.99, rotate=135.0, factor=0.99, bits=6, translate_pixels=32.0)


def from_torchvision(policy: str | AutoAugmentPolicy, image_size: int | None = None) -> Policy:
    """A policy of torchvision's AutoAugment, with its ten bins.

    Brightness, color, contrast and sharpness go to either side of 1 at random in torchvision, so a sub-policy with one
    of them becomes two.

    Args:
        policy: ``cifar10``, ``imagenet``, ``svhn``, or the member of ``AutoAugmentPolicy``.
        image_size: torchvision truncates translations to whole pixels: given, they are those at this size; None
            leaves the share of the size as it is, for any size.

    Raises:
        BadInput: No such policy, or no such size.
    """
    try:
        chosen = AutoAugmentPolicy(policy)
    except ValueError as error:
        known = ", ".join(member.value for member in AutoAugmentPolicy)
        raise BadInput(f"torchvision has no AutoAugment policy {policy!r}; it has {known}.") from error
    _check(10, image_size)
    choices = (
        (1.0, [_alternatives(op, prob, level or 0, 10, _STANDARD, image_size) for op, prob, level in sub])
        for sub in AutoAugment(chosen).policies
    )
    return expand(
        f"autoaugment_{chosen.value}",
        f"AutoAugment (Cubuk et al., CVPR 2019), {chosen.name} in torchvision (BSD-3-Clause), with torchvision's bins"
        + _at(image_size),
        choices,
    )


def randaugment(
    num_ops: int = 2, magnitude: int = 9, num_magnitude_bins: int = 31, image_size: int | None = None
) -> Policy:
    """RandAugment as torchvision has it (names and defaults are its): ``num_ops`` of 14 operations at one magnitude.

    Args:
        num_ops: Operations per image, drawn with replacement; one of the 14 is the identity.
        magnitude: Bin of every operation, 0 the weakest.
        num_magnitude_bins: Number of bins.
        image_size: As in ``from_torchvision``.

    Raises:
        BadInput: Numbers out of range, or more sub-policies than fit.
    """
    _check(num_magnitude_bins, image_size)
    if not 0 <= magnitude < num_magnitude_bins:
        raise BadInput(f"randaugment: magnitude is {magnitude}; with {num_magnitude_bins} bins it is 0 to "
                       f"{num_magnitude_bins - 1}.")  # fmt: skip
    if not 1 <= num_ops <= MAX_OPS:
        raise BadInput(f"randaugment: num_ops is {num_ops}; it is 1 to {MAX_OPS}.")
    slot = list(_choice(magnitude, num_magnitude_bins, _STANDARD, image_size))
    return expand(
        "randaugment",
        f"RandAugment (Cubuk et al., NeurIPS 2020) as in torchvision: num_ops={num_ops}, magnitude={magnitude} of "
        f"{num_magnitude_bins} bins" + _at(image_size),
        [(float(len(_CHOICES)) ** num_ops, [slot] * num_ops)],
    )


def trivialaugment(num_magnitude_bins: int = 31, image_size: int = 224) -> Policy:
    """TrivialAugment (wide) as torchvision has it: one of 14 operations at a uniformly drawn magnitude.

    Args:
        num_magnitude_bins: Number of bins.
        image_size: Translations are up to 32 pixels in the original: at this size, and this share of other sizes.

    Raises:
        BadInput: Numbers out of range.
    """
    _check(num_magnitude_bins, image_size)
    bins = [list(_choice(level, num_magnitude_bins, _WIDE, image_size)) for level in range(num_magnitude_bins)]
    return expand(
        "trivialaugment",
        f"TrivialAugment, wide (Mueller and Hutter, ICCV 2021) as in torchvision: {num_magnitude_bins} bins"
        + _at(image_size),
        [(float(len(_CHOICES)), [slot]) for slot in bins],
    )


def _choice(level: int, bins: int, space: _Space, image_size: int | None) -> Iterator[Alternative]:
    """One of the 14 operations, each equally likely."""
    for op in _CHOICES:
        for share, chosen in _alternatives(op, 1.0, level, bins, space, image_size):
            yield share / len(_CHOICES), chosen


def _alternatives(
    op: str, prob: float, level: int, bins: int, space: _Space, image_size: int | None
) -> list[Alternative]:
    """An operation at a bin: one alternative, or two for the two sides of a factor."""
    if op == "Identity":
        return [(1.0, None)]
    if op in _FACTORS:
        away = _bin(0.0, space.factor, level, bins)
        return [(0.5, PolicyOp(op, prob, 1.0 + away)), (0.5, PolicyOp(op, prob, 1.0 - away))]
    return [(1.0, PolicyOp(op, prob, _value(op, level, bins, space, image_size)))]


def _value(op: str, level: int, bins: int, space: _Space, image_size: int | None) -> float | None:
    if op in ("ShearX", "ShearY"):
        return _bin(0.0, space.shear, level, bins)
    if op in ("TranslateX", "TranslateY"):
        if image_size is None:
            return _bin(0.0, space.translate_share, level, bins)
        pixels = int(_bin(0.0, space.translate_pixels or space.translate_share * image_size, level, bins))
        return min(1.0, pixels / image_size)
    if op == "Rotate":
        return _bin(0.0, space.rotate, level, bins)
    if op == "Posterize":
        return 8.0 - round(level / ((bins - 1) / space.bits))
    if op == "Solarize":
        return _bin(255.0, 0.0, level, bins)
    return None


def _bin(low: float, high: float, level: int, bins: int) -> float:
    return float(torch.linspace(low, high, bins)[level])


def _check(bins: int, image_size: int | None) -> None:
    if not 2 <= bins <= _MOST_BINS:
        raise BadInput(f"num_magnitude_bins is {bins}; it is 2 to {_MOST_BINS}.")
    if image_size is not None and image_size < 1:
        raise BadInput(f"image_size is {image_size}; it is at least 1 pixel.")


def _at(image_size: int | None) -> str:
    return "" if image_size is None else f"; translations in whole pixels of {image_size}"
