"""What a run leaves in its folder: weights as safetensors, and result.json, which says how to build the model."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import timm
import torch
from timm.utils import update_summary
from torch import Tensor, nn

import daas
from daas import checkpoint
from daas.errors import BadInput
from daas.files import write_json, written
from daas.models import CellNet, Genotype
from daas.train.augmentation import EpochPolicy
from daas.train.batches import Batches
from daas.train.labels import difference
from daas.train.options import TrainOptions

RESULT_FORMAT = "daas-train-result/1"
BEST, LAST, RESULT = "model_best.safetensors", "last.safetensors", "result.json"
GO_ON = "Then go on with the same command and --resume auto."
"""What to say where a result could not be written."""
CLASS_NAMES = "class_names"
"""Where the header of weights has a JSON list of what their outputs mean."""
METRICS = ("loss", "top1", "top5", "balanced_accuracy")
CHECKPOINT, SUMMARY, ARGS = "checkpoint.safetensors", "summary.csv", "args.yaml"


def save_weights(model: nn.Module, path: Path, class_names: Sequence[str]) -> None:
    """Writes a state dict as safetensors; the names of its outputs are in the header."""
    checkpoint.write_tensors(path, model.state_dict(), {CLASS_NAMES: json.dumps(list(class_names))}, then=GO_ON)


@dataclass(frozen=True)
class Weights:
    """A state dict from a file.

    Attributes:
        path: The file.
        tensors: By name, on the CPU.
        class_names: Of the outputs; None where the file does not say.
    """

    path: str | Path
    tensors: dict[str, Tensor]
    class_names: tuple[str, ...] | None

    @classmethod
    def read(cls, path: str | Path) -> Weights:
        """Reads a safetensors file.

        Raises:
            BadInput: No such file, or not safetensors.
        """
        try:
            tensors, header = checkpoint.read_tensors(path)
        except BadInput as error:
            raise BadInput(f"{path} holds no weights of this model ({error})") from error
        try:
            names = json.loads(header.get(CLASS_NAMES, "null"))
        except ValueError:
            names = None
        known = isinstance(names, list) and all(isinstance(name, str) for name in names)
        return cls(path, tensors, tuple(names) if known else None)

    def into(self, model: nn.Module, class_names: Sequence[str] | None = None) -> None:
        """Puts the weights into a model; auxiliary heads that it does not have are left out.

        Args:
            model: Is changed.
            class_names: What its outputs are to mean. Where the file names the same classes in another order, its
                classifier's rows are put into this one.

        Raises:
            BadInput: Weights of another network, or of other classes.
        """
        own = model.state_dict()
        state = {n: tensor for n, tensor in self.tensors.items() if n in own or not n.startswith("aux_head.")}
        if class_names is not None and self.class_names is not None and tuple(class_names) != self.class_names:
            state = self._reordered(state, model, class_names)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise BadInput(f"{self.path} holds no weights of this model ({str(error)[:400]}).") from error

    def _reordered(self, state: dict[str, Tensor], model: nn.Module, names: Sequence[str]) -> dict[str, Tensor]:
        known = self.class_names or ()
        if sorted(known) != sorted(names):
            raise BadInput(
                f"{self.path} is for other classes: {difference(known, names, 'the weights', 'the images')}. To go on "
                "from weights of other classes with a new classifier, name them with --pretrained-path."
            )
        rows = torch.tensor([known.index(name) for name in names])
        found = dict(state)
        for name in _classifiers(model):
            tensor = state.get(name)
            if tensor is not None and len(tensor) >= len(rows):
                found[name] = torch.cat([tensor[rows], tensor[len(rows) :]])
        return found


def _classifiers(model: nn.Module) -> set[str]:
    """Names of the tensors with one row per class: of the classifier and of an auxiliary one."""
    classifier: Any = getattr(model, "get_classifier", lambda: None)()
    heads = set(classifier) if isinstance(classifier, (tuple, list)) else {classifier}
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    auxiliary = [name for name, _ in layers if name.startswith("aux_head.")][-1:]
    last = [] if heads - {None} else [name for name, _ in layers][-1:]
    chosen = {*auxiliary, *last, *(name for name, layer in layers if layer in heads)}
    return {f"{name}.{part}" for name in chosen for part in ("weight", "bias")}


def load_weights(model: nn.Module, path: str | Path, class_names: Sequence[str] | None = None) -> None:
    """Reads a safetensors state dict into a model: ``Weights.read`` and ``Weights.into``."""
    Weights.read(path).into(model, class_names)


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
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
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
