"""A network of a user's own, as it is handed over."""

from __future__ import annotations

import hashlib

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from daas.errors import BadInput


def refuse_lazy(network: nn.Module) -> None:
    """Checks that a module has all its weights, and can be copied.

    Raises:
        BadInput: It is lazy, or scripted.
    """
    if any(is_lazy(parameter) for parameter in network.parameters()) or isinstance(network, torch.jit.ScriptModule):
        raise BadInput(
            f"The network {type(network).__name__} is lazy or scripted. Run one batch through a lazy one first, and "
            "pass the module that a script was made of."
        )


def fingerprint(network: nn.Module) -> str:
    """A hash of how a module is built, as its ``repr`` says, and of its weights and buffers.

    >>> small, other = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> fingerprint(small) == fingerprint(small), fingerprint(small) == fingerprint(other)
    (True, False)
    """
    digest = hashlib.blake2b(repr(network).encode(), digest_size=8)
    for name, value in network.state_dict().items():
        if isinstance(value, torch.Tensor):  # a module may keep other things beside
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
