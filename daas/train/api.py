"""``daas.train(...)``: the command for a program that holds images, genotype and policy in its hands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from daas.augment import DAASPolicy, Policy
from daas.data import images_from
from daas.data.given import named_or_path
from daas.data.layout import HELD_OUT
from daas.errors import BadInput
from daas.models import Genotype, find_genotype
from daas.surroundings import refuse_without_gradients
from daas.timm_names import PREFIX
from daas.train.assemble import Given
from daas.train.augmentation import EpochPolicy
from daas.train.batches import split_name
from daas.train.command_line import options_of
from daas.train.options import TrainOptions
from daas.train.run import train as run

_TAKEN = {"data_dir": "data", "dataset": "data", "val_dir": "val", "aa_in_workers": "a policy's name with the command"}


def train(
    data: Any = None,
    *,
    val: Any = None,
    model: str | None = None,
    policy: Policy | DAASPolicy | str | Path | None = None,
    genotype: Genotype | str | Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Trains any timm model, under any policy, and leaves weights, results and a checkpoint in a folder.

    Args:
        data: Training images: the path of a folder of class folders or of an archive of one; the name of a data set
            (``digits``, ``torch/cifar10``, ...); ``(images, labels)``, uint8 [n, 3, H, W] and int64 [n]; or a torch
            ``Dataset``.
        val: Validation images in any of these forms; by default those that lie beside the training images, where
            they have such a place.
        model: A timm name; by default that of the recipe, or timm's default.
        policy: A ``Policy``, a ``DAASPolicy``, a shipped name, a file, or ``hf-hub:user/repository``.
        genotype: For the cell networks of this package: a ``Genotype``, a name, or a file.
        **options: Any other option of ``daas train`` by its name with underscores, ``recipe`` and
            ``config`` too: ``epochs=20``, ``batch_size=64``, ``lr=0.1``, ``output="runs"``, ``experiment="mine"``, ...

    Returns:
        ``top1``, ``top5`` and ``balanced_accuracy`` (percent) and ``loss`` after the last epoch, ``best_top1``,
        ``best_epoch``, and ``output``, the run's folder.

    Raises:
        BadInput: Something that cannot be used; the message says what can.
        FloatingPointError: The loss is no longer a number.

    >>> import daas
    >>> daas.train("digits", modle="resnet18")
    Traceback (most recent call last):
    daas.errors.BadInput: daas.train: unknown option modle. Did you mean model or remode?
    """
    for name in options:
        if name in _TAKEN:
            raise BadInput(f"daas.train takes no {name}; pass {_TAKEN[name]}.")
    if not options.get("validate"):
        refuse_without_gradients("A training")
    values = dict(options)
    if model is not None:
        values["model"] = model
    kwargs = values.get("model_kwargs") or {}
    if genotype is not None:
        kwargs = values["model_kwargs"] = {**kwargs, "genotype": genotype}
    if isinstance(kwargs, Mapping) and kwargs.get("genotype") is not None:
        wanted = kwargs["genotype"]
        known = str(wanted) if isinstance(wanted, (str, os.PathLike)) else find_genotype(wanted)
        values["model_kwargs"] = {**kwargs, "genotype": known}
    given_policy = _policy(policy, values)
    held = _images(data, val, values)
    found = options_of(values, "daas.train")
    given = Given(policy=None if given_policy is None else EpochPolicy(given_policy, found.epochs))
    if held:
        found, given = _held(found, data, val, given)
    return run(found, given)


def _policy(policy: Any, values: dict[str, Any]) -> Policy | DAASPolicy | None:
    """Writes a policy's name into the options; gives the policy back where it is one itself."""
    if policy is None:
        return None
    if "aa" in values:
        raise BadInput("policy and aa are two names of one thing; give one of them.")
    if isinstance(policy, (str, os.PathLike)):
        values["aa"] = PREFIX + os.fspath(policy).removeprefix(PREFIX)
        return None
    if not isinstance(policy, (Policy, DAASPolicy)):
        raise BadInput(f"policy is of type {type(policy).__name__}; it is a Policy, a DAASPolicy, a name or a file.")
    values["aa"] = PREFIX + (policy if isinstance(policy, Policy) else policy.policy).name
    return policy


def _images(data: Any, val: Any, values: dict[str, Any]) -> bool:
    """Writes places and names into the options; says whether the images are given themselves."""
    named = [part is None or isinstance(part, (str, os.PathLike)) for part in (data, val)]
    if not all(named):
        return True
    if data is not None:
        dataset, data_dir = named_or_path(data if isinstance(data, str) else Path(data))
        values |= {"dataset": dataset} if dataset else {"data_dir": str(data_dir)}
    if val is not None:
        values["val_dir"] = os.fspath(val)
    return False


def _held(options: TrainOptions, data: Any, val: Any, given: Given) -> tuple[TrainOptions, Given]:
    """Images in memory, and the options that go with them."""
    if data is None or val is None:
        raise BadInput("These images have no place beside them: pass both data and val, for example (images, labels).")
    size = options.img_size or (options.input_size[-1] if options.input_size else None)
    loaded = {"skip_bad_images": options.skip_bad_images, "workers": options.workers}
    named = named_or_path(data)[0] if isinstance(data, str) else ""
    split = split_name(named, options.train_split)
    train = images_from(data, split=split, image_size=size, **loaded)  # type: ignore[arg-type]  # a bool and an int
    held_out = images_from(val, split=HELD_OUT, image_size=train.image_size, **loaded)  # type: ignore[arg-type]  # same
    if options.train_crop_mode not in (None, "pad"):
        raise BadInput(f"train_crop_mode={options.train_crop_mode!r} reads files; images in memory take 'pad'.")
    options = replace(options, train_crop_mode="pad", img_size=size or train.image_size)
    return options, replace(given, train=train, val=held_out)
