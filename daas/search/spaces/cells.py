"""The distribution over cells: alpha weighs operations, beta weighs edges; samples by Gumbel-softmax, or mixtures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from daas.errors import BadInput
from daas.models.genotype import Genotype
from daas.models.primitives import DARTS_PRIMITIVES
from daas.search.spaces.derivation import Choice, Limits, most_probable
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

    Attributes:
        limits: What derived cells may have; None for anything.
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
        self.limits: Limits | None = None
        self._known: tuple[Tensor, Choice] | None = None  # within limits, for these scores
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

    def inclusion(self) -> Tensor:
        """The probability that an edge is one of the two of its node, [2, E], with its graph.

        Two edges are drawn without replacement: edge i comes first with its share p_i, or second, after j, with
        p_j p_i / (1 - p_j). Where there is no beta, the share of an edge is that of its strength.
        """
        logits = self.beta if self.estimator == "gumbel" else self._log_strength()
        share = self._per_node(logits).softmax(-1).sum(1)
        same = (self.node_mask == 0).double()
        others = ((same.T @ same) > 0) & ~torch.eye(len(self.edge_list), dtype=torch.bool, device=logits.device)
        rest = logits.unsqueeze(1).masked_fill(~others, -math.inf).logsumexp(-1)  # [2, E], log of 1 - p_j, unnormalised
        second = (logits.unsqueeze(1) - rest.unsqueeze(2)).masked_fill(~others, -math.inf).exp()  # [2, j, i]
        return share + (share.unsqueeze(2) * second).sum(1)

    def choice(self) -> Tensor:
        """The probability of each operation that a cell may have, ``none`` left out: [2, E, operations], with graph."""
        return self._without_none(self.alpha).softmax(-1)

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

        Edges go by beta; where there is none, by the probability of their best operation (as in DARTS and GDAS). Where
        these cells do not keep the limits, those do that are the most probable ones within them: the product, over
        the edges, of the edge's share and the operation's probability over that of the edge's best operation. Without
        limits its maximum are the cells above.
        """
        return self.genotype(self.derived_architecture(), name, source)

    def genotype(self, z: Architecture, name: str = "searched", source: str = "daas search") -> Genotype:
        """A path of two edges per node as cells."""
        cells = [
            tuple(
                tuple((self.primitives[z.operations[cell][edge]], self.edge_list[edge][0]) for edge in pair)
                for pair in zip(z.edges[cell][::2], z.edges[cell][1::2], strict=True)
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
    def draw(self, generator: torch.Generator) -> Architecture:
        """Cells as a search may find them, drawn by their probability: two edges per node, no ``none``, no gradient.

        Args:
            generator: Source of the Gumbel noise.
        """
        operations = (self.choice().log() + gumbel(self.alpha, generator)).argmax(-1)
        edges = self.edge_probabilities().log()
        two = self._two_best(edges + gumbel(edges, generator))
        return Architecture(_tuples(operations), _tuples(two.flatten(1)), torch.ones_like(edges))

    def uniform(self) -> ArchitectureDistribution:
        """The same space and limits with every edge and operation as likely as any other."""
        found = ArchitectureDistribution(self.nodes, self.primitives, torch.Generator().manual_seed(0), self.estimator)
        found.limits = self.limits
        with torch.no_grad():
            for parameter in found.parameters():
                parameter.zero_()
        return found.to(self.alpha.device)

    def within(self, z: Architecture) -> bool:
        """Whether a path of two edges per node keeps the limits."""
        return self.limits is None or self.limits.fit(
            tuple(tuple((edge, z.operations[cell][edge]) for edge in z.edges[cell]) for cell in range(2))
        )

    @torch.no_grad()
    def _best(self) -> tuple[Tensor, Tensor]:
        """Best operation of each edge [2, E], and the two best edges of each node [2, nodes, 2], within the limits."""
        edges = self.beta if self.estimator == "gumbel" else self._strength()
        best, two = self._without_none(self.alpha).argmax(-1), self._two_best(edges)
        if self.limits is None or self.limits.fit(_choice(best, two)):
            return best, two
        chosen = torch.tensor(self._within(self.limits), device=best.device)  # [2, 2 * nodes, (edge, operation)]
        best = best.scatter(1, chosen[..., 0], chosen[..., 1])
        return best, chosen[..., 0].view(2, self.nodes, 2)

    def _within(self, limits: Limits) -> Choice:
        """The most probable cells that keep the limits."""
        scores = self.scores().cpu()
        if self._known is None or not torch.equal(self._known[0], scores):
            found = most_probable(scores, self.node_edges, limits)
            assert found is not None  # limits that nothing keeps are refused where they are set
            self._known = scores, found
        return self._known[1]

    @torch.no_grad()
    def scores(self) -> Tensor:
        """Log of an edge's share times the operation's probability over that of its best one: [2, E, operations]."""
        operations = self._without_none(self.alpha.double()).log_softmax(-1)
        edges = self.beta.double() if self.estimator == "gumbel" else self._log_strength()
        share = self._per_node(edges).log_softmax(-1).amax(1)
        return share.unsqueeze(-1) + operations - operations.amax(-1, keepdim=True)

    @property
    def node_edges(self) -> tuple[tuple[int, ...], ...]:
        """The edges that enter each node."""
        return tuple(
            tuple(index for index, (_, target) in enumerate(self.edge_list) if target == node)
            for node in range(2, 2 + self.nodes)
        )

    def limit(self, limits: Limits) -> None:
        """Sets the limits of derived cells.

        Raises:
            BadInput: No cells keep all of them.
        """
        alike = self._without_none(torch.zeros(self.alpha.shape, dtype=torch.float64))
        if most_probable(alike, self.node_edges, limits) is None:
            raise BadInput("No cells keep all limits together. Raise one of them.")
        self.limits, self._known = limits, None

    def _strength(self) -> Tensor:
        return self._without_none(self.alpha.softmax(-1)).amax(-1)

    def _log_strength(self) -> Tensor:
        """In float64: it stays finite where ``none`` has all of the probability."""
        return self._without_none(self.alpha.double().log_softmax(-1)).amax(-1)

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


def _choice(best: Tensor, two: Tensor) -> Choice:
    edges = two.flatten(1).tolist()
    return tuple(tuple((edge, int(best[cell, edge])) for edge in edges[cell]) for cell in range(2))


def _tuples(pair: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    normal, reduce = pair.tolist()
    return tuple(normal), tuple(reduce)
