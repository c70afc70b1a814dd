"""What a run leaves in its folder: weights as safetensors, and result.json, which says how to build the model."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import timm
import torch
from timm.utils import update_summary
from torch import nn

import daas
from daas import checkpoint
from daas.files import write_json, written
from daas.models import CellNet, Genotype
from daas.models.weights import CLASS_NAMES
from daas.train.augmentation import EpochPolicy
from daas.train.batches import Batches
from daas.train.options import TrainOptions

RESULT_FORMAT = "daas-train-result/1"
BEST, LAST, RESULT = "model_best.safetensors", "last.safetensors", "result.json"
GO_ON = "Then go on with the same command and --resume auto."
"""What to say where a result could not be written."""
METRICS = ("loss", "top1", "top5", "balanced_accuracy")
CHECKPOINT, SUMMARY = "checkpoint.safetensors", "summary.csv"


def save_weights(model: nn.Module, path: Path, class_names: Sequence[str]) -> None:
    """Writes a state dict as safetensors; the names of its outputs are in the header."""
    checkpoint.write_tensors(path, model.state_dict(), {CLASS_NAMES: json.dumps(list(class_names))}, then=GO_ON)


def describe(
    options: TrainOptions,
    model: nn.Module,
    kwargs: Mapping[str, Any],
    batches: Batches,
    policy: EpochPolicy | None,
) -> dict[str, Any]:
    """The part of result.json that is known before the first epoch.

    Args:
        options: The run's.
        model: The network.
        kwargs: Of its constructor.
        batches: Say how images were prepared, how many there are, and what their classes are called.
        policy: What ``--aa daas:`` named.
    """
    genotype = model.genotype.to_dict() if isinstance(model, CellNet) else None
    built_with = {**kwargs, "genotype": genotype} if options.model.startswith("daas_cell_") else dict(kwargs)
    names = batches.class_names
    data = {"name": batches.name, "train_images": batches.train_images, "val_images": batches.val_images}
    data |= batches.facts
    return {
        "format": RESULT_FORMAT,
        "model": options.model,
        "model_kwargs": as_json(built_with),
        "genotype": genotype,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_classes": int(getattr(model, "num_classes", len(names))),
        "class_names": list(names),
        **as_json(batches.transform),
        "aa": options.aa or None,
        "policy": None if policy is None or policy.schedule else policy.transform.policy.to_dict(),
        "policy_schedule": None if policy is None or policy.schedule is None else policy.schedule.to_dict(),
        "data": data,
        "epochs": options.epochs,
        "seed": options.seed,
        "versions": {
            "daas": daas.__version__, "timm": timm.__version__, "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }  # fmt: skip


def write_result(
    folder: Path,
    description: Mapping[str, Any],
    best: Mapping[str, Any],
    last: Mapping[str, Any],
    time: Mapping[str, Any],
) -> None:
    """Writes result.json in one piece.

    Args:
        folder: Of the run.
        description: From ``describe``.
        best: ``epoch`` (from 0), ``loss``, ``top1``, ``top5`` and ``balanced_accuracy`` (percent) of the best
            epoch.
        last: The same of the last one that is finished.
        time: ``seconds`` and what else was measured.
    """
    values = {
        **description,
        "best": {**best, "weights": BEST},
        "last": {**last, "weights": LAST},
        "time": dict(time),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / RESULT, values, GO_ON)


def write_summary(folder: Path, rows: Sequence[Mapping[str, Any]], wandb: bool = False) -> None:
    """Writes summary.csv anew, as timm's ``update_summary`` would have left it.

    Args:
        folder: Of the run.
        rows: Per epoch ``epoch``, ``train``, ``eval`` (None where nothing was validated) and ``lr``.
        wandb: Log the last row to Weights & Biases.
    """
    with written(folder / SUMMARY, GO_ON) as aside:
        aside.unlink(missing_ok=True)
        for row in rows:
            evaluated = row["eval"] or dict.fromkeys(METRICS, "")
            update_summary(
                row["epoch"], row["train"], evaluated, str(aside), lr=row["lr"], write_header=row is rows[0],
                log_wandb=wandb and row is rows[-1],
            )  # fmt: skip


def as_json(value: Any) -> Any:
    """Options and constructor arguments as JSON and YAML have them."""
    if isinstance(value, Genotype):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: as_json(v) for key, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [as_json(v) for v in value]
    return str(value) if isinstance(value, Path) else value
