"""A pretended GPU, for machines without one: what runs on it is computed on the CPU, and it minds what a GPU minds.

Its tensors say that they are on another device (``meta``, the only one that PyTorch lets anybody stand in for) and
refuse to mix with tensors on the CPU; every time that the host waits for one of their values is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta"
_WAITS = ("aten::_local_scalar_dense", "aten::equal", "aten::nonzero")
_MOVES = ("aten::_to_copy", "aten::copy_")
_EMPTY = ("aten::empty", "aten::new_empty")
_VIEWS = ("aten::_unsafe_view",)
_INDEXING = ("aten::index", "aten::index_put_", "aten::_index_put_impl_")  # an index may come from the CPU


class Mixed(RuntimeError):
    """An operation was given tensors on the CPU and on the GPU."""


class OnGPU(Tensor):
    """A tensor on the pretended GPU.

    Attributes:
        values: What it holds, on the CPU.
    """

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> OnGPU:
        made: OnGPU = torch.Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            device=torch.device(DEVICE),
        )  # fmt: skip
        made.values = values
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"OnGPU({list(self.shape)})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} on the pretended GPU, outside of PretendedGPU()")


class PretendedGPU(TorchDispatchMode):
    """Within the block ``DEVICE`` is a GPU.

    Attributes:
        waits: Operations at which the host waited for the GPU, in order.
        blocking: Operations that sent something there and waited until it had arrived, in order.
        launches: Operations that ran on the GPU or moved something there, in order; views and empty memory are none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.blocking: list[str] = []
        self.launches: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> PretendedGPU:
        self._stack.enter_context(_Conversions())
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._stack.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs, name = dict(kwargs or {}), func._schema.name
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = [tensor for tensor in tensors if isinstance(tensor, OnGPU)]
        self._check(name, args, tensors, bool(here))
        wanted = kwargs.get("device")
        if wanted is not None:
            kwargs["device"] = torch.device("cpu")
        stays = bool(here) if wanted is None else torch.device(wanted).type == DEVICE
        if name == "aten::copy_":
            stays = isinstance(args[0], OnGPU)
        if here and (name in _WAITS or (name in _MOVES and not stays)):
            self.waits.append(name)
        sent = name in _MOVES and stays and any(t.numel() and not isinstance(t, OnGPU) for t in tensors)
        if sent and not kwargs.get("non_blocking", args[2] if name == "aten::copy_" and len(args) > 2 else False):
            self.blocking.append(name)
        if stays and not _is_a_view(func) and not name.startswith(_EMPTY):
            self.launches.append(name)
        args, kwargs = tree_map(lambda x: x.values if isinstance(x, OnGPU) else x, (args, kwargs))
        known = {id(tensor.values): tensor for tensor in here}  # what was changed in place stays the same tensor
        func = torch.ops.aten.zeros.default if name == "aten::_efficientzerotensor" else func  # which hold no values
        found = func(*args, **kwargs)
        return tree_map(lambda x: known.get(id(x), OnGPU(x)) if stays and isinstance(x, Tensor) else x, found)

    @staticmethod
    def _check(name: str, args: Any, tensors: list[Tensor], some_here: bool) -> None:
        away = [tensor for tensor in tensors if not isinstance(tensor, OnGPU) and tensor.dim() > 0]
        indexed = name in _INDEXING and isinstance(args[0], OnGPU)
        if some_here and away and name not in _MOVES and not indexed:
            raise Mixed(f"{name}: {', '.join(f'{type(tensor).__name__} {list(tensor.shape)}' for tensor in tensors)}")


def _is_a_view(func: Any) -> bool:
    """Whether what comes out is memory that went in, as it was."""
    aliases = [returned.alias_info for returned in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases) or func._schema.name in _VIEWS


class _Conversions(TorchFunctionMode):
    """From Python's numbers and back: ``tensor`` would make a true meta tensor, ``tolist`` takes no other."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu").type == DEVICE:
            return func(*args, **kwargs | {"device": "cpu"}).to(DEVICE)
        if func is Tensor.tolist:
            return func(args[0].cpu())
        return func(*args, **kwargs)


def values_of(tensor: Tensor) -> Tensor:
    """What a tensor on either device holds."""
    with PretendedGPU():
        return tensor.detach().cpu()
