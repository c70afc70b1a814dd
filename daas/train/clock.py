"""Where the time of a training goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up wall-clock seconds by activity; what is on a GPU counts when somebody waits for it.

    Attributes:
        seconds: By activity; ``training`` covers the epochs' training with all that is in it, ``data`` and
            ``augmentation`` are parts of it, ``validation`` follows it.
        images: Training images seen in this process.
    """

    def __init__(self) -> None:
        self.seconds = {"training": 0.0, "data": 0.0, "augmentation": 0.0, "validation": 0.0}
        self.images = 0
        self._lap = 0.0

    def start_lap(self) -> None:
        """From here on time counts for the next ``lap``."""
        self._lap = time.perf_counter()

    def lap(self, activity: str) -> None:
        """Counts what passed since the last lap, or ``start_lap``, as this activity."""
        now = time.perf_counter()
        self.seconds[activity] += now - self._lap
        self._lap = now

    @contextmanager
    def spend(self, activity: str) -> Iterator[None]:
        """Counts what runs inside as this activity."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[activity] += time.perf_counter() - start

    def share(self, activity: str) -> float:
        """Part of the training time."""
        return self.seconds[activity] / self.seconds["training"] if self.seconds["training"] else 0.0

    def rate(self, processes: int) -> float:
        """Training images per second over all processes."""
        return processes * self.images / self.seconds["training"] if self.seconds["training"] else 0.0

    def text(self, processes: int) -> str:
        """One line for people."""
        return (
            f"{self.rate(processes):.1f} images/s in training; waiting for data {100 * self.share('data'):.1f}% and "
            f"augmentation {100 * self.share('augmentation'):.1f}% of the training time"
        )


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(42.0), duration(4000.0)
    ('42 s', '1 h 7 min')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
