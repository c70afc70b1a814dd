"""What every operation on every edge adds to a network: parameters and multiply-adds, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from daas.models import Genotype
from daas.models.cell import Cell
from daas.models.primitives import build_primitive
from daas.models.table import multiply_adds
from daas.search.budget.trained import TrainedNetwork
from daas.search.spaces.cells import NONE, cell_edges


@dataclass(frozen=True)
class CostTable:
    """One kind of cost of all networks of a space: that of a network is ``base`` plus that of its edges.

    Attributes:
        kind: ``params``, ``macs`` or ``latency`` (nanoseconds).
        base: What all of them have: stem, the convolutions in front of each cell, classifier.
        parts: [2, E, O] int64, by cell type, edge and candidate; over all cells of the type. Zero for ``none``.
        primitives: The candidates.
    """

    kind: str
    base: int
    parts: Tensor
    primitives: tuple[str, ...]

    def of(self, genotype: Genotype) -> int:
        """The cost of a network with these cells."""
        edges = cell_edges(len(genotype.normal))
        return self.base + sum(
            int(self.parts[cell, edges.index((source, target)), self.primitives.index(name)])
            for cell, nodes in enumerate((genotype.normal, genotype.reduce))
            for target, node in enumerate(nodes, start=2)
            for name, source in node
        )

    def expected(self, inclusion: Tensor, choice: Tensor) -> Tensor:
        """The mean cost of sampled cells, with the graph of the probabilities.

        Args:
            inclusion: [2, E], the probability that an edge is chosen.
            choice: [2, E, O], of each operation on it.
        """
        return self.base + (inclusion.unsqueeze(-1) * choice * self.parts.to(choice)).sum()


@dataclass(frozen=True)
class Place:
    """Where an edge's operation stands in a network.

    Attributes:
        cell: 0 in a normal cell, 1 in a reduction cell.
        edge: Its number.
        channels: Of its input and output.
        stride: 1 or 2.
        side: Of its input, in pixels.
    """

    cell: int
    edge: int
    channels: int
    stride: int
    side: int


def places(network: TrainedNetwork, nodes: int) -> list[Place]:
    """Every edge of every cell, read off a network that has them all."""
    with torch.device("meta"):
        made = network.create(_every_edge(nodes))
    found: list[Place] = []
    reductions = (network.layers // 3, 2 * network.layers // 3)

    def note(cell: int, edge: int) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            side, after = inputs[0].shape[-1], output.shape[-1]
            found.append(Place(cell, edge, inputs[0].shape[1], 1 if side == after else 2, side))

        return hook

    for layer, module in enumerate(made.get_submodule("cells").children()):
        assert isinstance(module, Cell)
        for edge in range(len(cell_edges(nodes))):
            module.edges[str(edge)].register_forward_hook(note(int(layer in reductions), edge))  # type: ignore[arg-type]  # a hook's own types are wider
    with torch.no_grad():
        made.eval()(torch.zeros(1, 3, network.image_size, network.image_size, device="meta"))
    return found


def _every_edge(nodes: int, primitive: str = "sep_conv_3x3") -> Genotype:
    cell = tuple(tuple((primitive, source) for source in range(node)) for node in range(2, 2 + nodes))
    concat = tuple(range(2, 2 + nodes))
    return Genotype("every edge", "", cell, concat, cell, concat)


def reference(nodes: int, primitives: Sequence[str], turn: int = 0) -> Genotype:
    """Cells of the space with its candidates in turn: two edges per node, from the last two states."""
    names = [name for name in primitives if name != NONE]
    row = iter(names[(turn + index) % len(names)] for index in range(4 * nodes))

    def cell(take: Iterator[str]) -> tuple[tuple[tuple[str, int], ...], ...]:
        return tuple(((next(take), node - 2), (next(take), node - 1)) for node in range(2, 2 + nodes))

    concat = tuple(range(2, 2 + nodes))
    return Genotype("reference", "", cell(row), concat, cell(row), concat)


def count_tables(network: TrainedNetwork, nodes: int, primitives: Sequence[str]) -> dict[str, CostTable]:
    """``params`` and ``macs`` of every network that a search can find; nothing is computed but sizes."""
    edges = len(cell_edges(nodes))
    parts = {kind: torch.zeros(2, edges, len(primitives), dtype=torch.int64) for kind in ("params", "macs")}
    known: dict[tuple[str, int, int, int], tuple[int, int]] = {}
    for place in places(network, nodes):
        for index, name in enumerate(primitives):
            if name == NONE:
                continue
            key = (name, place.channels, place.stride, place.side)
            if key not in known:
                known[key] = _count(*key)
            for kind, value in zip(("params", "macs"), known[key], strict=True):
                parts[kind][place.cell, place.edge, index] += value
    whole = network.counts(reference(nodes, primitives))
    tables = {kind: CostTable(kind, 0, part, tuple(primitives)) for kind, part in parts.items()}
    return {
        kind: CostTable(kind, whole[kind] - table.of(reference(nodes, primitives)), table.parts, table.primitives)
        for kind, table in tables.items()
    }


def _count(name: str, channels: int, stride: int, side: int) -> tuple[int, int]:
    with torch.device("meta"):
        made = build_primitive(name, channels, stride)
    params = sum(parameter.numel() for parameter in made.parameters())
    return params, multiply_adds(made, (channels, side, side))
