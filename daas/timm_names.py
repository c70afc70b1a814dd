"""timm's ``--aa`` takes policies of this package: ``daas:NAME``, ``daas:PATH``, ``daas:hf-hub:user/name``."""

from __future__ import annotations

import warnings
from functools import wraps
from importlib import import_module
from typing import Any

from timm.data import transforms_factory

PREFIX = "daas:"
_JITTERED = "3a"  # timm leaves colour jitter on beside a name that holds this


def teach(module: str) -> None:
    """Lets ``timm.data.create_transform`` and ``create_loader`` take policies by name; a second call changes nothing.

    The policy stands where timm's own augmentations do, after crop and flip, and sees one PIL image at a time.

    Args:
        module: Where ``DAASPolicy`` is; imported when the first policy is named.

    >>> import daas, timm.data
    >>> transform = timm.data.create_transform((3, 32, 32), is_training=True, auto_augment="daas:randaugment")
    >>> type(transform.transforms[2]).__name__
    'DAASPolicy'
    """
    known = transforms_factory.auto_augment_transform
    if getattr(known, "takes_policies", False):
        return

    @wraps(known)
    def auto_augment_transform(config_str: str, hparams: dict[str, Any] | None = None) -> Any:
        if not config_str.startswith(PREFIX):
            return known(config_str, hparams)
        if _JITTERED in config_str:
            warnings.warn(
                f"timm adds colour jitter to what has {_JITTERED!r} in its name, as {config_str!r} has. Set the colour "
                "jitter to 0 (--color-jitter 0), or give the file another name.",
                stacklevel=2,
            )
        return import_module(module).DAASPolicy.load(config_str.removeprefix(PREFIX))

    auto_augment_transform.takes_policies = True  # type: ignore[attr-defined]  # a mark on the function
    transforms_factory.auto_augment_transform = auto_augment_transform
