"""The state of a search as named tensors: what a checkpoint holds, and how a run goes on from it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from daas import checkpoint
from daas.errors import BadInput
from daas.search.algorithm.state import State
from daas.search.options import BEFORE_THERE_WERE, NOT_PART_OF_THE_METHOD
from daas.search.spaces.supernet import moved

FORMAT = "daas-search-checkpoint/2"
_EPOCH = "epoch."
_PLACES = frozenset({"data_dir", "val_dir"})  # where the images lie, which are compared themselves


def save(
    path: Path,
    search: State,
    epoch: dict[str, Tensor],
    progress: dict[str, Any],
    options: dict[str, Any],
    inputs: dict[str, str],
) -> None:
    """Writes everything that the next iteration depends on; the checkpoint before is kept beside it.

    Args:
        path: The checkpoint file.
        search: Weights, distributions and their optimisers.
        epoch: Sums of the running epoch's metrics, by name.
        progress: ``step`` (iterations done) and ``seconds``.
        options: The run's options, compared when it is resumed.
        inputs: Hashes of what the options only name, by what it is; compared too.
    """
    everything = tensors(search) | _moved(search) | {_EPOCH + name: tensor for name, tensor in epoch.items()}
    meta = {"format": FORMAT, "progress": progress, "options": options, "inputs": inputs}
    checkpoint.save(path, everything, meta, keep_previous=True)


def restore(
    path: Path, search: State, options: dict[str, Any], inputs: dict[str, str]
) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Reads a checkpoint, or the one before it if the last is damaged, back into a freshly built search.

    Returns:
        The sums of the running epoch, the progress, and why the last checkpoint could not be used (or empty).

    Raises:
        BadInput: Both are damaged, are of another kind, or belong to a run with other options or images.
    """
    latest = checkpoint.load_latest(path)
    path, tensors, meta = latest.path, latest.tensors, latest.meta
    if meta.get("format") == "daas-search-checkpoint/1":
        raise BadInput(
            f"{path} was written by an earlier version, which did not note what it was searching on. Go on with that "
            "version, or start a new run with another --out."
        )
    if meta.get("format") != FORMAT:
        raise BadInput(f"{path} is no checkpoint of a search (format {meta.get('format')!r}, expected {FORMAT!r}).")
    with checkpoint.fitting(path):
        _same_options(path, meta["options"], options)
        changed = [name for name, digest in inputs.items() if meta["inputs"].get(name) != digest]
        if changed:
            moved = _different(meta["options"], options, _PLACES)
            raise BadInput(
                f"{path} belongs to a run on something else: since then its {' and its '.join(changed)} changed"
                f"{moved and f' ({moved})'}. Bring back what there was, or start a new run with another --out."
            )
        progress = {"step": int(meta["progress"]["step"]), "seconds": float(meta["progress"]["seconds"])}
        if progress["step"] < 0:
            raise ValueError(f"{progress['step']} iterations done")
        return _take(path, search, tensors), progress, latest.damage


def _take(path: Path, search: State, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fills the search with the tensors of a checkpoint: the sums of the running epoch are left."""
    epoch = {name.removeprefix(_EPOCH): tensors.pop(name) for name in list(tensors) if name.startswith(_EPOCH)}
    for module, prefix in _modules(search):
        for name, parameter in module.named_parameters():
            _fill(path, parameter, f"{prefix}.{name}", tensors)
    changed = _moved(search)
    for name, buffer in search.network.named_buffers():
        if (key := f"network.{name}") in tensors or key in changed:
            _fill(path, buffer, key, tensors)
    for optimizer, module, prefix in _optimizers(search):
        checkpoint.restore_optimizer(optimizer, module, prefix, tensors)
    for name, value in _history(search).items():
        _fill(path, value, name, tensors)
    if tensors:
        raise BadInput(f"{path} holds values that this search does not have, for example {next(iter(tensors))[:200]}.")
    return epoch


@torch.no_grad()
def _fill(path: Path, value: Tensor, name: str, tensors: dict[str, Tensor]) -> None:
    if name not in tensors or tensors[name].shape != value.shape:
        raise BadInput(f"{path} does not fit this search: {name} is missing or has another shape.")
    value.copy_(tensors.pop(name))


def _same_options(path: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    different = _different({**BEFORE_THERE_WERE, **then}, now, now.keys() - NOT_PART_OF_THE_METHOD - _PLACES)
    if different:
        raise BadInput(
            f"{path} belongs to a run with other options: {different}. Resume with the options of that run, "
            "or start a new one with another --out."
        )


def _different(then: dict[str, Any], now: dict[str, Any], names: AbstractSet[str]) -> str:
    """Which of some options have changed, and how; in words."""
    return "; ".join(
        f"--{key.replace('_', '-')} was {then.get(key)} and is {value}"
        for key, value in now.items()
        if key in names and then.get(key) != value
    )


def _modules(search: State) -> list[tuple[nn.Module, str]]:
    pairs = [(search.network, "network"), (search.architecture, "architecture"), (search.augmentation, "augmentation")]
    return [(module, prefix) for module, prefix in pairs if module is not None]


def _optimizers(search: State) -> list[tuple[torch.optim.Optimizer, nn.Module, str]]:
    found: list[tuple[torch.optim.Optimizer, nn.Module, str]] = [(search.weights, search.network, "sgd")]
    if search.architecture is not None and search.architecture_optimizer is not None:
        found.append((search.architecture_optimizer, search.architecture, "adam.architecture"))
    if search.augmentation is not None and search.augmentation_optimizer is not None:
        found.append((search.augmentation_optimizer, search.augmentation, "adam.augmentation"))
    return found


def tensors(search: State) -> dict[str, Tensor]:
    """Weights, distributions and the states of their optimisers, by name."""
    found = {
        f"{prefix}.{name}": parameter.detach()
        for module, prefix in _modules(search)
        for name, parameter in module.named_parameters()
    }
    for optimizer, module, prefix in _optimizers(search):
        found |= dict(checkpoint.optimizer_tensors(optimizer, module, prefix))
    return found | _history(search)


def _moved(search: State) -> dict[str, Tensor]:
    """The buffers of the network that its passes have changed; not compared between processes, which run others."""
    return {f"network.{name}": buffer for name, buffer in moved(search.network).items()}


def _history(search: State) -> dict[str, Tensor]:
    history = {} if search.history is None else search.history.tensors()
    return {f"history.{name}": tensor for name, tensor in history.items()}
