"""``daas.search(...)``: a search on images, networks and policies that a program holds in its hands."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from daas.augment import DAASPolicy, Policy
from daas.data.given import named_or_path
from daas.errors import BadInput
from daas.models import Genotype
from daas.search.algorithm.estimators import Sampling
from daas.search.found import Found
from daas.search.given import Callback, Given
from daas.search.options import SearchConfig
from daas.search.runs import one
from daas.search.spaces.cell_space import CellSpace
from daas.search.spaces.policy_space import PolicySpace

_TAKEN = {
    "dataset": "data", "data_dir": "data", "val_dir": "val", "model": "network",
}  # fmt: skip


def search(
    data: Any,
    *,
    val: Any = None,
    network: CellSpace | nn.Module | Genotype | str | None = None,
    policy: PolicySpace | Policy | DAASPolicy | str | None = None,
    estimator: Sampling | str | None = None,
    preset: str = "cpu",
    seed: int = 0,
    callbacks: Iterable[Callback] = (),
    out: str | Path | None = None,
    **options: Any,
) -> Found:
    """Searches a network and the augmentation that it should be trained with.

    Args:
        data: ``(images, labels)``, uint8 [n, 3, H, W] and int64 [n]; a torch ``Dataset``; the path of a folder of class
            folders or of an archive of one; or the name of a data set (``digits``, ``torch/cifar10``, ...). Half of it
            is for validation, unless ``val`` is given.
        val: Validation images in any of these forms.
        network: A ``CellSpace`` (by default the preset's); or a network that is fixed, for which a policy is searched:
            a timm name (also ``hf-hub:user/name`` and ``local-dir:FOLDER``; the options ``pretrained``,
            ``pretrained_path`` and ``initial_checkpoint`` say where its weights begin), a ``Genotype``, or any module
            that maps images [B, 3, S, S] to logits (they are normalised by the mean and standard deviation of the
            training images), of which a copy is searched on.
        policy: A ``PolicySpace`` (by default the paper's); or a policy that is fixed, a ``Policy``, a ``DAASPolicy``, a
            shipped name or a file, under which cells alone are searched (mode ``arch``).
        estimator: How the policies learn, one of ``daas.estimators``, or a subclass of your own.
        preset: Fills in the options that are not given: ``demo``, ``cpu``, ``paper-cifar10``, ...
        seed: Of every random choice.
        callbacks: Called with every epoch's line of metrics, a dict; one that returns True stops the search.
        out: A folder for results and checkpoints, as the command writes it; nothing is written without.
        **options: Any other option of ``python -m daas.search`` by its name with underscores: ``epochs=3``,
            ``max_steps=100``, ``batch_size=32``, ``mode="arch"``, ``aug_lr=0.01``, ...

    Returns:
        The pair, and what was measured.

    Raises:
        BadInput: Something that cannot be used; the message says what can.
        Interrupted: Ctrl-C, or SIGTERM.
        Diverged: A loss became infinite or not a number.

    >>> import daas, torch
    >>> images = torch.randint(256, (64, 3, 8, 8), dtype=torch.uint8)
    >>> small = daas.CellSpace(channels=2, layers=3, nodes=2)
    >>> found = daas.search((images, torch.arange(64) % 2), network=small, batch_size=16, max_steps=1)
    >>> found.create_model(num_classes=2), found.transform()  # doctest: +ELLIPSIS
    (CellNet(...), DAASPolicy(...))
    """
    values = _given_options(options) | {"preset": preset, "seed": seed, "out": None if out is None else Path(out)}
    if callable(callbacks) or not isinstance(callbacks, Iterable):
        raise BadInput(f"callbacks is of type {type(callbacks).__name__}; it is a list of functions: callbacks=[log].")
    objects: dict[str, Any] = {"callbacks": tuple(callbacks)}
    if isinstance(data, str | os.PathLike):
        dataset, data_dir = named_or_path(data if isinstance(data, str) else Path(data))
        values |= {"data_dir": data_dir} if dataset == "" else {"dataset": dataset}
    else:
        values["dataset"] = ""
        objects["data"] = data
    if isinstance(val, str | os.PathLike):
        values["val_dir"] = Path(val)
    else:
        objects["val"] = val
    take_spaces(values, objects, network, policy, estimator)
    return one.search(SearchConfig(**values), Given(**objects))


def take_spaces(values: dict[str, Any], objects: dict[str, Any], network: Any, policy: Any, estimator: Any) -> None:
    """Writes what ``network``, ``policy`` and ``estimator`` of ``search`` stand for into options and objects.

    Raises:
        BadInput: Something else, or what stands among the options too.
    """
    _network(network, values, objects)
    _policy(policy, values, objects)
    _estimator(estimator, values, objects)


def _given_options(options: dict[str, Any]) -> dict[str, Any]:
    for name in options:
        if name in _TAKEN:
            raise BadInput(f"daas.search takes no {name}; pass {_TAKEN[name]}.")
    if "seeds" in options:
        raise BadInput("One call is one search; several are [daas.search(data, seed=seed) for seed in range(4)].")
    options = dict(options)
    if isinstance(options.get("model_kwargs"), dict):
        options["model_kwargs"] = tuple(f"{name}={value!r}" for name, value in options["model_kwargs"].items())
    if not isinstance(options.get("primitives", ""), str):
        options |= CellSpace(primitives=options["primitives"]).options()
    return options


def _network(network: Any, values: dict[str, Any], objects: dict[str, Any]) -> None:
    """Writes what the argument ``network`` stands for into options and objects."""
    if network is None:
        return
    if isinstance(network, CellSpace):
        twice = sorted(network.options().keys() & values.keys())
        if twice:
            raise BadInput(f"{', '.join(twice)} stands in the cell space and beside it; give it once.")
        values |= network.options()
        return
    values.setdefault("mode", "aug")
    if isinstance(network, str):
        values["model"] = network
    elif isinstance(network, Genotype):
        values["model"] = "daas_cell_cifar"
        config = SearchConfig(**values)
        size = (f"channels={config.channels}", f"layers={config.layers}")
        values["model_kwargs"] = (f"genotype={network.to_dict()}", *size, *values.get("model_kwargs", ()))
    elif isinstance(network, nn.Module):
        values["model"] = type(network).__name__
        values.setdefault("pretrained", False)  # it has weights of its own, whatever the preset says
        objects["network"] = network
    else:
        raise BadInput(
            f"network is of type {type(network).__name__}; it is a CellSpace, a timm name, a Genotype or a module."
        )


def _policy(policy: Any, values: dict[str, Any], objects: dict[str, Any]) -> None:
    """The same for the argument ``policy``."""
    if policy is None:
        return
    if isinstance(policy, PolicySpace):
        if values.get("mode") == "arch":
            raise BadInput("policy is a space of policies, and mode arch searches none; give one of them.")
        objects["space"] = policy
        return
    mode = values.setdefault("mode", "arch")
    if mode != "arch":
        raise BadInput(f"policy is one that is fixed; it goes with mode arch, not with mode {mode}.")
    if isinstance(policy, str | os.PathLike):
        values["policy"] = os.fspath(policy)
    elif isinstance(policy, Policy | DAASPolicy):
        objects["policy"] = policy.policy if isinstance(policy, DAASPolicy) else policy
    else:
        raise BadInput(
            f"policy is of type {type(policy).__name__}; it is a PolicySpace, or a fixed policy: a Policy, a "
            "DAASPolicy, a name or a file."
        )


def _estimator(estimator: Any, values: dict[str, Any], objects: dict[str, Any]) -> None:
    """And for the argument ``estimator``."""
    if estimator is None:
        return
    if isinstance(estimator, str):
        estimator_options = {"aug_estimator": estimator}
    elif isinstance(estimator, Sampling):
        estimator_options = estimator.options()
        objects["estimator"] = estimator
    else:
        raise BadInput(
            f"estimator is of type {type(estimator).__name__}; it is one of daas.estimators "
            "(PolicyGradient(policies=2), PerImage(), ...), a subclass of daas.estimators.Estimator, or a name."
        )
    twice = sorted(estimator_options.keys() & values.keys())
    if twice:
        raise BadInput(f"{', '.join(twice)} belongs to the estimator and stands beside it; give it once.")
    if values.get("mode") == "arch":
        raise BadInput("estimator is of policies, and mode arch searches none.")
    values |= estimator_options
