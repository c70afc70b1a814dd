"""One way into the package: what is tried there, and how."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Try = Callable[[Any], None]


@dataclass(frozen=True)
class Door:
    """One way in.

    Attributes:
        name: For the table.
        inputs: Strategy of what is tried.
        go: Takes one input in; raises ``BadInput`` for what it refuses.
        share: Of all inputs, relative to the other doors; slow doors have less.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    go: Try
    share: float = 1.0


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the words of what is tried off the terminal."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield
