"""Checkpoints as safetensors with a JSON header and a checksum: written aside, then renamed; nothing is unpickled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from daas import files
from daas.errors import BadInput
from daas.reading import check_look_alike, parse_json

META = "daas"
"""Where the header of a checkpoint has its JSON values."""
_DIGEST = "sha256"


def previous(path: Path) -> Path:
    """Where the checkpoint before the last one is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None, then: str = ""
) -> None:
    """Writes a safetensors file in one piece.

    Args:
        path: The file.
        tensors: Named tensors on any device; shared storage is written once per name.
        metadata: Texts of its header.
        then: What to do after the cause is mended, for the message.

    Raises:
        BadInput: The disk is full or the folder cannot be written; an older file is still whole.
    """
    with files.written(path, then) as aside:
        save_file(_on_cpu(tensors), aside, dict(metadata) if metadata else None)


def read_tensors(path: str | Path, kind: str = "safetensors file") -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a safetensors file.

    Args:
        path: The file.
        kind: What it is called in messages.

    Returns:
        The tensors, on the CPU, and the texts of its header.

    Raises:
        BadInput: No such file, or no whole safetensors file: with what it is where that can be seen.
    """
    if not os.path.isfile(Path(path)):
        raise BadInput(f"{path}: there is no such {kind}.")
    check_look_alike(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            return tensors, dict(file.metadata() or {})
    except (OSError, RuntimeError, SafetensorError, ValueError, TypeError) as error:  # runtime: cut off when mapped
        _refuse_other(path, kind)
        way_out = (
            "copy it again, or start over in another folder" if kind == "checkpoint" else "copy or download it again"
        )
        raise BadInput(
            f"{path} is no whole {kind} ({error}). It may have been cut off while it was copied: {way_out}."
        ) from error


def _refuse_other(path: str | Path, kind: str) -> None:
    """Says what a file begins with where that is no length of a header, so that it was never a safetensors file."""
    with open(path, "rb") as file:
        start = file.read(48)
    if any(start[4:8]):
        shown = start.decode("ascii", "replace").split("\n")[0]
        found = f"the text {shown!r}" if start.isascii() and shown.isprintable() else f"the bytes {start[:8].hex(' ')}"
        raise BadInput(f"{path} is no {kind}: it begins with {found}. Download it again, or name the right file.")


def save(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], keep_previous: bool = False) -> None:
    """Writes a checkpoint in one piece: aside, flushed to the disk, then renamed over an older one.

    Args:
        path: The file.
        tensors: Named tensors on any device; shared storage is written once per name.
        meta: JSON values that travel with them; no NaN and no infinity.
        keep_previous: Whether an older checkpoint is kept beside it, as ``previous(path)``, instead of replaced.

    Raises:
        BadInput: The disk is full or the folder cannot be written; an older checkpoint is still whole.
    """
    plain = _on_cpu(tensors)
    text = files.json_text(dict(meta), str(path))
    with files.written(path, "Then resume.", previous(path) if keep_previous else None) as aside:
        save_file(plain, aside, {META: text, _DIGEST: _digest(plain, text)})


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 of names, types, shapes and bytes of all tensors and of the JSON text."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads a checkpoint.

    Args:
        path: A file written by ``save``.

    Returns:
        The tensors, on the CPU, and the JSON values.

    Raises:
        BadInput: The file is missing, damaged (cut off, or its checksum is wrong), or was written by something else.
    """
    tensors, header = read_tensors(path, "checkpoint")
    if META not in header:
        raise BadInput(
            f"{path} is a safetensors file, but no checkpoint of daas. A run goes on from its checkpoint.safetensors; "
            "a training begins with weights by --initial-checkpoint."
        )
    if _digest(tensors, header[META]) != header.get(_DIGEST):
        raise BadInput(
            f"{path} is no whole checkpoint (its checksum is wrong). It may have been cut off while it was copied: "
            "copy it again, or start over in another folder."
        )
    try:
        meta = parse_json(header[META])
    except BadInput as error:
        raise BadInput(f"{path}: the checkpoint's header is {error}") from error
    if not isinstance(meta, dict):
        raise BadInput(f"{path}: the checkpoint's header is no JSON object; it was written by something else.")
    return tensors, meta


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Says plainly that what is read from a checkpoint is not what this run writes, whatever reading it does.

    Raises:
        BadInput: Instead of errors of missing keys, other types and other shapes.
    """
    try:
        yield
    except BadInput:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        text = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{path} does not fit this run ({type(error).__name__}: {text}): another version or program wrote it. "
            "Go on with that one, or start over in another folder."
        ) from error


@dataclass(frozen=True)
class Latest:
    """The newest whole checkpoint.

    Attributes:
        path: The file it was read from.
        tensors: On the CPU.
        meta: The JSON values.
        damage: Why the last one could not be used, or empty.
    """

    path: Path
    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    damage: str = ""


def load_latest(path: Path) -> Latest:
    """Reads a checkpoint, or the one before it where that one was kept and the last is damaged or missing.

    Raises:
        BadInput: Neither can be read; the message is about the last one.
    """
    try:
        return Latest(path, *load(path))
    except BadInput as error:
        if not os.path.exists(previous(path)):
            raise
        try:
            found = load(previous(path))
        except BadInput as second:
            raise BadInput(f"{error} The one before it cannot be read either: {second}") from second
        return Latest(previous(path), *found, damage=str(error) if os.path.exists(path) else "")


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
