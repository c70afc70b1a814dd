"""``daas.race(...)``: candidates in, the one that wins whole trainings out."""

from __future__ import annotations

import inspect
import io
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from daas.data import ImageData, MemoryImages
from daas.data.batches import channel_stats
from daas.data.facts import facts_of
from daas.data.given import Given, images_from, named_or_path
from daas.data.sources import refuse_among_images
from daas.errors import BadInput, unknown_name
from daas.locks import locked
from daas.models.start import Channels, Start, own_size
from daas.race import screening, sets
from daas.race.about import about
from daas.race.candidates import Candidate, Network
from daas.race.candidates import network as network_of
from daas.race.checks import AT_WORK, check_images, check_options, check_whole, checked_folder, refuse_company
from daas.race.engine import Budget, Crew, run
from daas.race.journal import JOURNAL, Journal, begun, check_installed
from daas.race.result import Race, Setup
from daas.race.rules import Rules
from daas.race.sets import Screen
from daas.race.sizes import at_equal_size
from daas.race.training import Trainer
from daas.race.watch import Callback, Watch
from daas.race.words import beginning, going_on
from daas.ranges import RANGES, check_range, plain
from daas.search.report.commands import HELD_OUT_PHOTOS
from daas.surroundings import refuse_without_gradients, usual_torch
from daas.train.fit import FINE_LR, Recipe, streams_as_before

TRAININGS, FOLDS = 48, 4


@usual_torch()
def race(
    data: Given,
    candidates: Iterable[Any] | None = None,
    *,
    network: Any = None,
    pretrained: bool = False,
    pretrained_path: str | Path = "",
    initial_checkpoint: str | Path = "",
    trainings: int | None = None,
    time_budget: float | None = None,
    folds: int = FOLDS,
    epochs: int | None = None,
    batch_size: int | None = None,
    recipe: Recipe | None = None,
    image_size: int | None = None,
    skip_bad_images: bool = False,
    train_words: Sequence[str] = (),
    screen: Screen | bool | None = None,
    equal_size: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
    join: bool = False,
    workers: int = 1,
    seed: int = 0,
    device: str = "auto",
    callbacks: Sequence[Callback] = (),
    **unknown: Any,
) -> Race:
    """Trains candidates whole, again and again, on the same parts of the images, and says which to take.

    Args:
        data: Images with labels, as ``daas.data.images_from`` takes them: tensors, a torch ``Dataset``, a path, a name.
        candidates: By default the set that docs/race.md states. Otherwise a list of results of searches, (network,
            policy), (network, policy, recipe), names or files of policies, ``"default"``, ``"mixup"``, ...
        network: For candidates that name none: a timm model (also ``hf-hub:user/name`` and ``local-dir:FOLDER``), a
            ``Genotype``, or a torch module, which is not changed.
        pretrained: Every training of ``network`` begins with its pretrained weights.
        pretrained_path: With those of this file, loaded as if they were the pretrained ones.
        initial_checkpoint: With all weights of this file, which are of the same classes.
        trainings: How many at most; by default 48, or as many as ``time_budget`` allows.
        time_budget: Seconds after which no training starts.
        folds: K; a training sees K - 1 parts of the images and is judged on the last one.
        epochs: Of every training: as many as the winner will be trained for. By default the recipe's.
        batch_size: Images per batch; by default the recipe's.
        recipe: Of all trainings, where candidates do not say otherwise; by default ``daas.train.fit.Recipe()``, with
            a learning rate of at most 0.02 where weights are given.
        image_size: Side in pixels.
        skip_bad_images: Leave out images that cannot be read.
        train_words: Words of a command line that name the images for ``daas.train``, for the printed command; by
            default those of a path or a name.
        screen: What ``daas.screen`` said of these images; True asks it first, which costs one training more.
        equal_size: Where the size of one cell network is known, as that of a search's result is, cells whose size is
            not given are raced with as many weights, to within a tenth; otherwise at the papers' size.
        out: Folder of the journal and the results; without one nothing is kept but what ``save`` writes.
        resume: Go on with the race in ``out``, if there is one.
        join: Work on the race in ``out`` together with the processes that do.
        workers: Trainings at a time. More than one starts processes on a CPU: a script needs ``if __name__ ==
            "__main__":``. On CUDA they take turns in this process, each on a stream of its own.
        seed: Of folds and trainings.
        device: ``auto``, ``cpu``, ``cuda``, ...
        callbacks: Each is called with the line of every finished training, and stops the race by returning True.
        **unknown: Refused, with the names near them.

    Returns:
        The result.

    Raises:
        BadInput: Images, candidates or options that cannot be used; ``out`` holds another race.
        FloatingPointError: The loss of every training diverged.
    """
    for name in unknown:
        raise BadInput(f"daas.race: {unknown_name(name, inspect.signature(race).parameters.keys() - {'unknown'})}")
    refuse_without_gradients("A race")
    check_installed()
    from daas.processes import local_device, refuse_in_a_pool

    seed, folds, workers = map(plain, (seed, folds, workers))
    trainings, time_budget, epochs, batch_size, image_size = map(
        plain, (trainings, time_budget, epochs, batch_size, image_size)
    )
    check_whole(
        trainings=trainings, folds=folds, epochs=epochs, batch_size=batch_size, workers=workers, seed=seed,
        image_size=image_size,
    )  # fmt: skip
    check_options(trainings, time_budget, folds, workers, out, resume or join)
    start = Start(pretrained, str(pretrained_path), str(initial_checkpoint))
    net = _network(network, start)
    chosen = _recipe(recipe or _usual(net), epochs, batch_size)
    if callable(callbacks) or not isinstance(callbacks, Iterable):
        raise BadInput(f"callbacks is {callbacks!r}; it is a list of functions: callbacks=[log].")
    if candidates is not None and not isinstance(candidates, Iterable):
        raise BadInput(f"candidates is of type {type(candidates).__name__}; it is a list: candidates=[..., None].")
    callbacks = tuple(callbacks)
    wanted = candidates if candidates is None or isinstance(candidates, str) else tuple(candidates)
    for name, value in (("folds", folds), ("workers", workers), ("seed", seed), ("image_size", image_size)):
        check_range(name, value, RANGES[name])
    size = image_size or (None if net is None else own_size(net.model, net.start))
    images = images_from(data, image_size=size, skip_bad_images=skip_bad_images)
    refuse_among_images(out, images)
    with nullcontext() if out is None or join else locked(out, then=AT_WORK):
        folder = None if out is None else checked_folder(Path(out), resume, join)
        before = folder is not None and begun(folder)
        check_images(images, folds, chosen, seed)
        trained_on = str(local_device(str(device)))
        most = TRAININGS if trainings is None and time_budget is None else trainings
        seen = screening.known(screen, images, folder, before)
        setting = sets.Setting(net, images.image_size, entering(folder, most), seen, seed)
        enter = partial(_entered, wanted, equal_size=equal_size, classes=len(images.class_names))
        if screen is True and seen is None:
            with redirect_stderr(io.StringIO()):  # what is said of candidates is said again below
                enter(setting)  # a name that leads nowhere is told before the screen
            asked = {"epochs": chosen.epochs, "batch_size": chosen.batch_size, "seed": seed, "device": trained_on}
            setting = replace(setting, screen=screening.asked(images, net, folder, **asked))
        entered = enter(setting)
        if most is not None and most < len(entered):
            raise BadInput(
                f"{len(entered)} candidates need at least {len(entered)} trainings, one each; found {most}. Raise "
                "--trainings (48 is usual), or name fewer candidates."
            )
        setup = Setup(
            images.name, images.class_names, len(images), images.image_size,
            tuple(train_words) or _train_words(data, images), chosen, seed, facts_of(images), _statistics(images),
        )  # fmt: skip
        trainer = Trainer(entered, images, chosen, folds, seed, trained_on)
        if workers > 1 and not trainer.device.startswith("cuda"):
            refuse_in_a_pool("workers > 1", "workers=1")
            if not isinstance(images, MemoryImages):
                raise BadInput(
                    "workers > 1 need images that fit into memory: choose a smaller image_size (--image-size), or "
                    "start further processes with --join."
                )
        trainer.try_out()
        budget = Budget(most, None if time_budget is None else time.time() + time_budget, workers)
        with tempfile.TemporaryDirectory(prefix="daas-race-") if folder is None else nullcontext(folder) as place:
            journal = Journal(Path(place), [candidate.name for candidate in entered], folder is not None)
            journal.agree({**about(trainer), "entering": setting.most})
            if folder is not None:
                if resume and not join:
                    refuse_company(journal)
                tqdm.write(beginning(setup, len(entered), folds, budget))
                if before:
                    tqdm.write(going_on(len(journal.results())))
            found = _race(journal, trainer, setup, budget, callbacks)
            if folder is not None:
                with journal.locked():  # others that work on the race end at the same time
                    found.write(folder)
        return found


def _entered(
    wanted: str | Sequence[Any] | None, setting: sets.Setting, equal_size: bool, classes: int
) -> list[Candidate]:
    """All that race, cells of no size as large as the first that has one, where that is wanted."""
    entered = sets.candidates(wanted, setting)
    return at_equal_size(entered, classes) if equal_size else entered


def _statistics(images: ImageData) -> dict[str, Channels]:
    """Mean and standard deviation of all images, for the command that trains the winner."""
    mean, std = channel_stats(images)
    return {"mean": _rounded(mean), "std": _rounded(std)}


def _rounded(values: Channels) -> Channels:
    red, green, blue = (round(value, 4) for value in values)
    return red, green, blue


def entering(folder: Path | None, most: int | None) -> int:
    """How many of the default set enter: half as many as trainings, at least 4; in a resumed race as many as before."""
    if folder is not None and os.path.exists(folder / JOURNAL):
        known = Journal(folder, ()).config().get("entering")
        if known is not None:
            return int(known)
    trainings = most or TRAININGS
    return max(min(4, trainings), trainings // 2)


def _race(journal: Journal, trainer: Trainer, setup: Setup, budget: Budget, callbacks: Sequence[Callback]) -> Race:
    """Plays the race of a journal."""
    entered, classes = trainer.candidates, len(setup.class_names)
    rules = Rules(trainer.folds, frozenset(number for number, candidate in enumerate(entered) if candidate.shelf))
    weights: list[int] = []
    for candidate in entered:
        same = [number for number in range(len(weights)) if entered[number].network == candidate.network]
        fitted = candidate.network.fitted(setup.image_size)
        weights.append(weights[same[0]] if same else candidate.network.parameters(classes, **fitted))
    steps = trainer.steps if torch.device(trainer.device).type == "cuda" else None
    crew = Crew(journal.folder, journal.names, rules, budget, trainer, steps)
    with streams_as_before(trainer.device):  # trainings that take turns leave them anyhow
        run(journal, crew, Watch(journal, budget, rules, callbacks))
    found = Race(
        entered,
        journal.results(),
        journal.rounds(),
        rules,
        weights,
        setup,
        sum(journal.seconds()),
    )
    found.final  # noqa: B018  # raises where everything diverged
    return found


def _network(given: Any, start: Start) -> Network | None:
    if given is None:
        start.check("")
        return None
    return network_of(given, start=start)


def _usual(network: Network | None) -> Recipe:
    """How trainings go where nothing is said: gently where weights are good for something."""
    return Recipe() if network is None or not network.start.given else Recipe(lr=FINE_LR)


def _recipe(recipe: Recipe, epochs: int | None, batch_size: int | None) -> Recipe:
    given: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size}
    for name, value in given.items():
        if value is not None and value < 1:
            raise BadInput(f"{name} is {value}; it is at least 1.")
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def _train_words(data: Given, images: ImageData) -> tuple[str, ...]:
    """Words of a command line that name these images for ``daas.train``."""
    if not isinstance(data, (str, Path)):
        return ()
    name, path = named_or_path(data)
    if path is None:
        return ("--dataset", name, *(("--val-split", "test") if name == "digits" else ()))
    return ("--data-dir", str(path), *(() if images.held_out else ("--val-dir", HELD_OUT_PHOTOS)))
