"""What a program has set for all of torch, and what of it reaches into a call of this package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock

import torch

from daas.errors import BadInput

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")


_turn = RLock()


def _new_turn() -> None:
    """In a forked process nobody is left to release what another thread held."""
    global _turn
    _turn = RLock()


os.register_at_fork(after_in_child=_new_turn)


@contextmanager
def usual_torch() -> Iterator[None]:
    """Within the block torch makes float32 and casts nothing by itself, as in a program that has just begun.

    A default type of float64, or an autocast around the call, would otherwise decide in which numbers networks are made
    and trained. Threads take turns: the default type, the global random streams and forward-mode differentiation are
    one for all of them. Afterwards everything is as it was.

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
        off.enter_context(_turn)
        off.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        yield


def refuse_without_gradients(what: str) -> None:
    """Raises BadInput where gradients are off; ``what`` (``A search``) begins the message."""
    if not torch.is_grad_enabled():
        raise BadInput(f"{what} takes gradients; call it outside of torch.no_grad() and torch.inference_mode().")
