"""``daas.search(...)``: images in, a network and the augmentation it should be trained with out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from daas.augment import DAASPolicy, Policy
from daas.models import Genotype
from daas.search.algorithm.estimators import Sampling
from daas.search.api import settled
from daas.search.found import Found
from daas.search.given import Callback
from daas.search.spaces.cell_space import CellSpace
from daas.search.spaces.policy_space import PolicySpace
from daas.whole import run


def search(
    data: Any,
    *,
    val: Any = None,
    network: CellSpace | nn.Module | Genotype | str | None = None,
    policy: PolicySpace | Policy | DAASPolicy | str | None = None,
    estimator: Sampling | str | None = None,
    preset: str = "cpu",
    seed: int = 0,
    screen: bool | None = None,
    race: int | None = None,
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
        screen: Whether one training under everything says first which operations change the labels: the search leaves
            them out. By default what the preset says: ``demo`` and ``cpu`` do.
        race: How many whole trainings choose at the end, among what was found, what the screen leaves, what is on the
            shelf and none; 0 for none. By default what the preset says: ``demo`` 8, ``cpu`` 12.
        callbacks: Called with every epoch's line of metrics, a dict; one that returns True stops the search.
        out: A folder for results and checkpoints, as the command writes it; nothing is written without.
        **options: Any other option of ``daas search`` by its name with underscores: ``epochs=3``,
            ``max_steps=100``, ``batch_size=32``, ``mode="arch"``, ``aug_lr=0.01``, ...

    Returns:
        The pair, and what was measured; with ``screen`` and ``race`` where there were any.

    Raises:
        BadInput: Something that cannot be used; the message says what can.
        Interrupted: Ctrl-C, or SIGTERM.
        Diverged: A loss became infinite or not a number.
        FloatingPointError: So did that of the screen, or those of all trainings of the race.

    >>> import daas, torch
    >>> images = torch.randint(256, (64, 3, 8, 8), dtype=torch.uint8)
    >>> small = daas.CellSpace(channels=2, layers=3, nodes=2)
    >>> found = daas.search(
    ...     (images, torch.arange(64) % 2), network=small, batch_size=16, max_steps=1, screen=False, race=0
    ... )
    >>> found.create_model(num_classes=2), found.transform()  # doctest: +ELLIPSIS
    (CellNet(...), DAASPolicy(...))
    """
    asked = {name: value for name, value in (("screen", screen), ("race", race)) if value is not None}
    config, given = settled(
        data, val, network, policy, estimator, callbacks, preset=preset, seed=seed, out=out,
        **{"race_workers": 1, **options, **asked},
    )  # fmt: skip
    return run.search(config, given)
