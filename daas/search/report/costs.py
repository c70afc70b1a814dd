"""What the found network costs once it is trained, and what others cost that the search had before it."""

from __future__ import annotations

from typing import Any

import torch

from daas.search.algorithm.state import State
from daas.search.budget.budget import Budget
from daas.search.budget.latency import Latency
from daas.search.budget.trained import trained_network
from daas.search.budget.words import MILLISECOND
from daas.search.options import SearchConfig, options
from daas.search.report.measures import path_accuracy
from daas.search.runs.build import SearchData
from daas.search.spaces.cells import Architecture
from daas.seeds import generator

_CONSIDERED = 206  # what a random stream is for
_SAMPLES = 32  # networks beside the derived one


def cost(search: State, config: SearchConfig, image_size: int, classes: int, latency: Latency | None) -> dict[str, Any]:
    """``cost`` of the summary: of the network that the printed command trains.

    Args:
        search: With cells.
        config: The options.
        image_size: Side in pixels.
        classes: Of all images.
        latency: Times, where they are limited.

    Returns:
        ``network`` (model, channels, layers, classes, image_size), ``params``, ``macs``, ``limits`` by kind of cost;
        where times were measured, also ``latency_ms`` and how they were measured.
    """
    assert search.architecture is not None
    genotype = search.architecture.derive()
    network = trained_network(options(config), image_size, classes)
    found: dict[str, Any] = {"network": network.to_dict(), **network.counts(genotype), "limits": config.cost_limits}
    if latency is not None:
        found["limits"]["latency_ms"] = found["limits"].pop("latency") / MILLISECOND
        found["latency_ms"] = latency.table.of(genotype) / MILLISECOND
        measured = {"batch": latency.batch, "threads": latency.threads, "device": latency.device}
        found["latency"] = {**measured, "error": latency.error}
    return found


def considered(search: State, budget: Budget, data: SearchData, device: torch.device) -> list[dict[str, Any]]:
    """Networks drawn from the final distribution and the derived one, with the search's weights, on the same images.

    Returns:
        For each its costs, ``val_accuracy`` (percent, on a part of D_val), and whether it is ``chosen``; that one last.
    """
    assert search.architecture is not None
    cells = search.architecture
    drawn: list[Architecture] = [cells.draw(generator(search.seed, _CONSIDERED, n)) for n in range(_SAMPLES)]
    rows: list[dict[str, Any]] = []
    for z in (*drawn, cells.derived_architecture()):
        row: dict[str, Any] = {"chosen": len(rows) == len(drawn)}
        for kind, table in budget.tables.items():
            value = table.of(cells.genotype(z))
            row |= {"latency_ms": value / MILLISECOND} if kind == "latency" else {kind: value}
        rows.append(row | {"val_accuracy": path_accuracy(search, data, device, z)})
    return rows
