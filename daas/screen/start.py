"""What is said when a screen begins: what it is about, and how long it will take."""

from __future__ import annotations

from daas.errors import plain
from daas.screen.setting import Setting

TIMED = 3
"""The epoch after which it is known how long the others take."""


def beginning(setting: Setting) -> str:
    """Images, network and length of a screen."""
    train, asked, options = setting.train, setting.asked, setting.options
    return plain(
        f"Images: {train.name}, {len(train)} to train on and {len(asked)} to ask about, of {len(train.class_names)} "
        f"classes, {train.image_size} x {train.image_size} pixels. Network: {setting.network.name}, {options.epochs} "
        f"epochs under {len(setting.tried)} operations."
    )


def estimate(seconds: float, epochs: int) -> str:
    """How long the training takes.

    Args:
        seconds: That an epoch takes.
        epochs: Of the training.

    >>> estimate(2.0, 60)
    'An epoch takes 2.0 s: about 2 min for the training, and less for the questions.'
    """
    minutes = max(1, round(seconds * epochs / 60))
    return f"An epoch takes {seconds:.1f} s: about {minutes} min for the training, and less for the questions."
