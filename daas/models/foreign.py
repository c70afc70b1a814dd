"""Weights as other programs save them: under the prefixes of wrappers, of other classes, in other types of numbers."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from daas.errors import BadInput

_SHOWN = 3  # names in a message
_WITHIN = re.compile(
    r"(?<=\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)  # torch's wrappers of a layer
_LEFT, _SAID = 0.5, 0.1  # share of the kernels that weights may lack, and from which on it is said


def unwrapped(path: str | Path, tensors: Mapping[str, Tensor], known: Collection[str]) -> dict[str, Tensor]:
    """The tensors of one network under its own names, whatever it was wrapped into when it was saved.

    DistributedDataParallel writes ``module.``, torch.compile ``_orig_mod.``, Lightning ``model.`` or
    ``state_dict.model.``, timm's training script ``state_dict_ema.``: any prefix under which the network's names stand.

    Args:
        path: The file, for messages.
        tensors: By name.
        known: Names of the network's own tensors.

    Returns:
        Those below the prefix with most of the network's names, without it; all of them where that is no prefix, or
        none is known.

    Raises:
        BadInput: The file holds several such networks.

    >>> unwrapped("w", {"module.fc.bias": torch.ones(2), "epoch": torch.ones(1)}, {"fc.weight", "fc.bias"})
    {'fc.bias': tensor([1., 1.])}
    """
    own = frozenset(known)
    tensors = {_WITHIN.sub("", name): tensor for name, tensor in tensors.items()}
    dots = ((name, dot + 1) for name in tensors for dot, letter in enumerate(name) if letter == ".")
    found = Counter(name[:start] for name, start in dots if name[start:] in own)
    most = max(found.values(), default=0)
    if len(own.intersection(tensors)) >= most:
        return dict(tensors)
    prefixes = sorted(prefix for prefix, count in found.items() if count == most)
    if len(prefixes) > 1:
        raise BadInput(
            f"{path} holds several networks, under {' and '.join(map(repr, prefixes[:_SHOWN]))}; save the one that is "
            "meant alone."
        )
    prefix = prefixes[0]
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def check_fit(
    path: str | Path, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], classifiers: Collection[str]
) -> None:
    """Refuses tensors that are not those of a network.

    Args:
        path: The file, for messages.
        tensors: By name.
        own: The network's.
        classifiers: Names of the network's tensors with one row per class.

    Raises:
        BadInput: Other names, shapes, classes or types; values that are no numbers.
    """
    missing, more = [name for name in own if name not in tensors], [name for name in tensors if name not in own]
    if missing and set(missing) <= set(classifiers):
        raise BadInput(
            f"{path} holds no classifier ({_some(missing)}). To go on from its features with a new one, name it with "
            "--pretrained-path."
        )
    if missing or more:
        said = [f"{len(own) - len(missing)} of the model's {len(own)} tensors are in it"]
        said += [f"missing are {_some(missing)}"] * bool(missing) + [f"unknown are {_some(more)}"] * bool(more)
        raise BadInput(f"{path} holds no weights of this model: {'; '.join(said)}. Name its model, or another file.")
    other = [name for name in own if own[name].shape != tensors[name].shape]
    if other and set(other) <= set(classifiers):
        there, here = (len(of[other[0]]) for of in (tensors, own))
        raise BadInput(
            f"{path} holds a classifier of {there} classes, and this model has one of {here}. Take images of the same "
            "classes; or, to go on from these weights with a new classifier, name them with --pretrained-path."
        )
    if other:
        shapes = [list(of[other[0]].shape) for of in (tensors, own)]
        raise BadInput(
            f"{path} holds no weights of this model: {len(other)} of {len(own)} tensors have another shape there, "
            f"{other[0]} for example {shapes[0]} and not {shapes[1]}. Name its model and --model-kwargs; or, where "
            "these weights are used to images of another size, name them with --pretrained-path, which fits positions."
        )
    check_numbers(path, {name: tensor for name, tensor in tensors.items() if own[name].is_floating_point()})


def check_numbers(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuses weights that are whole numbers, as quantised ones are, and those that are no numbers.

    Raises:
        BadInput: With the first such tensor.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise BadInput(f"{path}: {name} is {kind}, where weights are floating-point numbers. Is it quantised?")
        if not bool(torch.isfinite(tensor.float()).all()):
            raise BadInput(f"{path}: {name} holds values that are no numbers (NaN or infinity): it diverged.")


def check_taken(
    path: str | Path, made: nn.Module, bare: nn.Module, free: Collection[str], given: Mapping[str, Tensor]
) -> None:
    """Refuses pretrained weights that leave a part of a network at random, since they are another network's.

    Args:
        path: The file, for messages.
        made: The network with them.
        bare: The same without them, from the same random numbers.
        free: Names of parameters that may begin at random: classifiers.
        given: What is in the file, under the network's names; it may be the very random numbers of ``bare``.

    Raises:
        BadInput: More than a tenth of the kernels (parameters of two dimensions or more) are as they were.
    """
    before = dict(bare.named_parameters())
    kernels = {name: value for name, value in made.named_parameters() if value.dim() > 1 and name not in free}
    left = [
        name
        for name, value in kernels.items()
        if torch.equal(value, before[name]) and not (name in given and torch.equal(value, given[name].to(value)))
    ]
    without = f"it has none for {len(left)} of {len(kernels)} kernels ({_some(left)})"
    if len(left) > _LEFT * len(kernels):
        raise BadInput(f"{path} holds no weights of this model: {without}. Name its model, or another file.")
    if len(left) > _SAID * len(kernels):
        warnings.warn(f"{path}: {without}, which begin at random. Is it another model's?", stacklevel=2)


def _some(names: Collection[str]) -> str:
    shown = [name[:80] for name in list(names)[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
