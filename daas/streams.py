"""How the outside reaches a program: standard streams that nobody reads any more, and SIGTERM."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import time
from types import FrameType
from typing import Any, TextIO

_SAME_SIGNAL = 2.0  # seconds within which launchers and containers pass on the signal that all processes were sent
_GONE = (errno.EPIPE, errno.EIO)  # the reader of a pipe, and the terminal, went away


class Lasting(io.RawIOBase):
    """A descriptor to write to; where it cannot be written any more, what is said is dropped.

    Args:
        number: Of the descriptor, which stays open.

    Attributes:
        refused: Why something was dropped, other than for want of a reader; or None.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self.refused: OSError | None = None

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._number

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._number)

    def write(self, content: Any, /) -> int:
        """Writes some of it, and says how many bytes."""
        try:
            return os.write(self._number, content)
        except OSError as error:
            if error.errno not in _GONE:
                self.refused = self.refused or error
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._number)  # for processes that are started later, too
            return memoryview(content).nbytes


def lasting(stream: TextIO | None) -> tuple[TextIO, Lasting | None]:
    """A standard stream that outlives its reader, and shows what its encoding has no letters for as escapes.

    Args:
        stream: ``sys.stdout`` or ``sys.stderr``; None where it was closed from the start (``>&-``, ``pythonw``).

    Returns:
        The stream to use in its place, and what it writes to; that is None where everything is dropped, or where the
        stream is no file.
    """
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8"), None  # as long as the process
    try:
        raw = Lasting(stream.fileno())
    except (OSError, ValueError):  # somebody's object in place of a file, which has its own ways
        return stream, None
    stream.flush()
    errors = "backslashreplace" if stream.errors in (None, "strict") else stream.errors
    lines = raw.isatty() or stream is sys.stderr
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, errors, line_buffering=lines), raw


class Termination:
    """SIGTERM as a ``KeyboardInterrupt`` in this process, so that locks, processes and unfinished files are cleared.

    Another one within two seconds is the same, passed on by a launcher or by the first process of a container; a later
    one ends the process at once.

    Attributes:
        seen: Whether there was one.
    """

    def __init__(self) -> None:
        self.seen = False
        self._at = 0.0
        signal.signal(signal.SIGTERM, self._note)
        os.register_at_fork(after_in_child=_ends)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.seen:
            self.seen, self._at = True, time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - self._at > _SAME_SIGNAL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)


def _ends() -> None:
    """A forked process, one that loads images for example, has nothing to clear: SIGTERM ends it as usual."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
