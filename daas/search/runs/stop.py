"""When a search stops before its plan ends: Ctrl-C, SIGTERM, or the time budget."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; its state is saved where it has a folder, and the message says how to go on."""


class Diverged(Exception):
    """A loss was no longer a number; the message says where."""


_SAME_SIGNAL = 2.0  # seconds within which launchers and containers pass on the signal that all processes were sent


class StopRequest:
    """Notes Ctrl-C (or SIGTERM), so that the run stops between two iterations; a second one stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self._at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not in the main thread: whoever runs us there handles its own signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        passed_on = number == signal.SIGTERM or "MASTER_ADDR" in os.environ
        if self.requested and not (passed_on and time.monotonic() - self._at <= _SAME_SIGNAL):
            raise KeyboardInterrupt
        self.requested = True
        self._at = time.monotonic()


class TimeBudget:
    """The wall-clock seconds that this process may take, counted from its creation.

    Args:
        seconds: None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self.until = None if seconds is None else time.monotonic() + seconds

    def spent(self) -> bool:
        """Whether the time is over."""
        return self.until is not None and time.monotonic() >= self.until
