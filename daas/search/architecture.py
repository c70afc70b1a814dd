"""The distribution over cells: alpha weighs operations, beta weighs edges; Gumbel-softmax samples (eq. 10, 11)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from daas.models.genotype import Genotype
from daas.models.primitives import DARTS_PRIMITIVES
from daas.search.gumbel import gumbel

CELL_TYPES = ("normal", "reduce")


def cell_edges(nodes: int) -> tuple[tuple[int, int], ...]:
    """All edges of a cell as (input, node), ordered by node, then input; inputs 0 and 1 are the cell's own."""
    return tuple((source, node) for node in range(2, 2 + nodes) for source in range(node))


@dataclass(frozen=True)
class Architecture:
    """One sampled architecture z: two inputs per node, one operation on each of these edges.

    Attributes:
        operations: Per cell type, the operation index of each edge, length E; only sampled edges matter.
        edges: Per cell type, the indices of the sampled edges, two per node.
        gates: [2, E], ones that carry the gradient of the relaxed sample (straight-through): the product of the
            sampled entry of A (eq. 10) and of B (eq. 11). Without gradient where the sample was drawn without.
    """

    operations: tuple[tuple[int, ...], tuple[int, ...]]
    edges: tuple[tuple[int, ...], tuple[int, ...]]
    gates: Tensor


def straight_through(relaxed: Tensor) -> Tensor:
    """Ones with the gradient of ``relaxed``: the forward value is exactly 1."""
    return 1.0 + (relaxed - relaxed.detach())


class ArchitectureDistribution(nn.Module):
    """p(z; alpha, beta), with the paper's verbs: ``sample``, ``derive``; the gates of a sample carry its gradient.

    Args:
        nodes: Intermediate nodes per cell.
        primitives: Candidate operations of an edge.
        generator: Draws the start, which is uniform up to normal noise of 1e-3 (as in DARTS).
    """

    def __init__(
        self,
        nodes: int = 4,
        primitives: Sequence[str] = DARTS_PRIMITIVES,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.nodes = nodes
        self.primitives = tuple(primitives)
        self.edge_list = cell_edges(nodes)
        edges = len(self.edge_list)
        self.alpha = nn.Parameter(1e-3 * torch.randn(2, edges, len(self.primitives), generator=generator))
        self.beta = nn.Parameter(1e-3 * torch.randn(2, edges, generator=generator))
        mask = torch.full((nodes, edges), -math.inf)
        for index, (_, node) in enumerate(self.edge_list):
            mask[node - 2, index] = 0.0
        self.register_buffer("node_mask", mask, persistent=False)
        self.node_mask: Tensor

    def sample(self, generator: torch.Generator, temperature: float) -> Architecture:
        """Draws one architecture by the Gumbel trick.

        Args:
            generator: Source of the Gumbel noise.
            temperature: tau of eq. 10 and 11; it scales gradients, never the sampled architecture.

        Returns:
            z with differentiable gates.
        """
        relaxed_a = ((self.alpha.log_softmax(-1) + gumbel(self.alpha, generator)) / temperature).softmax(-1)
        operation = relaxed_a.detach().argmax(-1)
        gate_a = straight_through(relaxed_a.gather(-1, operation.unsqueeze(-1)).squeeze(-1))

        logits_b = (self._log_beta() + gumbel(self.beta, generator)) / temperature
        relaxed_b = self._per_node(logits_b).softmax(-1)  # [2, nodes, E], zero outside the node's own edges
        two = self._per_node(logits_b.detach()).topk(2, dim=-1).indices.sort(-1).values  # [2, nodes, 2]
        gate_b = straight_through(relaxed_b.sum(1))
        return Architecture(_tuples(operation), _tuples(two.flatten(1)), gate_a * gate_b)

    def operation_probabilities(self) -> Tensor:
        """Softmax of alpha: [2, E, operations]."""
        return self.alpha.detach().softmax(-1)

    def edge_probabilities(self) -> Tensor:
        """Softmax of beta over the edges that enter the same node: [2, E]."""
        return self._log_beta().detach().exp()

    def derive(self, name: str = "searched", source: str = "daas search") -> Genotype:
        """The two best edges of each node by beta and the best operation of each by alpha (section 4.5)."""
        best = self.alpha.detach().argmax(-1)
        two = self._per_node(self.beta.detach()).topk(2, dim=-1).indices.sort(-1).values
        cells = []
        for cell in range(2):
            cells.append(
                tuple(
                    tuple((self.primitives[int(best[cell, edge])], self.edge_list[edge][0]) for edge in node.tolist())
                    for node in two[cell]
                )
            )
        concat = tuple(range(2, 2 + self.nodes))
        return Genotype(
            name=name, source=source, normal=cells[0], normal_concat=concat, reduce=cells[1], reduce_concat=concat
        )

    def derived_architecture(self) -> Architecture:
        """The derived cells as a path through the supernet."""
        two = self._per_node(self.beta.detach()).topk(2, dim=-1).indices.sort(-1).values
        return Architecture(
            _tuples(self.alpha.detach().argmax(-1)), _tuples(two.flatten(1)), torch.ones_like(self.beta)
        )

    def entropy(self) -> dict[str, float]:
        """Mean entropy of the choices behind alpha and beta, 1 where uniform and 0 where decided."""
        operations = self.operation_probabilities()
        alpha = -(operations * operations.clamp_min(1e-30).log()).sum(-1).mean() / math.log(len(self.primitives))
        edges = self.edge_probabilities()
        per_node = -(self.node_mask.exp() * (edges * edges.clamp_min(1e-30).log()).unsqueeze(1)).sum(-1)
        largest = self.node_mask.exp().sum(-1).log()
        return {"alpha": float(alpha), "beta": float((per_node / largest).mean())}

    def _per_node(self, edge_values: Tensor) -> Tensor:
        """[2, E] -> [2, nodes, E], minus infinity at edges of other nodes."""
        return edge_values.unsqueeze(1) + self.node_mask

    def _log_beta(self) -> Tensor:
        """Log of eq. 11's normalised beta: log-softmax over the edges that enter the same node, [2, E]."""
        normaliser = self._per_node(self.beta).logsumexp(-1)  # [2, nodes]
        return self.beta - normaliser @ self.node_mask.exp()


def _tuples(pair: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    normal, reduce = pair.tolist()
    return tuple(normal), tuple(reduce)
