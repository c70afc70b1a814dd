"""Limits of what found networks cost: a term of the objective of alpha and beta, and what the derivation keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from daas.errors import BadInput
from daas.search.budget.table import CostTable
from daas.search.budget.trained import TrainedNetwork
from daas.search.budget.words import cost_words
from daas.search.spaces.cells import NONE, ArchitectureDistribution
from daas.search.spaces.derivation import Limits, smallest

SKIP = "skip_connect"


@dataclass(frozen=True)
class Budget:
    """What the networks of a search may cost.

    Attributes:
        network: Of which the limits speak.
        tables: By kind of cost; at least those that are limited.
        limits: By kind: a number of parameters, of multiply-adds, or of nanoseconds.
        weight: Of the term.
    """

    network: TrainedNetwork
    tables: Mapping[str, CostTable]
    limits: Mapping[str, int]
    weight: float

    def penalty(self, cells: ArchitectureDistribution) -> Tensor:
        """The sum over the limits of weight * max(0, log(expected cost / limit)), a scalar with its graph.

        The expected cost is that of the cells that are sampled, exactly: costs add up over edges, an edge is chosen
        with its probability under beta (two per node, without replacement), its operation with its probability under
        alpha. The temperature of the Gumbel-softmax changes neither.
        """
        inclusion, choice = cells.inclusion(), cells.choice()
        ratios = [self.tables[kind].expected(inclusion, choice) / limit for kind, limit in self.limits.items()]
        return self.weight * torch.stack(ratios).log().clamp_min(0).sum()

    def gradient(self, cells: ArchitectureDistribution) -> dict[Tensor, Tensor]:
        """Of the term, by parameter; empty where the expected cost is within all limits."""
        parameters: list[Tensor] = list(cells.parameters())
        with torch.enable_grad():
            term = self.penalty(cells)
        if not float(term.detach()):
            return {}
        found = torch.autograd.grad(term, parameters, materialize_grads=True)
        return dict(zip(parameters, found, strict=True))


def limit_cells(cells: ArchitectureDistribution, budget: Budget | None, max_skips: int | None) -> None:
    """Makes the derivation keep the limits.

    Raises:
        BadInput: The smallest network of the space is larger than a limit, or none keeps all of them.
    """
    kinds = [] if budget is None else list(budget.limits)
    shape = (0, *cells.alpha.shape)
    skip = cells.primitives.index(SKIP) if SKIP in cells.primitives else None
    if budget is not None:
        costs = torch.stack([budget.tables[kind].parts for kind in kinds])
        most = tuple(budget.limits[kind] - budget.tables[kind].base for kind in kinds)
        limits = Limits(costs, most, max_skips, skip)
        _check_smallest(cells, budget, limits)
    else:
        limits = Limits(torch.zeros(shape, dtype=torch.int64), (), max_skips, skip)
    cells.limit(limits)


def _check_smallest(cells: ArchitectureDistribution, budget: Budget, limits: Limits) -> None:
    allowed = torch.tensor([name != NONE for name in cells.primitives])
    least = {
        kind: budget.tables[kind].base + smallest(budget.tables[kind].parts, allowed, cells.node_edges, limits)
        for kind in budget.limits
    }
    too_small = [kind for kind, limit in budget.limits.items() if least[kind] > limit]
    if too_small:
        raise BadInput(_refusal(budget, least, too_small))


def _refusal(budget: Budget, least: Mapping[str, int], kinds: Sequence[str]) -> str:
    asked = " and ".join(f"{FLAGS[kind]} {cost_words(kind, budget.limits[kind])}" for kind in kinds)
    possible = " and ".join(cost_words(kind, least[kind]) for kind in kinds)
    return (
        f"No network of this space fits {asked}: the smallest possible has {possible} (of {budget.network}, which is "
        "what would be trained). Raise the limit, or take a smaller network (--channels, --layers; the paper's presets "
        "train at the paper's size)."
    )


FLAGS = {"params": "--max-params", "macs": "--max-macs", "latency": "--max-latency"}
"""The options that limit each kind of cost."""
