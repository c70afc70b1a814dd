"""Checkpoints as safetensors with a JSON header: written aside, then renamed; nothing is unpickled when one is read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from daas.errors import BadInput

_META = "daas"


def save(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Writes a checkpoint in one piece: aside, flushed to the disk, then renamed over an older one.

    Args:
        path: The file.
        tensors: Named tensors on any device; shared storage is written once per name.
        meta: JSON values that travel with them.

    Raises:
        BadInput: The disk is full or the folder cannot be written; an older checkpoint is still whole.
    """
    aside = path.with_name(path.name + ".part")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        save_file(plain, aside, {_META: json.dumps(meta, sort_keys=True)})
        _flush(aside)
        os.replace(aside, path)
        _flush(path.parent)
    except (OSError, SafetensorError) as error:
        aside.unlink(missing_ok=True)
        kept = "the previous checkpoint is untouched" if path.exists() else "there is no earlier one"
        raise BadInput(f"{path} could not be written ({error}); {kept}. Free some space and resume.") from error


def _flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads a checkpoint.

    Args:
        path: A file written by ``save``.

    Returns:
        The tensors, on the CPU, and the JSON values.

    Raises:
        BadInput: The file is missing, cut off, or was written by something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if _META not in header:
                raise BadInput(f"{path} is a safetensors file, but no checkpoint of daas. Name the right file.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            meta: dict[str, Any] = json.loads(header[_META])
    except FileNotFoundError as error:
        raise BadInput(f"{path}: there is no such checkpoint.") from error
    except (OSError, RuntimeError, SafetensorError, json.JSONDecodeError) as error:  # runtime: cut off when mapped
        raise BadInput(
            f"{path} is no whole checkpoint ({error}). It may have been cut off while it was copied: copy it again, or "
            "start over in another folder."
        ) from error
    return tensors, meta


def optimizer_tensors(optimizer: torch.optim.Optimizer, module: nn.Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The optimizer's state of every parameter that it has moved, as ``prefix.parameter.slot`` tensors.

    Args:
        optimizer: Its state per parameter is tensors and numbers.
        module: Whose parameters it moves; gives them names.
        prefix: Keeps several optimizers apart.
    """
    for name, parameter in module.named_parameters():
        for slot, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                yield f"{prefix}.{name}.{slot}", value
            elif isinstance(value, (int, float)):
                yield f"{prefix}.{name}.{slot}#number", torch.tensor(value)


def restore_optimizer(
    optimizer: torch.optim.Optimizer, module: nn.Module, prefix: str, tensors: dict[str, Tensor]
) -> None:
    """The inverse of ``optimizer_tensors``; takes what it reads out of ``tensors``."""
    for name, parameter in module.named_parameters():
        start = f"{prefix}.{name}."
        state: dict[str, Any] = {}
        for key in [key for key in tensors if key.startswith(start)]:
            slot, value = key[len(start) :], tensors.pop(key)
            if slot.endswith("#number"):
                state[slot.removesuffix("#number")] = value.item()
            elif value.shape == parameter.shape:
                state[slot] = torch.empty_like(parameter).copy_(value)
            else:
                state[slot] = value.clone()
        if state:
            optimizer.state[parameter] = state
