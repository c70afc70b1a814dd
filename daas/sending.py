"""Small tensors on their way to a device, without a wait of the host."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; work that is under way there goes on, and the host with it.

    A plain ``to`` from ordinary memory waits until the device has done all that it was given before.

    >>> sent(torch.tensor([1, 2]), torch.device("cpu"))
    tensor([1, 2])
    """
    if tensor.device.type != "cpu" or device.type in ("cpu", "mps"):  # MPS may read the memory after it was given back
        return tensor.to(device)
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)
