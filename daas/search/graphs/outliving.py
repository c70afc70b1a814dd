"""Memory that outlives the call in which it was made, which graphs that share a pool do not keep for each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from daas.recording import Uncapturable, undone


def place(tensor: Tensor) -> int:
    """Which memory a tensor and all of its views lie in, as long as one of them lives."""
    return int(tensor.untyped_storage()._cdata)


class _Watched(TorchDispatchMode):
    """Within the block it is noted what operations make, and what they read that none of them has made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # PyTorch's has no types
        self.read: set[int] = set()
        self.made: dict[int, Tensor] = {}  # alive, so that no place is taken twice

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {place(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        self.read |= given - self.made.keys()
        found = func(*args, **(kwargs or {}))
        if all(returned.alias_info is None for returned in func._schema.returns):
            for leaf in tree_leaves(found):
                if isinstance(leaf, Tensor) and place(leaf) not in self.read:
                    self.made[place(leaf)] = leaf
        return found


def refuse_outliving(
    calls: Sequence[Callable[[], None]], changed: Sequence[Tensor], known: Callable[[], set[int]]
) -> None:
    """Makes sure that no call reads memory that an earlier one has made; another graph may have used it meanwhile.

    Args:
        calls: Functions that are to be graphs, in order; the first is called once before, so that what it makes once
            and for all (a mask, say) is there.
        changed: What they change and somebody still needs; afterwards as it was.
        known: Places that are kept for this.

    Raises:
        Uncapturable: One does.
    """
    with undone(changed, None, changed[0].device):
        calls[0]()
        earlier: dict[int, Tensor] = {}
        for call in calls:
            with _Watched() as watched:
                call()
            outlived = (watched.read & earlier.keys()) - known()
            if outlived:
                sizes = ", ".join(sorted(str(list(earlier[one].shape)) for one in outlived))
                raise Uncapturable(
                    f"a module keeps a tensor ({sizes}) from one pass to the next, or to its backward pass, where "
                    "PyTorch does not see it; buffers, and ctx.save_for_backward, are the places for that"
                )
            earlier |= watched.made
