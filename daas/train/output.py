"""What a run leaves in its folder: weights as safetensors, and result.json, which says how to build the model."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import daas
from daas.augment import DAASPolicy
from daas.errors import BadInput
from daas.models import CellNet, Genotype
from daas.train.options import TrainOptions

RESULT_FORMAT = "daas-train-result/1"
BEST, LAST, RESULT = "model_best.safetensors", "last.safetensors", "result.json"


def save_weights(model: nn.Module, path: Path) -> None:
    """Writes a state dict as safetensors: aside, then renamed over an older one."""
    aside = path.with_name(path.name + ".part")
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}, aside)
    aside.replace(path)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Reads a safetensors state dict; auxiliary heads that the model does not have are left out.

    Raises:
        BadInput: No such file, not safetensors, or weights of another network.
    """
    try:
        state = load_file(path)
        own = model.state_dict()
        state = {name: tensor for name, tensor in state.items() if name in own or not name.startswith("aux_head.")}
        model.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BadInput(f"{path} holds no weights of this model ({str(error)[:400]}).") from error


def describe(
    options: TrainOptions,
    model: nn.Module,
    class_names: Sequence[str],
    data: Mapping[str, Any],
    transform: Mapping[str, Any],
    policy: DAASPolicy | None,
) -> dict[str, Any]:
    """The part of result.json that is known before the first epoch.

    Args:
        options: The run's.
        model: The network.
        class_names: One per label.
        data: ``name``, ``train_images`` and ``val_images``.
        transform: ``input_size``, ``mean``, ``std``, ``interpolation``, ``crop_pct`` and ``crop_mode``, as in timm.
        policy: What ``--aa daas:`` named.
    """
    genotype = model.genotype.to_dict() if isinstance(model, CellNet) else None
    kwargs = {key: _plain(value) for key, value in options.model_kwargs.items()}
    if genotype is not None and options.model.startswith("daas_cell_"):
        kwargs["genotype"] = genotype
    return {
        "format": RESULT_FORMAT,
        "model": options.model,
        "model_kwargs": kwargs,
        "genotype": genotype,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_classes": int(getattr(model, "num_classes", len(class_names))),
        "class_names": list(class_names),
        **{key: list(value) if isinstance(value, tuple) else value for key, value in transform.items()},
        "aa": options.aa or None,
        "policy": None if policy is None else policy.policy.to_dict(),
        "data": dict(data),
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
        best: ``epoch`` (from 0), ``loss``, ``top1`` and ``top5`` (percent) of the best epoch.
        last: The same of the last one that is finished.
        time: ``seconds`` and what else was measured.
    """
    values = {
        **description,
        "best": {**best, "weights": BEST},
        "last": {**last, "weights": LAST},
        "time": dict(time),
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    aside = folder / f"{RESULT}.part"
    aside.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    aside.replace(folder / RESULT)


def _plain(value: Any) -> Any:
    """A constructor argument as JSON has it."""
    if isinstance(value, Genotype):
        return value.to_dict()
    return str(value) if isinstance(value, Path) else value
