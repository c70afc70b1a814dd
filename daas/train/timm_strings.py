"""timm's own ``--aa`` strings: which there are, and what Pillow no longer does for them."""

from __future__ import annotations

from typing import Any

from PIL import Image
from timm.data.auto_augment import (
    augment_and_mix_transform,
    auto_augment_transform,
    posterize,
    rand_augment_transform,
)

import daas
from daas.errors import BadInput


def check_string(text: str) -> None:
    """Refuses what timm does not know, before any image is read.

    Args:
        text: Of ``--aa``, none of ``daas:``.

    Raises:
        BadInput: With the strings that there are.
    """
    makers = {"rand": rand_augment_transform, "augm": augment_and_mix_transform}
    try:
        makers.get(text[:4], auto_augment_transform)(text)
    except (AssertionError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise BadInput(
            f"--aa {text[:80]}: timm does not know it{f' ({error})' if str(error) else ''}. Its strings are original, "
            "originalr, v0, v0r, 3a, rand-... (rand-m9-mstd0.5-inc1) and augmix-... (augmix-m5-w4-d2). A policy of "
            "this package is --aa daas:NAME, with its name or the path of its file; shipped are "
            f"{', '.join(daas.list_policies())}. For none, leave --aa out."
        ) from error


def keep_no_bit(transform: Any) -> None:
    """Lets timm's Posterize keep no bit at all, which is black.

    It does at the strongest magnitudes of ``rand-...-inc1``, as recipes have it; newer versions of Pillow refuse that,
    in the middle of a training.

    Args:
        transform: What timm has made for training images; changed in place.
    """
    for part in getattr(transform, "transforms", ()):
        several = [op for sub in getattr(part, "policy", ()) for op in sub]
        for op in [*getattr(part, "ops", ()), *several]:
            if getattr(op, "aug_fn", None) is posterize:
                op.aug_fn = _posterize


def _posterize(image: Image.Image, bits: int, **options: Any) -> Image.Image:
    """Timm's operation; without any bit, what Pillow made of it: black."""
    if bits < 1:
        return Image.new(image.mode, image.size)
    found: Image.Image = posterize(image, bits, **options)
    return found
