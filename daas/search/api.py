"""What the arguments of ``daas.search(...)`` mean: images, networks and policies that a program holds in its hands."""

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
from daas.ranges import plain
from daas.search.algorithm.estimators import Sampling
from daas.search.given import Callback, Given
from daas.search.options import SearchConfig
from daas.search.spaces.cell_space import CellSpace
from daas.search.spaces.policy_space import PolicySpace

_TAKEN = {
    "dataset": "data", "data_dir": "data", "val_dir": "val", "model": "network",
}  # fmt: skip


def settled(
    data: Any,
    val: Any = None,
    network: Any = None,
    policy: Any = None,
    estimator: Any = None,
    callbacks: Iterable[Callback] = (),
    **options: Any,
) -> tuple[SearchConfig, Given]:
    """What the arguments of ``daas.search`` mean: options, and objects beside them.

    Args:
        data: Images, as ``daas.search`` takes them.
        val: Validation images.
        network: ``CellSpace`` or a fixed network.
        policy: ``PolicySpace`` or a fixed policy.
        estimator: Of gamma's gradient.
        callbacks: Called with every epoch's line.
        **options: Of ``SearchConfig``.

    Raises:
        BadInput: Something that cannot be used; the message says what can.
    """
    values = _given_options(options)
    if values.get("out") is not None:
        values["out"] = Path(values["out"])
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
    return SearchConfig(**values), Given(**objects)


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
        options["model_kwargs"] = tuple(
            f"{name}={_written(value)!r}" for name, value in options["model_kwargs"].items()
        )
    if not isinstance(options.get("primitives", ""), str):
        options |= CellSpace(primitives=options["primitives"]).options()
    return options


def _written(value: Any) -> Any:
    """A value of an argument of a model as one whose text is read back: of NumPy, a path, a genotype."""
    if isinstance(value, Genotype):
        return value.to_dict()
    return os.fspath(value) if isinstance(value, os.PathLike) else plain(value)


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
