"""Limits of the found network, from options to a search that keeps them."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from daas import processes
from daas.checkpoint import fitting, load_latest
from daas.errors import BadInput
from daas.files import digest
from daas.ranges import RANGES, check_range
from daas.search.algorithm.state import State
from daas.search.budget.budget import Budget, limit_cells
from daas.search.budget.latency import LATENCY, Latency, load_latency, measure
from daas.search.budget.table import CostTable, count_tables
from daas.search.budget.trained import TrainedNetwork, trained_network
from daas.search.options import MAX_SKIPS, SearchConfig, options
from daas.search.spaces.cells import ArchitectureDistribution


def limit(
    search: State, config: SearchConfig, image_size: int, classes: int, measured: Latency | None = None
) -> Latency | None:
    """Makes a search keep the limits that its options name.

    Args:
        search: At its start; without cells nothing is limited.
        config: The options.
        image_size: Side in pixels.
        classes: Of all images.
        measured: Times of an earlier part of the run; measured now otherwise, where they are limited.

    Returns:
        The times, where they are limited.

    Raises:
        BadInput: The smallest network of the space is larger than a limit, or none keeps all of them.
    """
    cells = search.architecture
    if cells is None or not (config.cost_limits or config.max_skips is not None):
        return None
    if not config.cost_limits:
        limit_cells(cells, None, config.max_skips)
        return None
    network = trained_network(options(config), image_size, classes)
    tables = count_tables(network, cells.nodes, cells.primitives)
    if "latency" in config.cost_limits:
        measured = measured or _measured(network, cells, config)
        tables["latency"] = measured.table
    search.budget = Budget(network, tables, config.cost_limits, config.cost_weight)
    limit_cells(cells, search.budget, config.max_skips)
    return measured


def _measured(network: TrainedNetwork, cells: ArchitectureDistribution, config: SearchConfig) -> Latency:
    """The times, from the first process alone: nothing runs beside it, and all of them descend along one term."""
    device, shape = processes.local_device(config.device), cells.alpha.shape
    batch, threads = config.latency_batch, config.latency_threads
    told = torch.zeros(2 + shape.numel(), dtype=torch.float64)
    if processes.rank() == 0:
        found = measure(network, cells.nodes, cells.primitives, batch, threads, device)
        told = torch.cat([torch.tensor([found.table.base, found.error]).double(), found.table.parts.double().flatten()])
    told = processes.total(told)
    table = CostTable("latency", int(told[0]), told[2:].round().long().view(shape), cells.primitives)
    return Latency(table, batch, threads, str(device), float(told[1]))


def earlier_latency(config: SearchConfig, source: Path | None) -> Latency | None:
    """The times that a run which goes on has measured at its start; None for a new run.

    Args:
        config: The options.
        source: The checkpoint to go on from.

    Raises:
        BadInput: They are not beside the checkpoint.
    """
    if source is None or config.max_latency is None:
        return None
    path = source.parent / LATENCY
    if not os.path.isfile(path):
        raise BadInput(f"{path} is missing: the times by which the run limits latency. Copy that file too.")
    return load_latency(path)


def skips(config: SearchConfig, source: Path | None) -> int | None:
    """The skip connections that a derived cell has at most: as given, else as the run began, else the preset's.

    Args:
        config: The options.
        source: The checkpoint to go on from; None for a new run.

    Raises:
        BadInput: The checkpoint cannot be read, or holds what no search writes.
    """
    if config.max_skips is not None:
        return config.max_skips
    if source is None:
        return MAX_SKIPS.get(config.preset)
    latest = load_latest(source)
    with fitting(latest.path):
        began: int | None = latest.meta["options"].get("max_skips")
        check_range("max_skips", began, RANGES["max_skips"])
    return began


def hashed(latency: Latency | None) -> dict[str, str]:
    """What a checkpoint notes of the times."""
    return {} if latency is None else {"times": digest(latency.to_dict())}
