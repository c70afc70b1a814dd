"""What is said when a screen begins: what it is about, and how long it will take."""

from __future__ import annotations

import time

from daas.errors import plain
from daas.screen.setting import Setting

_TIMED = 2  # epochs, after the first one, which compiles and warms up


def beginning(setting: Setting) -> str:
    """Images, network and length of a screen."""
    train, asked, options = setting.train, setting.asked, setting.options
    return plain(
        f"Images: {train.name}, {len(train)} to train on and {len(asked)} to ask about, of {len(train.class_names)} "
        f"classes, {train.image_size} x {train.image_size} pixels. Network: {setting.network.name}, {options.epochs} "
        f"epochs under {len(setting.tried)} operations."
    )


class Pace:
    """Says once, after a few epochs, how long the others take.

    >>> pace = Pace()
    >>> [pace.left(done, 60) for done in (1, 2)], pace.left(3, 60)
    (['', ''], 'An epoch takes 0.0 s: about 1 min for the rest of the training, and less for the questions.')
    """

    def __init__(self) -> None:
        self._ends: list[float] = []

    def left(self, done: int, of: int) -> str:
        """A sentence, or nothing where it is too early or was said.

        Args:
            done: Epochs that are done; called after every one, in a training that goes on after the first of this run.
            of: Epochs in all.
        """
        self._ends.append(time.monotonic())
        if len(self._ends) != _TIMED + 1:
            return ""
        seconds = (self._ends[-1] - self._ends[0]) / _TIMED
        minutes = max(1, round(seconds * (of - done) / 60))
        return (
            f"An epoch takes {seconds:.1f} s: about {minutes} min for the rest of the training, and less for the "
            "questions."
        )
