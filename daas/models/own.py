"""A network of a user's own, as it is handed over."""

from __future__ import annotations

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
