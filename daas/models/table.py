"""What each registered model costs, counted, beside what its paper prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from daas.models.zoo import find_genotype, list_genotypes, published
from daas.reading import packaged_json

_STEMS = ("cifar", "imagenet")
_COUNTED = ("channels", "layers", "params", "macs")


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        model: The timm name.
        source: Where the network comes from.
        channels: Of a state in the first cells; None for networks without cells.
        layers: Number of cells; None for networks without cells.
        params: Parameters without an auxiliary head.
        macs: Multiply-adds of convolutions and matrix products, for one image of the model's own size.
        printed: From the paper's table, where it has them: ``params_m`` and ``macs_m`` (millions), ``error`` (CIFAR-10,
            percent) or ``top1`` (ImageNet, percent).
        note: What does not reproduce, and other remarks.
    """

    model: str
    source: str
    channels: int | None
    layers: int | None
    params: int
    macs: int
    printed: Mapping[str, float]
    note: str

    def differing(self) -> list[str]:
        """The printed sizes that the network does not have: ``params_m`` to 0.1, ``macs_m`` to 1 million."""
        counted = {"params_m": (self.params / 1e6, 0.1), "macs_m": (self.macs / 1e6, 1.0)}
        return [
            key for key, (value, unit) in counted.items() if abs(self.printed.get(key, value) - value) >= unit - 1e-9
        ]


@lru_cache
def backbones() -> dict[str, Any]:
    """What papers print about the networks without cells: per model as in ``published``, and a ``source``."""
    found: dict[str, Any] = packaged_json("daas.models", "backbones.json")
    return found


@lru_cache
def recorded() -> dict[str, dict[str, int | None]]:
    """``channels``, ``layers``, ``params`` and ``macs`` of the models that are shipped, as they were counted."""
    found: dict[str, dict[str, int | None]] = packaged_json("daas.models", "counts.json")
    return found


def counts(found: Sequence[Row]) -> dict[str, dict[str, int | None]]:
    """What counts.json holds of rows."""
    return {row.model: {name: getattr(row, name) for name in _COUNTED} for row in found}


def rows(count: bool = False) -> list[Row]:
    """Every model that a genotype or a module of this package registers.

    Args:
        count: Build every one of them on the meta device and count; by default only those that are not shipped.
    """
    cells = {
        f"{genotype}_{stem}": published().get(genotype, {}).get(stem, {})
        for genotype in list_genotypes()
        for stem in _STEMS
    }
    models = {**cells, **backbones()}
    found = []
    for name, printed in tqdm(models.items(), desc="models", disable=None, leave=False):
        counted = _count(name) if count or name not in recorded() else recorded()[name]
        source = printed["source"] if name in backbones() else find_genotype(name.rpartition("_")[0]).source
        found.append(_row(name, source, counted, printed))
    return found


def _row(name: str, source: str, counted: Mapping[str, Any], printed: Mapping[str, Any]) -> Row:
    shown = {key: printed[key] for key in ("params_m", "macs_m", "error", "top1") if key in printed}
    return Row(name, source, **counted, printed=shown, note=printed.get("note", ""))


def _count(name: str) -> dict[str, int | None]:
    """Builds a model on the meta device and counts."""
    with torch.device("meta"):
        model = timm.create_model(name)
    cells = hasattr(model, "genotype")
    return {
        "channels": model.channels if cells else None,
        "layers": len(model.cells) if cells else None,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "macs": multiply_adds(model, model.pretrained_cfg["input_size"]),
    }


def multiply_adds(model: nn.Module, input_size: Sequence[int]) -> int:
    """Multiply-adds of all convolutions and matrix products for one image, in evaluation mode.

    They are counted where PyTorch runs them, whether a module or a function asks for them.

    Args:
        model: On any device; on the meta device nothing is computed.
        input_size: C, H, W.
    """
    own = (tensor for tensor in chain(model.parameters(), model.buffers()) if tensor.is_floating_point())
    training, like = model.training, next(own, torch.empty(0))
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.eval()(torch.zeros(1, *input_size, device=like.device, dtype=like.dtype))
    finally:
        model.train(training)
    return int(counter.get_total_flops()) // 2  # a multiplication and an addition


def markdown(found: Sequence[Row]) -> str:
    """The rows as a Markdown table with aligned columns; a printed size that the network does not have has a ``≠``."""
    head = ("model", "C", "cells", "params M", "printed", "MACs M", "printed", "printed result", "note")
    lines = [head, *(_texts(row) for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    numeric = [1 <= column <= 6 for column in range(len(head))]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]
    out = []
    for line in (lines[0], tuple(rule), *lines[1:]):
        cells = (t.rjust(w) if n else t.ljust(w) for t, w, n in zip(line, widths, numeric, strict=True))
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def _texts(row: Row) -> tuple[str, ...]:
    printed = row.printed
    marks = {key: "≠ " if key in row.differing() else "" for key in printed}
    result = f"{printed['error']:.2f}% error" if "error" in printed else ""
    result = f"{printed['top1']:.1f}% top-1" if "top1" in printed else result
    return (
        row.model,
        "" if row.channels is None else str(row.channels),
        "" if row.layers is None else str(row.layers),
        f"{row.params / 1e6:.2f}",
        marks["params_m"] + f"{printed['params_m']:.1f}" if "params_m" in printed else "",
        f"{row.macs / 1e6:.0f}",
        marks["macs_m"] + f"{printed['macs_m']:.0f}" if "macs_m" in printed else "",
        result,
        row.note,
    )
