"""``python -m benchmarks.models``: images/s of ``CellNet`` against the most literal implementation of the same network.

Both have the same weights. Contestants take turns; ratios are medians over rounds with their quartiles.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import daas
from benchmarks.literal import LiteralCellNet, copy_weights
from benchmarks.timing import ratio_text, table, take_turns, write

NETWORKS = {
    "darts_v2, C=36, 20 cells": {"channels": 36, "layers": 20},
    "derived form, C=16, 8 cells": {"channels": 16, "layers": 8},
}


def main() -> None:
    options = _options()
    torch.manual_seed(0)
    lines, figures = [], {}
    for title in options.networks:
        size = NETWORKS[title]
        for mode, batch in (("inference", options.inference_batch), ("training", options.training_batch)):
            contestants = _contestants(size, mode, batch, options.compile)
            times = take_turns(contestants, options.rounds)
            figures[f"{title}, {mode}"] = times
            for name, seconds in times.items():
                if name.startswith("literal"):
                    continue
                speed = f"{batch / sorted(seconds)[len(seconds) // 2]:.0f}"
                against = [ratio_text(times[f"literal, {form}"], seconds) for form in _LAYOUTS]
                lines.append([title, mode, name, speed, *against])
    head = ["network", "mode", "ours", "images/s", "literal / ours", "literal, channels_last / ours"]
    command = shlex.join(["python", "-m", "benchmarks.models", *sys.argv[1:]])
    write("models_compiled" if options.compile else "models", command, table(head, lines), figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--inference-batch", type=int, default=32)
    parser.add_argument("--training-batch", type=int, default=16)
    parser.add_argument("--compile", action="store_true", help="all contestants through torch.compile")
    return parser.parse_args()


_LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def _contestants(size: dict[str, int], mode: str, batch: int, compiled: bool) -> dict[str, Callable[[], Any]]:
    """By name, one inference pass or one training step."""
    genotype = daas.Genotype.from_dict(daas.models.find_genotype("darts_v2").to_dict())
    found: dict[str, Callable[[], Any]] = {}
    ours = timm.create_model("daas_cell_cifar", genotype=genotype, **size)
    for form, layout in _LAYOUTS.items():
        literal = LiteralCellNet(genotype, **size)
        copy_weights(ours, literal)
        found[f"literal, {form}"] = _run(literal.to(memory_format=layout), mode, batch, layout, compiled)
    found["CellNet"] = _run(ours, mode, batch, torch.contiguous_format, compiled)
    if mode == "inference":
        fused = timm.create_model("daas_cell_cifar", genotype=genotype, **size)
        copy_weights(ours, fused)
        found["CellNet, fused"] = _run(fused.fuse(), mode, batch, torch.contiguous_format, compiled)
    return found


def _run(network: nn.Module, mode: str, batch: int, layout: torch.memory_format, compiled: bool) -> Callable[[], Any]:
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.arange(batch) % 10
    if mode == "inference":
        call = torch.compile(network.eval()) if compiled else network.eval()
        return partial(_infer, call, images)
    call = torch.compile(network.train()) if compiled else network.train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    return partial(_train, call, images, labels, optimizer)


@torch.no_grad()
def _infer(network: Callable[..., Any], images: torch.Tensor) -> None:
    network(images)


def _train(
    network: Callable[..., Any], images: torch.Tensor, labels: torch.Tensor, optimizer: torch.optim.Optimizer
) -> None:
    optimizer.zero_grad()
    cross_entropy(network(images), labels).backward()
    optimizer.step()


if __name__ == "__main__":
    main()
