"""Passes of sampled paths through a supernet, put together from pieces that are graphs.

A piece is captured when a path first needs it: the stem, a cell's two inputs, a ReLU, a candidate on an edge, the
concatenation, the classifier with its loss. A pass launches the pieces of its path in order, and then backwards. They
run in the order of the ordinary pass and add to sums in its order too, so that results are the same to the bit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from daas.models.depthwise import channels_last
from daas.search.algorithm.gradients import copies, frozen
from daas.search.algorithm.state import Batch, Differentiated
from daas.search.graphs.piece import Kept, Piece, Recorders, Value
from daas.search.spaces.cells import Architecture
from daas.search.spaces.supernet import SearchCell, SuperNet, after_relu, begins_with_relu, run_primitive
from daas.sending import sent


class _Part(NamedTuple):
    """What a piece is made from.

    Attributes:
        place: Where it stands; of the pieces of one place a path has one at most.
        run: Maps what ``reads`` hold to what is added to ``writes``.
        reads: What it depends on.
        writes: Where its result goes.
        module: Whose weights it uses; None for none.
        operation: Number of the candidate, of those of one place.
    """

    place: tuple[int | str, ...]
    run: Callable[..., Tensor]
    reads: Sequence[Value]
    writes: Value
    module: nn.Module | None = None
    operation: int = 0


@dataclass(frozen=True)
class _CellValues:
    """The values within a cell.

    Attributes:
        inputs: Output of the cell before the previous one, and of the previous one, after a ReLU.
        raw: Its two inputs at its own width, and its nodes.
        activated: The same after a ReLU, where an edge reads that.
        output: Of the cell; after a ReLU, but for the last one.
    """

    inputs: tuple[Value, Value]
    raw: tuple[Value, ...]
    activated: tuple[Value, ...]
    output: Value


class SampledPasses:
    """Passes over batches of one shape.

    Args:
        network: The supernet.
        batch: Normalised images and labels, as all that follow in shape.
        gates: [2, E], of a path.
        amp: Whether the network runs in bfloat16 where autocast says so.
        recorders: Make what keeps the graphs.
    """

    def __init__(self, network: SuperNet, batch: Batch, gates: Tensor, amp: bool, recorders: Recorders) -> None:
        self.network, self.amp, self.recorders = network, amp, recorders
        self._device = batch[0].device
        self._images, self._labels = Value(torch.empty_like(batch[0])), torch.empty_like(batch[1])
        self._gates = Value.like(gates.detach().to(self._device))
        self._loss = Value(torch.zeros((), device=self._device), torch.ones((), device=self._device))
        self._weights: dict[nn.Parameter, Tensor] = {}
        self._pieces: dict[tuple[object, ...], Piece] = {}
        self._kept: dict[tuple[int | str, ...], Kept] = defaultdict(Kept)
        self._latest: tuple[object, list[Piece]] = None, []
        self._cells: list[_CellValues] = []
        self._before_gates: set[int] = set()  # identities of values
        self._sums: dict[torch.dtype, list[Tensor]] = defaultdict(list)
        self._lay_out(batch[0])

    @torch.no_grad()
    def _lay_out(self, images: Tensor) -> None:
        """Makes all values, by a pass through the parts that decide on their sizes."""
        with _autocast(self._device, self.amp):
            self._stem = Value.like(_stem(self.network.stem, images))
            self._before_gates.add(id(self._stem))
            inputs = self._stem, self._stem
            for cell in self._search_cells():
                raw = [after_relu(cell.preprocess0, inputs[0].value), after_relu(cell.preprocess1, inputs[1].value)]
                node = raw[1][:, :, ::2, ::2] if cell.reduction else raw[1]
                raw += [node.contiguous(memory_format=torch.channels_last)] * cell.nodes
                output = Value.like(torch.cat(raw[2:], 1))
                values, activated = (tuple(Value.like(x) for x in raw) for _ in range(2))
                for which, read in enumerate(inputs):
                    if read is self._stem:
                        self._before_gates |= {id(values[which]), id(activated[which])}
                self._cells.append(_CellValues(inputs, values, activated, output))
                inputs = inputs[1], output
            logits = _logits(self.network.classifier, inputs[1].value)
        self._seen = torch.empty_like(logits[:, 0]), torch.empty_like(logits)
        within = [value for cell in self._cells for value in (*cell.raw, *cell.activated, cell.output)]
        sums = [tensor for value in (self._stem, *within) for tensor in (value.value, _gradient(value))]
        for tensor in (*sums, _gradient(self._gates), self._loss.value):
            self._sums[tensor.dtype].append(tensor)

    def __call__(self, batch: Batch, z: Architecture, weights: Sequence[nn.Parameter] | None) -> Differentiated:
        """One pass.

        Args:
            batch: Normalised images and labels.
            z: The path.
            weights: Those that it uses, for the gradient in them; None for that in its gates, which then count.

        Returns:
            Losses, logits and the gradient, in memory of their own.

        Raises:
            Uncapturable: A piece cannot be kept as a graph.
        """
        self._images.value.copy_(batch[0])
        self._labels.copy_(batch[1])
        gated = weights is None
        if gated:
            self._gates.value.copy_(sent(z.gates.detach(), self._device))
        for sums in self._sums.values():
            torch._foreach_zero_(sums)
        path = self._path(z, gated)
        for piece in path:
            piece.forward()
        for piece in reversed(path):
            piece.backward()
        asked = [_gradient(self._gates)] if weights is None else [self._weights[weight] for weight in weights]
        losses, logits, *gradient = copies([*self._seen, *asked])
        return Differentiated(losses, logits, tuple(gradient))

    def _path(self, z: Architecture, gated: bool) -> list[Piece]:
        """The pieces of a path, in order."""
        which = gated, z.operations, z.edges
        if self._latest[0] != which:
            network, last = self.network, self._cells[-1].output
            stem, head = partial(_stem, network.stem), partial(_head, network.classifier, self._labels, self._seen)
            path = [self._piece(_Part(("stem",), stem, [self._images], self._stem, network.stem), gated)]
            for index, cell in enumerate(self._search_cells()):
                path += [self._piece(part, gated) for part in self._of_cell(index, cell, z, gated)]
            path.append(self._piece(_Part(("head",), head, [last], self._loss, network.classifier), gated))
            self._latest = which, path
        return self._latest[1]

    def _of_cell(self, index: int, cell: SearchCell, z: Architecture, gated: bool) -> list[_Part]:
        """The parts of a cell on a path, in the order in which ``SearchCell.forward`` runs them."""
        values, parts, activated = self._cells[index], [], set()
        for which, module in enumerate((cell.preprocess0, cell.preprocess1)):
            run, read = partial(after_relu, module), self._read(values.inputs[which], gated)
            parts.append(_Part((index, "input", which), run, [read], values.raw[which], module))
        for edge, operation, gate in cell.paths(z, gated):
            source, target = cell.edge_list[edge]
            primitive, read = cell.primitive(edge, operation), values.raw[source]
            if begins_with_relu(primitive):
                read = values.activated[source]
                if source not in activated:
                    activated.add(source)
                    parts.append(_Part((index, "relu", source), _relu, [self._read(values.raw[source], gated)], read))
            read = self._read(read, gated)
            reads = [read] if gate is None else [read, self._gate(int(cell.reduction), edge)]
            run = partial(_run_edge, primitive)
            parts.append(_Part((index, "edge", edge), run, reads, values.raw[target], primitive, operation))
        ends = _concatenated if index + 1 == len(self._cells) else _activated
        return [*parts, _Part((index, "output"), ends, values.raw[2:], values.output)]

    def _piece(self, part: _Part, gated: bool) -> Piece:
        """The piece of a part, which is made once for each of both kinds of gradients."""
        key = gated, part.place, part.operation
        if key not in self._pieces:
            weights = [] if part.module is None else list(part.module.parameters())
            run = partial(_run, part.run, weights if gated else [], self._device, self.amp)
            places = {} if gated else {w: self._weights.setdefault(w, torch.empty_like(w)) for w in weights}
            kept = self._kept[part.place]
            self._pieces[key] = Piece(run, part.reads, part.writes, places, kept, self.recorders)
        return self._pieces[key]

    def _gate(self, cell: int, edge: int) -> Value:
        return Value(self._gates.value[cell, edge], _gradient(self._gates)[cell, edge])

    def _read(self, value: Value, gated: bool) -> Value:
        """A value as a piece reads it: without a gradient where nobody asks for it, since no gate stands before it."""
        return Value(value.value) if gated and id(value) in self._before_gates else value

    def _search_cells(self) -> list[SearchCell]:
        return cast(list[SearchCell], list(self.network.cells))


def _gradient(value: Value) -> Tensor:
    assert value.gradient is not None
    return value.gradient


def _autocast(device: torch.device, amp: bool) -> AbstractContextManager[object]:
    if not amp:
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)  # each piece casts by itself


# What pieces run knows nothing of who keeps them: graphs are freed with their owner, and need no collector for that.


def _run(
    run: Callable[..., Tensor], fixed: Sequence[nn.Parameter], device: torch.device, amp: bool, *read: Tensor
) -> Tensor:
    """In the precision that is wanted, without gradients in some weights."""
    with _autocast(device, amp), frozen(fixed):
        return run(*read)


def _stem(stem: nn.Module, images: Tensor) -> Tensor:
    return F.relu(stem(channels_last(images)))


def _logits(classifier: nn.Module, output: Tensor) -> Tensor:
    logits: Tensor = classifier(output.mean((2, 3)))
    return logits.float() if logits.dtype == torch.bfloat16 else logits


def _head(classifier: nn.Module, labels: Tensor, seen: tuple[Tensor, Tensor], output: Tensor) -> Tensor:
    """The mean loss; single losses and logits are set down on the way."""
    logits = _logits(classifier, output)
    losses = F.cross_entropy(logits, labels, reduction="none")
    for kept, found in zip(seen, (losses, logits), strict=True):
        kept.copy_(found.detach())
    return losses.mean()


def _relu(x: Tensor) -> Tensor:
    return F.threshold(x, 0.0, 0.0)  # a ReLU whose backward pass needs x, which stays, and not what it gives


def _run_edge(primitive: nn.Module, x: Tensor, gate: Tensor | None = None) -> Tensor:
    return run_primitive(primitive, x, gate)


def _concatenated(*nodes: Tensor) -> Tensor:
    return torch.cat(nodes, 1)


def _activated(*nodes: Tensor) -> Tensor:
    return F.relu(torch.cat(nodes, 1))
