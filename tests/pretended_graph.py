"""A pretended CUDA graph, for machines without one: it keeps operations and their memory, and no Python runs again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from daas.recording import undone
from tests.pretended_gpu import OnGPU, PretendedGPU

_UNSET = ("aten::empty", "aten::new_empty")


class _Memory:
    """What a tensor's numbers lie in: the graph's own, or somebody else's, which the graph does not keep alive."""

    def __init__(self, storage: torch.UntypedStorage) -> None:
        self.weak = StorageWeakRef(storage)
        self.strong: torch.UntypedStorage | None = storage

    def storage(self) -> torch.UntypedStorage:
        found = self.strong
        if found is None:
            assert not self.weak.expired(), "a captured step reads memory that was given back"
            found = torch.UntypedStorage._new_with_weak_ptr(self.weak.cdata)
        return found

    def spoil(self) -> None:
        """Floating-point numbers are none afterwards."""
        torch.empty(0, dtype=torch.uint8).set_(self.storage()).fill_(255)  # type: ignore[call-overload]


@dataclass(frozen=True)
class _Place:
    """A tensor, by where it lies."""

    memory: _Memory
    dtype: torch.dtype
    offset: int
    size: torch.Size
    stride: tuple[int, ...]
    on_gpu: bool

    def tensor(self) -> Tensor:
        found = torch.empty(0, dtype=self.dtype)
        found.set_(self.memory.storage(), self.offset, self.size, self.stride)  # type: ignore[call-overload]
        return OnGPU(found) if self.on_gpu else found


@dataclass(frozen=True)
class _Launch:
    """An operation, its arguments, and where its results are put; None for those that lie there by themselves."""

    function: Any
    args: Any
    kwargs: Any
    results: tuple[_Place | None, ...]

    def again(self) -> None:
        args, kwargs = tree_map(lambda x: x.tensor() if isinstance(x, _Place) else x, (self.args, self.kwargs))
        found = tree_leaves(self.function(*args, **kwargs))
        for place, result in zip(self.results, found, strict=True):
            if place is not None:
                place.tensor().copy_(result)


class _Captured(TorchDispatchMode):
    """Within the block operations are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: list[_Launch] = []
        self.made: list[_Memory] = []
        self._known: dict[int, _Memory] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = tree_map(lambda x: self._place(x) if isinstance(x, Tensor) else x, (args, dict(kwargs or {})))
        found = func(*args, **(kwargs or {}))
        aliases = [returned.alias_info for returned in func._schema.returns]
        views = bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)
        in_place = any(alias is not None for alias in aliases)
        leaves = tree_leaves(found)
        places = [self._place(leaf, made=not in_place) if isinstance(leaf, Tensor) else None for leaf in leaves]
        if not views and not func._schema.name.startswith(_UNSET):
            self.launches.append(_Launch(func, *given, tuple(None if in_place else place for place in places)))
        return found

    def _place(self, tensor: Tensor, made: bool = False) -> _Place:
        values = tensor.values if isinstance(tensor, OnGPU) else tensor
        storage = values.untyped_storage()
        if storage._cdata not in self._known:
            self._known[storage._cdata] = _Memory(storage)
            if made:
                self.made.append(self._known[storage._cdata])
        memory = self._known[storage._cdata]
        layout = values.storage_offset(), values.shape, values.stride()
        return _Place(memory, values.dtype, *layout, isinstance(tensor, OnGPU))

    def end(self) -> None:
        """From here on memory that was there before is kept alive by its owners alone; nothing has been computed."""
        for memory in self._known.values():
            if memory not in self.made:
                memory.strong = None
        for memory in self.made:
            memory.spoil()


class PretendedGraph:
    """Warms up as a graph does, then keeps the operations of one call, which may wait for nothing, and repeats them.

    Args:
        gpu: That it runs on, if on one.
        shared: Whether other graphs use its memory after each replay.

    Attributes:
        recorded: How often a step was captured.
    """

    recorded = 0

    def __init__(self, gpu: PretendedGPU | None = None, shared: bool = False) -> None:
        self.gpu, self.shared = gpu, shared

    def record(
        self, function: Callable[[], None], tensors: Sequence[Tensor], optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        type(self).recorded += 1
        with undone(tensors, optimizer, torch.device("cpu")):
            for _ in range(3):
                function()
        waits = len(self.gpu.waits) if self.gpu is not None else 0
        with undone(tensors, optimizer, torch.device("cpu")), _Captured() as self._captured:
            function()
        assert self.gpu is None or self.gpu.waits[waits:] == [], "a captured step waited for the device"
        self._captured.end()

    def replay(self) -> None:
        with torch.no_grad():
            for launch in self._captured.launches:
                launch.again()
        if self.shared:
            for memory in self._captured.made:
                memory.spoil()


class InPool(PretendedGraph):
    """One of many graphs that share their memory."""

    def __init__(self) -> None:
        super().__init__(shared=True)
