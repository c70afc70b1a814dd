"""The distribution over cells: alpha weighs operations, beta weighs edges; samples by Gumbel-softmax, or mixtures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from daas.models.genotype import Genotype
from daas.models.primitives import DARTS_PRIMITIVES
from daas.search.spaces.gumbel import gumbel

CELL_TYPES = ("normal", "reduce")
ArchEstimator = Literal["gumbel", "gdas", "darts"]
NONE = "none"
"""The primitive whose output is zero: a candidate of the search at most, never part of a genotype."""
PRIMITIVE_SETS: dict[str, tuple[str, ...]] = {"paper": DARTS_PRIMITIVES, "darts": (*DARTS_PRIMITIVES, NONE)}
"""Candidate operations by name: the paper's seven, and DARTS's eight."""


def cell_edges(nodes: int) -> tuple[tuple[int, int], ...]:
    """All edges of a cell as (input, node), ordered by node, then input; inputs 0 and 1 are the cell's own."""
    return tuple((source, node) for node in range(2, 2 + nodes) for source in range(node))


@dataclass(frozen=True)
class Architecture:
    """One sampled architecture z: some edges, and one operation on each of them.

    Attributes:
        operations: Per cell type, the operation index of each edge, length E; only sampled edges matter.
        edges: Per cell type, the indices of the sampled edges in ascending order: two per node, or all (GDAS).
        gates: [2, E], ones that carry the gradient of the relaxed sample (straight-through): the product of the
            sampled entry of A (eq. 10) and of B (eq. 11). Without gradient where the sample was drawn without.
    """

    operations: tuple[tuple[int, ...], tuple[int, ...]]
    edges: tuple[tuple[int, ...], tuple[int, ...]]
    gates: Tensor


@dataclass(frozen=True)
class Mixture:
    """Every operation on every edge, weighted (DARTS, Liu et al., ICLR 2019, eq. 2).

    Attributes:
        gates: [2, E, operations], softmax of alpha, with its graph.
    """

    gates: Tensor


Path = Architecture | Mixture


def straight_through(relaxed: Tensor) -> Tensor:
    """Ones with the gradient of ``relaxed``: the forward value is exactly 1."""
    return 1.0 + (relaxed - relaxed.detach())


class ArchitectureDistribution(nn.Module):
    """p(z; alpha, beta), with the paper's verbs: ``sample``, ``derive``; the gates of a sample carry its gradient.

    Args:
        nodes: Intermediate nodes per cell.
        primitives: Candidate operations of an edge.
        generator: Draws the start, which is uniform up to normal noise of 1e-3 (as in DARTS).
        estimator: ``gumbel``: two edges per node, one operation on each (eq. 10, 11). ``gdas``: one operation on every
            edge (Dong and Yang, CVPR 2019). ``darts``: all of them, weighted. The last two have no beta: an edge is as
            strong as its best operation.
    """

    def __init__(
        self,
        nodes: int = 4,
        primitives: Sequence[str] = DARTS_PRIMITIVES,
        generator: torch.Generator | None = None,
        estimator: ArchEstimator = "gumbel",
    ) -> None:
        super().__init__()
        self.nodes = nodes
        self.primitives = tuple(primitives)
        self.estimator = estimator
        self.edge_list = cell_edges(nodes)
        edges = len(self.edge_list)
        self.alpha = nn.Parameter(1e-3 * torch.randn(2, edges, len(self.primitives), generator=generator))
        if estimator == "gumbel":
            self.beta = nn.Parameter(1e-3 * torch.randn(2, edges, generator=generator))
        mask = torch.full((nodes, edges), -math.inf)
        for index, (_, node) in enumerate(self.edge_list):
            mask[node - 2, index] = 0.0
        self.register_buffer("node_mask", mask, persistent=False)
        self.node_mask: Tensor

    def sample(self, generator: torch.Generator, temperature: float) -> Path:
        """Draws one architecture by the Gumbel trick; with ``darts``, the mixture.

        Args:
            generator: Source of the Gumbel noise.
            temperature: tau of eq. 10 and 11; it scales gradients, never the sampled architecture.

        Returns:
            z with differentiable gates.
        """
        if self.estimator == "darts":
            return Mixture(self.alpha.softmax(-1))
        relaxed_a = ((self.alpha.log_softmax(-1) + gumbel(self.alpha, generator)) / temperature).softmax(-1)
        operation = relaxed_a.detach().argmax(-1)
        gate_a = straight_through(relaxed_a.gather(-1, operation.unsqueeze(-1)).squeeze(-1))
        if self.estimator == "gdas":
            every = tuple(range(len(self.edge_list)))
            return Architecture(_tuples(operation), (every, every), gate_a)

        logits_b = (self._log_beta() + gumbel(self.beta, generator)) / temperature
        relaxed_b = self._per_node(logits_b).softmax(-1)  # [2, nodes, E], zero outside the node's own edges
        two = self._two_best(logits_b.detach())
        gate_b = straight_through(relaxed_b.sum(1))
        return Architecture(_tuples(operation), _tuples(two.flatten(1)), gate_a * gate_b)

    @torch.no_grad()
    def operation_probabilities(self) -> Tensor:
        """Softmax of alpha: [2, E, operations]."""
        return self.alpha.softmax(-1)

    @torch.no_grad()
    def edge_probabilities(self) -> Tensor:
        """Share of each edge among those that enter the same node, [2, E]: softmax of beta, or of its strength."""
        if self.estimator == "gumbel":
            return self._log_beta().exp()
        strength = self._strength()
        return strength / (strength @ self.node_mask.exp().T @ self.node_mask.exp())

    def derive(self, name: str = "searched", source: str = "daas search") -> Genotype:
        """The two best edges of each node and the best operation of each by alpha, never ``none`` (section 4.5).

        Edges go by beta; where there is none, by the probability of their best operation (as in DARTS and GDAS).
        """
        best, two = self._best()
        cells = [
            tuple(
                tuple((self.primitives[int(best[cell, edge])], self.edge_list[edge][0]) for edge in node.tolist())
                for node in two[cell]
            )
            for cell in range(2)
        ]
        concat = tuple(range(2, 2 + self.nodes))
        return Genotype(
            name=name, source=source, normal=cells[0], normal_concat=concat, reduce=cells[1], reduce_concat=concat
        )

    def derived_architecture(self) -> Architecture:
        """The derived cells as a path through the supernet."""
        best, two = self._best()
        gates = torch.ones(best.shape, dtype=self.alpha.dtype, device=self.alpha.device)
        return Architecture(_tuples(best), _tuples(two.flatten(1)), gates)

    @torch.no_grad()
    def _best(self) -> tuple[Tensor, Tensor]:
        """Best operation of each edge [2, E], and the two best edges of each node [2, nodes, 2]."""
        edges = self.beta if self.estimator == "gumbel" else self._strength()
        return self._without_none(self.alpha).argmax(-1), self._two_best(edges)

    def _strength(self) -> Tensor:
        return self._without_none(self.operation_probabilities()).amax(-1)

    def _without_none(self, values: Tensor) -> Tensor:
        """[2, E, operations], minus infinity for ``none``."""
        allowed = torch.tensor([name != NONE for name in self.primitives], device=values.device)
        return values.masked_fill(~allowed, -math.inf)

    def _two_best(self, edge_values: Tensor) -> Tensor:
        """[2, E] -> [2, nodes, 2] indices of the two largest among the edges of each node, ascending."""
        return self._per_node(edge_values).topk(2, dim=-1).indices.sort(-1).values

    def entropy(self) -> dict[str, float]:
        """Mean entropy of the choices behind alpha and (if there is one) beta: 1 where uniform, 0 where decided."""
        operations = self.operation_probabilities()
        alpha = -(operations * operations.clamp_min(1e-30).log()).sum(-1).mean() / math.log(len(self.primitives))
        if self.estimator != "gumbel":
            return {"alpha": float(alpha)}
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
