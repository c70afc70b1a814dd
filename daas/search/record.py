"""What a search writes down: one line of metrics per epoch, and the summary at the end."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from daas.augment.space import OPERATION_NAMES
from daas.models.genotype import Genotype
from daas.search.architecture import CELL_TYPES
from daas.search.state import Search

SUMMARY_FORMAT = "daas-search-summary/1"


def distributions(search: Search) -> dict[str, Any]:
    """Where the distributions stand: probabilities, entropies, shares; keys only for what is searched."""
    values: dict[str, Any] = {"entropy": {}}
    if search.architecture is not None:
        alpha, beta = search.architecture.operation_probabilities(), search.architecture.edge_probabilities()
        values["alpha"] = {name: _rounded(alpha[i]) for i, name in enumerate(CELL_TYPES)}
        values["beta"] = {name: _rounded(beta[i]) for i, name in enumerate(CELL_TYPES)}
        values["skip_share"] = skip_share(search.architecture.derive())
        values["entropy"].update(search.architecture.entropy())
    if search.augmentation is not None:
        values["pi"] = _rounded(search.augmentation.pi.detach().softmax(-1))
        share = search.augmentation.operation_share().tolist()
        values["operation_share"] = dict(zip(OPERATION_NAMES, share, strict=True))
        values["entropy"].update(search.augmentation.entropy())
    return values


def skip_share(genotype: Genotype, cell: str = "both") -> float:
    """The share of a genotype's edges that are skip connections, in one cell or both."""
    nodes = {"normal": genotype.normal, "reduce": genotype.reduce, "both": genotype.normal + genotype.reduce}[cell]
    edges = [primitive for node in nodes for primitive, _ in node]
    return edges.count("skip_connect") / len(edges)


def plain_warnings(search: Search, facts: dict[str, Any], warmed_up_only: bool) -> list[str]:
    """What a user should know before trusting the result, in plain words."""
    found = []
    if search.architecture is not None:
        genotype = search.architecture.derive()
        for cell in CELL_TYPES:
            share = skip_share(genotype, cell)
            if share >= 0.5:
                found.append(
                    f"{share:.0%} of the {cell} cell's edges are skip connections. This is the known collapse of "
                    "differentiable search: the network is shallow and usually weak. Try another --seed, fewer "
                    "--epochs, or a smaller --arch-lr."
                )
    if search.augmentation is not None:
        entropy = search.augmentation.entropy()
        if warmed_up_only:
            found.append("The run ended in the warm-up: the policy has not learned anything yet and is uniform.")
        elif entropy["pi"] > 0.999:
            found.append(
                "The policy has hardly moved from uniform: its gradient found no signal. More --epochs, a larger "
                "--aug-lr or more validation images would be needed."
            )
    counts = [count for count in facts["class_counts"] if count]
    if max(counts) > 10 * min(counts):
        found.append(
            f"The classes are imbalanced: {max(counts)} training images in the largest, {min(counts)} in the smallest."
        )
    if facts["skipped"]:
        found.append(f"{facts['skipped']} images could not be read and were left out.")
    return found


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("timm-daas", "torch", "torchvision", "timm", "kornia"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Appends one JSON line and flushes it to the disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def keep_lines(path: Path, last_step: int) -> None:
    """Drops the lines after a checkpoint, also one that was cut off, so that a resumed run continues them."""
    kept = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break
            if line["step"] <= last_step:
                kept.append(text + "\n")
    write_text(path, "".join(kept))


def write_text(path: Path, text: str) -> None:
    """Writes a file in one piece: aside, then renamed."""
    aside = path.with_name(path.name + ".part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _rounded(values: Tensor) -> Any:
    return [[round(v, 5) for v in row] if isinstance(row, list) else round(row, 5) for row in values.tolist()]
