"""What a program has set for all of torch, and what of it reaches into a call of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

import torch

from daas.errors import BadInput

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")


class _Float32:
    """Holds torch's default type, which is one for all threads, at float32 while any call needs it."""

    def __init__(self) -> None:
        self._lock, self._calls, self._before = Lock(), 0, torch.float32

    def __enter__(self) -> None:
        with self._lock:
            if not self._calls:
                self._before = torch.get_default_dtype()
            self._calls += 1
            torch.set_default_dtype(torch.float32)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._calls -= 1
            if not self._calls:
                torch.set_default_dtype(self._before)


_FLOAT32 = _Float32()


@contextmanager
def usual_torch() -> Iterator[None]:
    """Within the block torch makes float32 and casts nothing by itself, as in a program that has just begun.

    A default type of float64, or an autocast around the call, would otherwise decide in which numbers networks are made
    and trained. Afterwards everything is as it was; with several calls at a time, in threads, after the last of them.

    >>> torch.set_default_dtype(torch.float64)
    >>> with usual_torch():
    ...     print(torch.zeros(1).dtype)
    torch.float32
    >>> torch.get_default_dtype()
    torch.float64
    >>> torch.set_default_dtype(torch.float32)
    """
    with ExitStack() as off:
        for device in _AUTOCAST:
            if torch.is_autocast_enabled(device):
                off.enter_context(torch.autocast(device, enabled=False))
        with _FLOAT32:
            yield


def refuse_without_gradients(what: str) -> None:
    """Raises BadInput where gradients are off; ``what`` (``A search``) begins the message."""
    if not torch.is_grad_enabled():
        raise BadInput(f"{what} takes gradients; call it outside of torch.no_grad() and torch.inference_mode().")
