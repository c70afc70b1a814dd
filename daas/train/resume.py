"""Checkpoints of a training: everything that decides how it goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from daas import checkpoint
from daas.errors import BadInput
from daas.files import copy
from daas.timm_names import PREFIX
from daas.train.batches import Place
from daas.train.checks import holds_images
from daas.train.options import TrainOptions
from daas.train.output import BEST, CHECKPOINT, LAST, METRICS, RESULT, SUMMARY, as_json
from daas.train.training import Learner

FORMAT = "daas-train-checkpoint/2"
_FREE = (
    "output", "experiment", "resume", "device", "validate", "val_dir", "recovery_interval", "log_interval",
    "save_images", "tensorboard", "log_wandb", "wandb_project", "wandb_tags", "wandb_resume_id", "pin_mem", "graph",
)  # fmt: skip
"""What a resumed run may change, since the weights do not depend on it."""
_ROW = {"epoch", "train", "eval", "lr"}


def find(options: TrainOptions, folder: Path) -> Path | None:
    """The checkpoint to go on from, or None for a new run.

    Raises:
        BadInput: The folder holds a run, and it is not the one to be resumed.
    """
    own = folder / CHECKPOINT
    path: Path | None
    if options.resume and options.resume != "auto":
        path = Path(options.resume)
        path = path / CHECKPOINT if os.path.isdir(path) else path
        if not os.path.isfile(path):
            raise BadInput(f"--resume {options.resume}: there is no such checkpoint. Name a run's folder, or auto.")
        if path.resolve().parent == folder.resolve():
            return path
    elif options.resume == "auto" and os.path.exists(own):
        return own
    else:
        path = None
    if any(os.path.exists(folder / name) for name in (CHECKPOINT, SUMMARY, RESULT)):
        raise BadInput(
            f"{folder} holds another run, and nothing is written over. Go on with it by --resume auto (which needs its "
            f"{CHECKPOINT}), or name another --experiment."
        )
    return path


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
    steps, numbers = _optimizer_state(learner.optimizer)
    tensors |= steps
    tensors |= gathered
    scaler = None if learner.scaler is None else learner.scaler.state_dict()
    everything = {
        "optimizer": numbers,
        **meta,
        "format": FORMAT,
        "options": as_json(vars(options)),
        "world": place.world,
        "scaler": scaler,
    }
    checkpoint.save(folder / CHECKPOINT, tensors, everything)


def load(
    path: Path, learner: Learner, options: TrainOptions, place: Place, inputs: Mapping[str, str]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads a checkpoint into a learner that was just made.

    Args:
        path: The checkpoint.
        learner: Is changed.
        options: The run's.
        place: This process.
        inputs: Hashes of images, genotype and policy, which must be those of the checkpoint.

    Returns:
        What this process had of its own, and the JSON values.

    Raises:
        BadInput: No checkpoint of a training, or one of a training with other options.
    """
    tensors, meta = checkpoint.load(path)
    with checkpoint.fitting(path):
        _check_whose(path, meta, options, place, inputs)
        learner.model.load_state_dict(_part(tensors, "model."))
        if learner.ema is not None:
            learner.ema.module.load_state_dict(_part(tensors, "ema."))
        _restore_optimizer(learner.optimizer, _part(tensors, "optimizer."), meta["optimizer"])
        if learner.scaler is not None:
            learner.scaler.load_state_dict(meta["scaler"])
        return {name: tensor[place.rank] for name, tensor in _part(tensors, "own.").items()}, meta


def check_progress(meta: Mapping[str, Any], epochs: int, batches: int, clock: Collection[str]) -> None:
    """Checks the JSON values of a checkpoint that a run goes on from and shows.

    Args:
        meta: The values.
        epochs: Of the run.
        batches: Of an epoch.
        clock: What seconds are counted by.

    Raises:
        ValueError: A value that no training writes.
        LookupError: A value that is missing.
    """
    rows, best = meta["rows"], meta["best"]
    counts = {"epoch": (0, epochs), "batch": (0, batches), "images": (0, sys.maxsize), "best": (-1, len(rows) - 1)}
    for name, (low, high) in counts.items():
        if type(meta[name]) is not int or not low <= meta[name] <= high:
            raise ValueError(f"{name} is {meta[name]!r:.40}")
    numbers = [meta["seconds"], *(meta["clock"][name] for name in clock)]
    for number, row in enumerate(rows):
        if type(row["epoch"]) is not int or not 0 <= row["epoch"] < epochs:
            raise ValueError(f"epoch {row['epoch']!r:.40} in line {number}")
        numbers += [row["lr"], row["train"]["loss"]]
        numbers += [row["eval"][name] for name in METRICS] if row["eval"] is not None else []
    wrong = [number for number in numbers if type(number) not in (int, float)]
    if wrong or set(meta["clock"]) != set(clock) or any(set(row) != _ROW for row in rows):
        raise ValueError(f"its figures are no numbers, or others: {wrong[:1]!r:.40}")
    if best >= 0 and rows[best]["eval"] is None:
        raise ValueError(f"line {best} is called the best, and was not validated")


def _check_whose(
    path: Path, meta: Mapping[str, Any], options: TrainOptions, place: Place, inputs: Mapping[str, str]
) -> None:
    if meta.get("format") != FORMAT:
        raise BadInput(f"{path} is no checkpoint of a training run (format {meta.get('format')!r}, not {FORMAT!r}).")
    _same_run(path, meta, options, place)
    changed = [name for name, found in inputs.items() if meta.get("inputs", inputs).get(name) != found]
    if changed:
        raise BadInput(
            f"{path} belongs to a run on something else: since then its {' and its '.join(changed)} changed. Bring "
            "back what there was, or start a new run with another --experiment."
        )


def _gathered(tensor: Tensor, place: Place) -> Tensor:
    """[world, ...]: the tensors of all processes."""
    if place.world == 1 or not tensor.numel():
        return tensor.unsqueeze(0).expand(place.world, *tensor.shape)
    mine = tensor.to(place.device)
    states = [torch.empty_like(mine) for _ in range(place.world)]
    torch.distributed.all_gather(states, mine)
    return torch.stack(states)


def take_weights(source: Path, folder: Path) -> None:
    """Brings the best and the last weights along where a run goes on in another folder."""
    for name in (BEST, LAST):
        if os.path.exists(source.parent / name) and source.parent.resolve() != folder.resolve():
            copy(source.parent / name, folder / name)


def _same_run(path: Path, meta: Mapping[str, Any], options: TrainOptions, place: Place) -> None:
    free = {*_FREE, "workers"} if holds_images(options) else set(_FREE)
    free |= set() if options.dataset else {"data_dir"}  # its images are compared themselves
    if all(str(aa or "").startswith(PREFIX) for aa in (options.aa, meta["options"].get("aa"))):
        free.add("aa")  # policies are compared themselves
    different = [
        f"--{key.replace('_', '-')} was {meta['options'].get(key)} and is {value}"
        for key, value in as_json(vars(options)).items()
        if key not in free and meta["options"].get(key) != value
    ]
    if meta["world"] != place.world:
        different.append(f"there were {meta['world']} processes and are {place.world}")
    if different:
        raise BadInput(f"{path} belongs to a run with other options: {'; '.join(different)}. Use those, or a new run.")


def _optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, float]]:
    """What ``state_dict`` holds: tensors and numbers, named ``state.PARAMETER.SLOT`` and ``group.N.KEY``.

    Switches of groups are options, and are not kept.
    """
    whole = optimizer.state_dict()
    flat = {f"state.{index}.{slot}": v for index, slots in whole["state"].items() for slot, v in slots.items()}
    flat |= {f"group.{n}.{key}": v for n, group in enumerate(whole["param_groups"]) for key, v in group.items()}
    tensors = {f"optimizer.{name}": value for name, value in flat.items() if isinstance(value, Tensor)}
    numbers = {
        name: value for name, value in flat.items()
        if isinstance(value, (int, float)) and not (isinstance(value, bool) and name.startswith("group."))
    }  # fmt: skip
    return tensors, numbers


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], numbers: Mapping[str, float]
) -> None:
    """The inverse of ``_optimizer_state``; tensors get the memory layout of their parameters."""
    whole = optimizer.state_dict()
    order = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in {**tensors, **numbers}.items():
        kind, index, key = name.split(".", 2)
        if kind == "group":
            whole["param_groups"][int(index)][key] = value
            continue
        parameter = order[int(index)]
        if isinstance(value, Tensor) and value.shape == parameter.shape and value.dtype == parameter.dtype:
            value = torch.empty_like(parameter).copy_(value)
        whole["state"].setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(whole)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
