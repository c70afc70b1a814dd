"""After the search: whole trainings choose among what it has found, what the screen leaves, the shelf and none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from daas.augment import Policy, find_policy, list_policies
from daas.data import ImageData, MemoryImages, channel_stats
from daas.errors import BadInput
from daas.models.start import Channels, Start, used_to
from daas.race import sets
from daas.race.api import FOLDS, entering, race
from daas.race.candidates import CELLS, NONE, Candidate, Network
from daas.race.candidates import network as network_of
from daas.race.checks import check_images
from daas.race.journal import JOURNAL, Journal, check_installed
from daas.race.result import Race
from daas.race.sizes import as_large, searched_size
from daas.race.watch import print_line
from daas.race.words import with_error
from daas.screen.result import Screen
from daas.search.algorithm.method import model_arguments
from daas.search.budget.trained import papers
from daas.search.found import Found
from daas.search.given import Given
from daas.search.options import SearchConfig
from daas.search.report.commands import image_words
from daas.search.runs.build import read_images
from daas.train.fit import Recipe

FOLDER = "race"
PUBLISHED = "darts_v2_cifar"
"""Cells that found ones have to be better than, at equal size."""
_SHELF = (NONE, "randaugment", "trivialaugment", "autoaugment_cifar10")  # what published cells race under
_UPDATES = 1500  # optimizer steps of a training that is long enough to compare policies by
_EPOCHS = (30, 60)  # at least, at most
_BATCHES, _LEAST = 10, 16  # per epoch, at least, of at least so many images


def check(images: ImageData, config: SearchConfig) -> None:
    """Raises BadInput where a race of these images cannot be, before anything is searched."""
    check_installed()
    check_images(images, FOLDS, recipe_of(images, config), config.seed)


def recipe_of(images: ImageData, config: SearchConfig) -> Recipe:
    """How all trainings of the race go, and the one that is printed: the rates of the search, one cycle.

    Few images have smaller batches, ten an epoch and at least 16 images; the epochs are ``race_epochs``, or as many as
    1,500 updates need, from 30 to 60.
    """
    trained = len(images) * (FOLDS - 1) // FOLDS
    batch = min(config.batch_size, max(_LEAST, trained // _BATCHES), max(2, trained - FOLDS))
    needed = -(-_UPDATES // max(1, trained // batch))
    mean, std = (tuple(round(value, 4) for value in values) for values in _statistics(images, config))
    return Recipe(
        epochs=config.race_epochs or min(max(needed, _EPOCHS[0]), _EPOCHS[1]), batch_size=batch, lr=config.lr,
        weight_decay=config.weight_decay, crop_padding=config.crop_padding, amp=config.amp, mean=mean, std=std,
    )  # fmt: skip


def _statistics(images: ImageData, config: SearchConfig) -> tuple[Channels, Channels]:
    """The normalisation of the images, or the one that a network's weights are used to."""
    return used_to(config.model, Start.of(config)) or channel_stats(images)


def raced(found: Found, config: SearchConfig, given: Given, seen: Screen | None) -> Race:
    """The race that ends a search; trainings that are done are taken again.

    Args:
        found: What the search has found.
        config: Of the search.
        given: Its objects.
        seen: What the screen said, or None.

    Raises:
        BadInput: The folder holds another race.
        FloatingPointError: The loss of every training diverged.
    """
    images, _ = read_images(config, given)
    out = None if config.out is None else config.out / FOLDER
    net = _network(found, config, given)
    setting = sets.Setting(net, images.image_size, entering(out, config.race), seen)
    searched = _policy(found.policy, config, given)
    workers = _cores(config.device) if config.race_workers is None else config.race_workers
    entered = entrants(setting, *searched, published(net, config, len(images.class_names), out))
    _check_begun(out, [one.name for one in entered])
    return race(
        images,
        entered,
        network=net,
        trainings=config.race,
        time_budget=config.budget_seconds,
        recipe=recipe_of(images, config),
        train_words=() if given.names.keys() & {"data", "val"} else image_words(found.summary),
        screen=seen,
        out=out,
        resume=out is not None,
        workers=workers if isinstance(images, MemoryImages) else 1,
        seed=config.seed,
        device=config.device,
        callbacks=[print_line],
    )


def entrants(setting: sets.Setting, policy: Policy | None, name: str, cells: Network | None = None) -> list[Candidate]:
    """Who races: the searched policy before the default set, and half as strong behind the set's first three.

    Published cells race under the set's first candidate and under what is off the shelf (none, RandAugment,
    TrivialAugment, AutoAugment); three of these come before the found cells under the set's first candidate. However
    few there are, the last one is off the shelf where no other is.

    Args:
        setting: What they are made from; ``most`` is how many there are.
        policy: That was searched, or searched under; None for none.
        name: What it is called.
        cells: Published cells; None for none.
    """
    flips, rest = setting.flips(), sets.default(replace(setting, most=10_000))
    own, half = _searched(setting, policy, name), _searched(setting, policy, name, 0.5)
    if cells is None:
        first, rest = rest[: 3 * len(flips)], rest[3 * len(flips) :]
    else:
        known = [replace(one, network=cells) for one in _beside(rest, len(flips))]
        first = [*known[: 3 * len(flips)], *rest[: len(flips)], *known[3 * len(flips) :]]
        rest = rest[len(flips) :]
    entered = [*own, *first, *half, *rest]
    few, several = entered[: setting.most], cells is not None
    if not any(sets.on_shelf(one, several) for one in few):  # there would be nothing to compare the winner with
        few[-1] = next(one for one in entered if sets.on_shelf(one, several))
    return few


def _searched(setting: sets.Setting, policy: Policy | None, name: str, strength: float = 1.0) -> list[Candidate]:
    """The searched policy with every flip; nothing where there is none."""
    if policy is None or setting.network is None:
        return []
    if strength != 1.0:
        policy, name = policy.scaled(strength), f"{name}, half as strong"
    return [Candidate(setting.network, policy, name, tuple(flip.items())) for flip in setting.flips()]


def _beside(default: Sequence[Candidate], flips: int) -> list[Candidate]:
    """Of the default set, what published cells race under: its first candidate, and the shelf without cutout."""
    first, others = default[:flips], default[flips:]
    plain = [one for one in others if "cutout" not in one.values]
    return [*first, *(one for name in _SHELF for one in plain if one.policy_name == name)]


def published(net: Network, config: SearchConfig, classes: int, out: Path | None) -> Network | None:
    """Published cells of the size of the found ones, to within a tenth, and of no more weights than are allowed.

    Args:
        net: The network of the race.
        config: Of the search. What was searched within limits of other costs than weights, or for the paper's own
            trainings, races alone.
        classes: Of the images.
        out: Folder of the race, or None; what began without published cells goes on without.

    Returns:
        None where no cells were found, or where no network of the published ones has about as many weights.
    """
    if net.genotype is None or config.max_macs or config.max_latency or papers(config.preset):
        return None
    begun = _begun(out)
    if begun and not any(name.startswith(f"{PUBLISHED}:") for name in begun):
        return None
    cells = as_large(network_of(PUBLISHED), net, classes, config.cost_limits.get("params"))
    if cells is None:
        print(f"No network of the published cells {PUBLISHED} has about as many weights: found cells race alone.")
    return cells


def _begun(out: Path | None) -> list[str]:
    """The candidates of a race that is under way in a folder; none where nothing is recorded."""
    if out is None or not os.path.exists(out / JOURNAL):
        return []
    return [str(name) for name in Journal(out, ()).config().get("candidates", [])]


def _check_begun(out: Path | None, names: Sequence[str]) -> None:
    """Raises BadInput where a race was begun with other candidates, as earlier versions had them."""
    begun = _begun(out)
    if begun and begun != list(names):
        raise BadInput(
            f"the race in {out} was begun with other candidates ({', '.join(begun)}), by another version or "
            f"with other options; a search of this version races {', '.join(names)}. Move {out} elsewhere, and "
            "--resume auto races anew for what was found, or go on with the version and the options it began with."
        )


def _network(found: Found, config: SearchConfig, given: Given) -> Network:
    """The network of all candidates: the found cells, of the size that the printed command trains, or the fixed one."""
    if found.genotype is not None:
        size = tuple(sorted(searched_size(found.summary).items()))
        return Network(found.genotype.name, CELLS, size, found.genotype)
    if given.network is not None:
        return network_of(given.network)
    return network_of(config.model, model_arguments(config.model_kwargs), Start.of(config))


def _policy(found: Policy | None, config: SearchConfig, given: Given) -> tuple[Policy | None, str]:
    """The policy that the search has found, or that cells were searched under, and its name in the race."""
    if found is not None:
        return found, "found"
    if config.policy:
        return find_policy(config.policy), config.policy if config.policy in list_policies() else "given"
    return given.policy, "given"


def _cores(device: str) -> int:
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_summary(result: Race) -> dict[str, Any]:
    """What summary.json says of a race."""
    best = next(row for row in result.rows if row.candidate is result.chosen)
    gap, shelf = best.difference, result.final.shelf
    net = result.chosen.network
    several = len({one.network for one in result.candidates}) > 1
    other = several and net.model == PUBLISHED
    cells = {"cells": [net.model, *(f"{name}={value}" for name, value in net.kwargs)]} if other else {}
    return {
        **cells,
        "chosen": _words(result.chosen, several),
        "accuracy": with_error(best.accuracy),
        "runs": len(best.runs),
        "shelf": None if shelf is None else _words(result.candidates[shelf], several),
        "chosen_is_shelf": shelf == result.final.chosen,
        "difference": None if gap is None else round(gap.mean, 3),
        "interval": None if gap is None or gap.interval is None else [round(end, 3) for end in gap.interval],
        "answer": result.answer,
        "policy": result.policy is not None,
        "recipe": result.recipe.words(),
        "trainings": result.trainings,
        "seconds": round(result.seconds, 1),
    }


def _words(candidate: Candidate, several: bool) -> str:
    """A candidate, with its network where there are others."""
    return candidate.name if several else candidate.policy_words
