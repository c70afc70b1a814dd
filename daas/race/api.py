"""``daas.race(...)``: candidates in, the one that wins whole trainings out."""

from __future__ import annotations

import inspect
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from daas.data import ImageData, MemoryImages
from daas.data.facts import facts_of
from daas.data.given import Given, images_from, named_or_path
from daas.data.sources import refuse_among_images
from daas.errors import BadInput, unknown_name
from daas.locks import locked
from daas.models.start import Start, own_size
from daas.race import sets
from daas.race.candidates import Candidate, Network
from daas.race.candidates import network as network_of
from daas.race.checks import AT_WORK, check_images, check_options, checked_folder, refuse_company
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
    start = Start(pretrained, str(pretrained_path), str(initial_checkpoint))
    net = _network(network, start)
    chosen = _recipe(recipe or _usual(net), epochs, batch_size)
    if callable(callbacks):
        raise BadInput("callbacks is a function; it is a list of functions: callbacks=[log].")
    check_options(trainings, time_budget, folds, workers, out, resume or join)
    for name, value in (("folds", folds), ("workers", workers), ("seed", seed), ("image_size", image_size)):
        check_range(name, value, RANGES[name])
    size = image_size or (None if net is None else own_size(net.model, net.start))
    images = images_from(data, image_size=size, skip_bad_images=skip_bad_images)
    refuse_among_images(out, images)
    with nullcontext() if out is None or join else locked(out, then=AT_WORK):
        folder = None if out is None else checked_folder(Path(out), resume, join)
        before = folder is not None and begun(folder)
        check_images(images, folds, chosen, seed)
        asked = {"epochs": chosen.epochs, "batch_size": chosen.batch_size, "seed": seed}
        seen = _screen(screen, images, net, asked, None if folder is None else folder / "screen")
        most = TRAININGS if trainings is None and time_budget is None else trainings
        setting = sets.Setting(net, images.image_size, entering(folder, most), seen, seed)
        entered = sets.candidates(candidates, setting)
        if equal_size:
            entered = at_equal_size(entered, len(images.class_names))
        if most is not None and most < len(entered):
            raise BadInput(
                f"{len(entered)} candidates need at least {len(entered)} trainings, one each; found {most}. Raise "
                "--trainings (48 is usual), or name fewer candidates."
            )
        setup = Setup(
            images.name, images.class_names, len(images), images.image_size,
            tuple(train_words) or _train_words(data, images), chosen, seed, facts_of(images),
        )  # fmt: skip
        trainer = Trainer(entered, images, chosen, folds, seed, str(local_device(str(device))))
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
            journal.agree({**_about(trainer, setup), "entering": setting.most})
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
        weights.append(weights[same[0]] if same else candidate.network.parameters(classes))
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


def _screen(
    given: Screen | bool | None,
    images: ImageData,
    network: Network | None,
    options: dict[str, Any],
    folder: Path | None,
) -> Screen | None:
    """What is known of the images; asked where it is wanted, and kept in the race's folder."""
    from daas.screen.result import Screen as Screened

    if not isinstance(given, Screened | bool | None):
        raise BadInput(
            f"screen is of type {type(given).__name__}; it is a result of daas.screen, "
            "daas.Screen.load(FOLDER), or True."
        )
    if not isinstance(given, bool):
        return given
    if not given:
        return None
    if folder is not None and os.path.isfile(folder / "screen.json"):
        return Screened.load(folder)
    room: Any = import_module("daas.screen")
    kept: dict[str, Any] = {} if folder is None else {"out": folder, "resume": "auto"}
    trained: Any = None
    if network is not None and network.start.given:  # by its name, so that it meets what its weights are used to
        trained = network.model
        kept |= {"model_kwargs": dict(network.kwargs), **network.start.named()}
    elif network is not None:
        trained = network.create(len(images.class_names))
    asked: Screen = room(images, network=trained, **options, **kept)
    return asked


def _about(trainer: Trainer, setup: Setup) -> dict[str, Any]:
    """What two processes must agree on to work on one race."""
    return {
        "candidates": [candidate.name for candidate in trainer.candidates],
        "policies": [_digest(candidate) for candidate in trainer.candidates],
        "images": trainer.data.digest(),
        "recipe": " ".join(setup.recipe.words()),
        "folds": trainer.folds,
        "seed": trainer.seed,
    }


def _digest(candidate: Candidate) -> str:
    import hashlib
    import json

    parts = [candidate.policy, candidate.network.genotype]
    text = json.dumps([None if part is None else part.to_dict() for part in parts], sort_keys=True)
    start = candidate.network.start.contents()
    text += repr(candidate.recipe) + repr(candidate.network.kwargs) + (repr(start) if start else "")
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _train_words(data: Given, images: ImageData) -> tuple[str, ...]:
    """Words of a command line that name these images for ``daas.train``."""
    if not isinstance(data, (str, Path)):
        return ()
    name, path = named_or_path(data)
    if path is None:
        return ("--dataset", name, *(("--val-split", "test") if name == "digits" else ()))
    return ("--data-dir", str(path), *(() if images.held_out else ("--val-dir", HELD_OUT_PHOTOS)))
