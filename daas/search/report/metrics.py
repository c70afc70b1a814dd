"""What a search writes down: one line of metrics per epoch, and the summary at the end."""

from __future__ import annotations

import json
import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from daas import files
from daas.search.algorithm.state import State
from daas.search.report.warnings import skip_share
from daas.search.spaces.cells import CELL_TYPES

GO_ON = "The checkpoint is untouched: go on with the same command and --resume auto."
"""What to say where a result could not be written."""
SUMMARY_FORMAT = "daas-search-summary/1"


def distributions(search: State) -> dict[str, Any]:
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
        values["operation_share"] = dict(zip(search.augmentation.names, share, strict=True))
        values["entropy"].update(search.augmentation.entropy())
        if search.augmentation.rate_logit is not None:
            values["apply_rate"] = search.augmentation.rate
    return values


def in_words(line: dict[str, Any]) -> str:
    """An epoch's metrics, for people: one line."""
    fixed = "skip_share" not in line  # then there is one network, which nothing is derived from
    phase = {"joint": "policy"}.get(line["phase"], line["phase"]) if fixed else line["phase"]
    words = [
        f"epoch {line['epoch']:>3} ({phase})  train loss {line['train_loss']:.3f} accuracy "
        f"{line['train_accuracy']:.1f}%  validation loss {line['val_loss']:.3f} accuracy {line['val_accuracy']:.1f}%  "
        f"{'network' if fixed else 'derived'} {line['derived_accuracy']:.1f}%"
    ]
    if "skip_share" in line:
        words.append(f"skips {line['skip_share']:.0%}")
    words += [f"entropy of {name} {line['entropy'][name]:.3f}" for name in ("alpha", "pi") if name in line["entropy"]]
    if "pi" in line.get("policy_signal", {}):
        words.append(f"signal / noise {line['policy_signal']['pi']:.1f}")
    return "  ".join([*words, f"{line['seconds']:.0f} s"])


def pooled(gains: list[dict[str, float]]) -> dict[str, float] | None:
    """Several comparisons of the policy with a uniform one as one: mean, standard error, number."""
    if not gains:
        return None
    count = sum(gain["n"] for gain in gains)
    mean = sum(gain["n"] * gain["mean"] for gain in gains) / count
    variance = sum((gain["n"] * gain["se"]) ** 2 for gain in gains) / count**2
    return {"mean": mean, "se": math.sqrt(variance), "n": count}


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
    """Appends one JSON line and flushes it to the disk.

    Raises:
        BadInput: The disk is full; what was written before is whole.
    """
    files.append_line(path, files.json_text(line, str(path)), GO_ON)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file; what follows one that was cut off is left out."""
    found: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return found


def keep_lines(path: Path, last_step: int) -> list[dict[str, Any]]:
    """Drops the lines after a checkpoint, partial epochs and lines that were cut off; a resumed run continues them.

    Returns:
        The lines that are kept.
    """
    lines = read_lines(path) if os.path.exists(path) else []
    kept = [line for line in lines if line["step"] <= last_step and not line.get("partial")]
    write_lines(path, kept)
    return kept


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Writes a whole metrics file in one piece."""
    files.write_text(path, "".join(files.json_text(line, str(path)) + "\n" for line in lines), GO_ON)


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Writes summary.json."""
    files.write_json(path, summary, GO_ON, indent=2)


def _rounded(values: Tensor) -> Any:
    return [[round(v, 5) for v in row] if isinstance(row, list) else round(row, 5) for row in values.tolist()]
