"""A training put together from its options, in the order in which timm's script does it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from timm.utils import NativeScaler, random_seed
from torch import nn

import daas  # noqa: F401  # registers the models
from daas.data import ImageData
from daas.data.facts import sentences
from daas.data.sources import refuse_among_images
from daas.errors import BadInput, plain
from daas.files import digest
from daas.models import CellNet
from daas.models.auxiliary import CellNetWithAux
from daas.models.weights import Weights, load_weights
from daas.train import build
from daas.train.augmentation import BatchAugmentation, EpochPolicy, policy_of
from daas.train.batches import Batches, MemoryBatches, Place, memory_batches
from daas.train.captured import captured_step, why_eager
from daas.train.checks import holds_images
from daas.train.clock import Clock
from daas.train.effects import without_effect
from daas.train.labels import by_name
from daas.train.loader import LoaderBatches
from daas.train.logs import Logs
from daas.train.options import TrainOptions
from daas.train.resume import find
from daas.train.training import Learner, Progress, Setting, Training


@dataclass
class Run(Training):
    """A training that has a folder.

    Attributes:
        folder: Of the run.
        rows: Per finished epoch ``epoch``, ``train``, ``eval`` (None where it was not validated) and ``lr``.
        inputs: Hashes of what the options only name, by what it is: images, genotype, policy.
        best: Index in ``rows`` of the best epoch, -1 before there is one.
    """

    folder: Path = Path()
    logs: Logs | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: int = -1
    inputs: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Given:
    """What a program passes on, instead of names for it.

    Attributes:
        train: Training images.
        val: Validation images.
        policy: In place of the one that ``--aa`` names.
    """

    train: ImageData | None = None
    val: ImageData | None = None
    policy: EpochPolicy | None = None


def put_together(options: TrainOptions, place: Place, folder: Path, given: Given) -> tuple[Run, Path | None]:
    """Makes everything, the loaders after the network.

    Returns:
        The training, and the checkpoint that it is to go on from, if any: then it needs no weights to begin with.

    Raises:
        BadInput: Something that cannot be used; the message says what.
    """
    random_seed(options.seed, place.rank)  # in timm's order: seed, network, loaders
    policy = policy_of(options) if given.policy is None or options.no_aug else given.policy
    if given.train is not None and given.val is not None:
        batches: Batches = MemoryBatches(options, place, build.data_config(options), given.train, given.val)
    else:
        batches = batches_of(options, place, policy, train=True)
    refuse_among_images(folder, batches, flag="--output")
    source = find(options, folder)  # after the images, which are said to be wrong in any case
    begun = options if source is None else replace(options, pretrained=False, pretrained_path="", initial_checkpoint="")
    classes = classes_of(options, batches.class_names, batches.name)
    model = build.network(begun, classes).to(place.device)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
    model = build.batch_norms(options, model, place)
    if begun.initial_checkpoint:
        load_weights(model, begun.initial_checkpoint, batches.class_names)
    build.initial_head(options, model)
    if place.first:
        for text in without_effect(options, isinstance(model, CellNetWithAux)):
            print(f"Warning: {text}", file=sys.stderr)
    optimizer = build.optimizer(options, model, place.world)
    ema = build.moving_average(options, model)
    setting = set_up(options, place, batches, classes)
    setting.augmentation.policy = policy
    learner, epochs = learner_of(setting, model, optimizer, ema)
    start = options.start_epoch or 0
    if learner.schedule is not None and start:
        advance(learner.schedule, start, start * learner.updates_per_epoch, None, options)
    run = Run(**vars(setting), learner=learner, epochs=epochs, progress=Progress(start), folder=folder)
    run.inputs = {**batches.digests(), **_files(run)}
    return run, source


def _files(run: Run) -> dict[str, str]:
    """Hashes of the genotype and of the policy."""
    found = {}
    if isinstance(run.learner.model, CellNet):
        found["genotype"] = digest(run.learner.model.genotype.to_dict())
    policy = run.augmentation.policy
    if policy is not None:
        found["policy"] = digest((policy.schedule or policy.transform.policy).to_dict())
    return found


def batches_of(options: TrainOptions, place: Place, policy: EpochPolicy | None, train: bool) -> Batches:
    """Opens the images, held on the device or loaded by timm's loader, and says what was left out."""
    transform = build.data_config(options)
    batches: Batches
    if holds_images(options):
        batches = memory_batches(options, place, transform, train)
    else:
        batches = LoaderBatches(options, place, transform, policy, train)
    if place.first:
        said = list(sentences(batches.facts))
        if train and options.amp and options.amp_dtype == "float16" and place.device.type == "cpu":
            said.append(
                "--amp with float16 on a CPU: PyTorch has no fast code for gradients there, and a step takes 10 to 40 "
                "times as long as without --amp. Leave --amp out, or take --amp-dtype bfloat16."
            )
        for text in said:
            print(f"Warning: {plain(text)}", file=sys.stderr)
    return batches


def set_up(
    options: TrainOptions, place: Place, batches: Batches, classes: int, weights: Weights | None = None
) -> Setting:
    """Batches that are ready, and what happens to them.

    Args:
        options: The run's.
        place: This process.
        batches: Where images come from.
        classes: Outputs of the network.
        weights: What is validated; their class names count then, where they have any.

    Raises:
        BadInput: Validation images of a class that is not known.
    """
    clock = Clock()
    known, what = batches.class_names, "the training images"
    if weights is not None and weights.class_names is not None:
        known, what = weights.class_names, f"the weights {weights.path}"
    labels = by_name(batches.val_class_names, known, what)
    missing = [name for name in known if name not in batches.val_shown]
    if missing and place.first:
        said = plain(", ".join(missing[:8])) + (" ..." if len(missing) > 8 else "")
        print(
            f"Warning: there are no validation images of {said} ({len(missing)} of {len(known)} classes).",
            file=sys.stderr,
        )
    augmentation = BatchAugmentation(options, place, batches.transform, batches.class_names, classes)
    batches.prepare(classes, clock)
    return Setting(options, place, batches, augmentation, clock, labels)


def learner_of(
    setting: Setting, model: nn.Module, optimizer: torch.optim.Optimizer, ema: Any, alone: bool = True
) -> tuple[Learner, int]:
    """What learns, with its schedule and loss, and the number of epochs.

    Args:
        setting: Of the training.
        model: On its device.
        optimizer: Of the model.
        ema: Its moving average, or None.
        alone: Whether no other training runs beside it in this process.

    Raises:
        BadInput: An unknown schedule, or ``--graph on`` where steps cannot be captured.
    """
    options, place = setting.options, setting.place
    updates = -(-setting.batches.per_epoch // options.grad_accum_steps)
    schedule, epochs = build.schedule(options, optimizer, updates)
    scaler = NativeScaler(device=place.device.type) if options.amp and options.amp_dtype == "float16" else None
    runner = build.wrapped(options, model, place)
    loss = build.training_loss(options).to(place.device)
    learner = Learner(model, runner, loss, optimizer, schedule, ema, updates, scaler)
    reason = why_eager(options, place, optimizer)
    if reason is None:
        learner.captured = captured_step(learner, setting.augmentation, options, place, alone)
    elif place.device.type == "cuda":
        learner.eager = reason
    return learner, epochs


def classes_of(options: TrainOptions, names: Sequence[str], whose: str) -> int:
    """Outputs of the network: the named classes, or more where ``--num-classes`` says so.

    Raises:
        BadInput: Fewer.
    """
    found = len(names)
    if options.num_classes is not None and options.num_classes < found:
        raise BadInput(
            f"--num-classes {options.num_classes}: {whose} has {found} classes. Leave the option out, or name at least "
            "as many."
        )
    return options.num_classes or found


def advance(schedule: Any, epoch: int, updates: int, metric: float | None, options: TrainOptions) -> None:
    """Moves a schedule that was just made to the beginning of an epoch."""
    if options.sched_on_updates or options.sched == "onecycle":
        schedule.step_update(num_updates=updates)
    else:
        schedule.step(epoch, metric)
