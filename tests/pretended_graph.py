"""A pretended CUDA graph, for machines without one: it minds what a graph minds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from daas.recording import undone
from tests.pretended_gpu import OnGPU, PretendedGPU


class Watched(TorchDispatchMode):
    """Notes where tensors lie that operations read and did not make."""

    def __init__(self) -> None:
        super().__init__()
        self.read: set[int] = set()
        self._made: set[int] = set()
        self._kept: list[Tensor] = []  # so that their places are not used again

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {place(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        self.read |= given - self._made
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor) and place(leaf) not in self.read:
                self._made.add(place(leaf))
                self._kept.append(leaf)
        return found


def place(tensor: Tensor) -> int:
    return (tensor.values if isinstance(tensor, OnGPU) else tensor).untyped_storage().data_ptr()


class PretendedGraph:
    """Warms up as a graph does, then calls the function; it may wait for nothing and read nothing but what it read.

    Attributes:
        recorded: How often a step was captured.
    """

    recorded = 0

    def __init__(self, gpu: PretendedGPU | None = None) -> None:
        self.gpu = gpu

    def record(
        self, function: Callable[[], None], tensors: Sequence[Tensor], optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        type(self).recorded += 1
        self.function = function
        with undone(tensors, optimizer, torch.device("cpu")):
            for _ in range(3):
                function()
            self.read = self._watched()

    def replay(self) -> None:
        assert self._watched() <= self.read, "a captured step read memory that it had not read before"

    def _watched(self) -> set[int]:
        waits = len(self.gpu.waits) if self.gpu is not None else 0
        with Watched() as watched:
            self.function()
        assert self.gpu is None or self.gpu.waits[waits:] == [], "a captured step waited for the device"
        return watched.read
