"""Checkpoints of a training: everything that decides how it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from daas import checkpoint
from daas.errors import BadInput
from daas.train.batches import Place
from daas.train.checks import holds_images
from daas.train.loop import Learner
from daas.train.options import TrainOptions
from daas.train.output import BEST, CHECKPOINT, RESULT, SUMMARY, as_json

FORMAT = "daas-train-checkpoint/2"
_FREE = (
    "output", "experiment", "resume", "device", "validate", "recovery_interval", "log_interval", "save_images",
    "tensorboard", "log_wandb", "wandb_project", "wandb_tags", "wandb_resume_id", "pin_mem",
)  # fmt: skip
"""What a resumed run may change, since the weights do not depend on it."""


def find(options: TrainOptions, folder: Path) -> Path | None:
    """The checkpoint to go on from, or None for a new run.

    Raises:
        BadInput: The folder holds a run, and it is not to be resumed.
    """
    own = folder / CHECKPOINT
    if options.resume and options.resume != "auto":
        path = Path(options.resume)
        return path / CHECKPOINT if path.is_dir() else path
    if options.resume == "auto" and own.exists():
        return own
    if any((folder / name).exists() for name in (CHECKPOINT, SUMMARY, RESULT)):
        raise BadInput(
            f"{folder} holds another run, and nothing is written over. Go on with it by --resume auto (which needs its "
            f"{CHECKPOINT}), or name another --experiment."
        )
    return None


def save(
    folder: Path,
    learner: Learner,
    own: Mapping[str, Tensor],
    options: TrainOptions,
    place: Place,
    meta: Mapping[str, Any],
) -> None:
    """Writes the checkpoint; every process must call it.

    Args:
        folder: Of the run.
        learner: Weights, moving average and optimizer.
        own: What every process has of its own, of one shape in all of them.
        options: The run's.
        place: This process.
        meta: JSON values beside it.
    """
    gathered = {f"own.{name}": _gathered(tensor, place) for name, tensor in own.items()}
    if not place.first:
        return
    tensors = {f"model.{name}": tensor for name, tensor in learner.model.state_dict().items()}
    if learner.ema is not None:
        tensors |= {f"ema.{name}": tensor for name, tensor in learner.ema.module.state_dict().items()}
    tensors |= dict(checkpoint.optimizer_tensors(learner.optimizer, learner.model, "optimizer"))
    tensors |= gathered
    scaler = None if learner.scaler is None else learner.scaler.state_dict()
    groups = [{k: v for k, v in g.items() if _is_number(v)} for g in learner.optimizer.param_groups]
    everything = {
        "groups": groups,
        **meta,
        "format": FORMAT,
        "options": as_json(vars(options)),
        "world": place.world,
        "scaler": scaler,
    }
    checkpoint.save(folder / CHECKPOINT, tensors, everything)


def load(path: Path, learner: Learner, options: TrainOptions, place: Place) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads a checkpoint into a learner that was just made.

    Returns:
        What this process had of its own, and the JSON values.

    Raises:
        BadInput: No checkpoint of a training, or one of a training with other options.
    """
    tensors, meta = checkpoint.load(path)
    if meta.get("format") != FORMAT:
        raise BadInput(f"{path} is no checkpoint of a training run (format {meta.get('format')!r}, not {FORMAT!r}).")
    _same_run(path, meta, options, place)
    learner.model.load_state_dict(_part(tensors, "model."))
    if learner.ema is not None:
        learner.ema.module.load_state_dict(_part(tensors, "ema."))
    checkpoint.restore_optimizer(learner.optimizer, learner.model, "optimizer", tensors)
    for group, saved in zip(learner.optimizer.param_groups, meta["groups"], strict=True):
        group.update(saved)
    if learner.scaler is not None:
        learner.scaler.load_state_dict(meta["scaler"])
    return {name: tensor[place.rank] for name, tensor in _part(tensors, "own.").items()}, meta


def _gathered(tensor: Tensor, place: Place) -> Tensor:
    """[world, ...]: the tensors of all processes."""
    if place.world == 1 or not tensor.numel():
        return tensor.unsqueeze(0).expand(place.world, *tensor.shape)
    mine = tensor.to(place.device)
    states = [torch.empty_like(mine) for _ in range(place.world)]
    torch.distributed.all_gather(states, mine)
    return torch.stack(states)


def take_best(source: Path, folder: Path) -> None:
    """Brings the best weights along where a run goes on in another folder."""
    best = source.parent / BEST
    if best.exists() and source.parent.resolve() != folder.resolve():
        shutil.copyfile(best, folder / BEST)


def _same_run(path: Path, meta: Mapping[str, Any], options: TrainOptions, place: Place) -> None:
    free = {*_FREE, "workers"} if holds_images(options) else set(_FREE)
    different = [
        f"--{key.replace('_', '-')} was {meta['options'].get(key)} and is {value}"
        for key, value in as_json(vars(options)).items()
        if key not in free and meta["options"].get(key) != value
    ]
    if meta["world"] != place.world:
        different.append(f"there were {meta['world']} processes and are {place.world}")
    if different:
        raise BadInput(f"{path} belongs to a run with other options: {'; '.join(different)}. Use those, or a new run.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
