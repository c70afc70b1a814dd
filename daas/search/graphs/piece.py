"""A piece of a network, kept as two graphs: forward and backward, over tensors that stay where they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge, saved_tensors_hooks

from daas.recording import Recorder, Uncapturable
from daas.search.graphs.outliving import place, refuse_outliving

Recorders = Callable[[], Recorder]
"""Makes one recorder per graph."""


@dataclass(frozen=True)
class Value:
    """A tensor that stays where it is.

    Attributes:
        value: The sum of what pieces have written; 0 before a pass.
        gradient: The sum of what the pieces that read it say, of the same shape; None where nobody asks.
    """

    value: Tensor
    gradient: Tensor | None = None

    @classmethod
    def like(cls, tensor: Tensor) -> Value:
        """Zeros, set out in memory as another tensor is."""
        return cls(torch.zeros_like(tensor), torch.zeros_like(tensor))


class Kept:
    """Memory for what backward passes need of forward passes.

    Pieces of which a path has one at most, as the candidates of one edge, share it: so the graphs of all candidates
    need no more than a path through every edge does.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[object, ...], list[Tensor]] = {}

    def places(self) -> set[int]:
        """Where all of it lies."""
        return {place(row) for rows in self._rows.values() for row in rows}

    @contextmanager
    def keeping(self, still: Sequence[Tensor]) -> Iterator[None]:
        """Within the block what autograd saves is copied here, in the same order into the same places each time.

        Args:
            still: Tensors that stay as they are until the backward pass; they and their views are not copied.
        """
        places = {place(tensor) for tensor in still}
        taken: Counter[tuple[object, ...]] = Counter()
        copied: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}  # two operations may save the same tensor

        def pack(tensor: Tensor) -> Tensor:
            if place(tensor) in places:
                return tensor
            kind = (tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
            which = (place(tensor), tensor.storage_offset(), tensor._version, *kind)
            if which not in copied:
                rows = self._rows.setdefault(kind, [])
                if taken[kind] == len(rows):
                    rows.append(torch.empty_like(tensor))
                mine = rows[taken[kind]]
                taken[kind] += 1
                copied[which] = tensor, mine.copy_(tensor)
            return copied[which][1]

        try:
            with saved_tensors_hooks(pack, lambda tensor: tensor):
                yield
        finally:
            copied.clear()  # autograd keeps the hooks, and they would keep what was copied


class Piece:
    """A function of some values and weights, and its gradients, each of them one launch.

    What it reads and writes lies in memory of its owner. Between its forward and its backward pass nothing else may run
    that has the same ``kept``; then any other piece may, in any order.

    Args:
        run: Maps what ``reads`` hold to what is added to ``writes``.
        reads: Values that it depends on, to whose gradients it adds.
        writes: The value that it adds to; its gradient is complete before ``backward``.
        weights: By each weight, where the gradient in it is written; none where no such gradient is asked for.
        kept: For what the backward pass needs.
        recorders: Make what keeps the two graphs.
    """

    def __init__(
        self,
        run: Callable[..., Tensor],
        reads: Sequence[Value],
        writes: Value,
        weights: dict[nn.Parameter, Tensor],
        kept: Kept,
        recorders: Recorders,
    ) -> None:
        self.run, self.reads, self.writes, self.weights, self.kept = run, tuple(reads), writes, weights, kept
        self._gradients = [value.gradient for value in reads if value.gradient is not None]
        self._leaves: list[Tensor] = []
        self._edge: GradientEdge | None = None
        self._recorders = recorders
        self._forward: Recorder | None = None
        self._backward: Recorder | None = None

    @property
    def _differentiated(self) -> bool:
        return bool(self._gradients or self.weights)

    def forward(self) -> None:
        """Adds the function's value to ``writes``.

        Raises:
            Uncapturable: It cannot be kept as a graph, or keeps a tensor where ``kept`` does not see it.
        """
        if self._forward is None:
            calls = [self._go, self._go, self._return] if self._differentiated else [self._go, self._go]
            refuse_outliving(calls, [self.writes.value, *self._gradients], self.kept.places)
            self._forward = self._recorders()
            self._forward.record(self._go, [self.writes.value])
        self._forward.replay()

    def backward(self) -> None:
        """Adds to the gradients of ``reads`` and writes those of the weights; after ``forward``.

        Raises:
            Uncapturable: It cannot be kept as a graph.
        """
        if not self._differentiated:
            return
        if self._backward is None:
            self._backward = self._recorders()
            self._backward.record(self._return, self._gradients)
        self._backward.replay()

    def _go(self) -> None:
        values = [value.value for value in self.reads]
        with torch.enable_grad(), self.kept.keeping([*values, *self.weights]):
            leaves = [value.value.detach().requires_grad_(value.gradient is not None) for value in self.reads]
            found = self.run(*leaves)
            found = found.view_as(found)  # what is read may be what is found
        self._leaves = [leaf for leaf in leaves if leaf.requires_grad]
        into = self.writes.value
        if (found.shape, found.dtype) != (into.shape, into.dtype):
            kinds = [f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}" for t in (found, into)]
            raise Uncapturable(f"a primitive gives {kinds[0]} where others give {kinds[1]}")
        if self._leaves or self.weights:
            if not found.requires_grad:
                raise Uncapturable("a primitive gives a tensor without gradient")
            self._edge = get_gradient_edge(found)
        into.add_(found.detach())

    def _return(self) -> None:
        assert self._edge is not None
        assert self.writes.gradient is not None
        found = torch.autograd.grad(
            [self._edge], [*self._leaves, *self.weights], [self.writes.gradient], retain_graph=True,
            materialize_grads=True,
        )  # fmt: skip
        of_reads, of_weights = found[: len(self._gradients)], found[len(self._gradients) :]
        for gradient, part in zip(self._gradients, of_reads, strict=True):
            gradient.add_(part)
        if of_weights:
            torch._foreach_copy_(list(self.weights.values()), list(of_weights))
