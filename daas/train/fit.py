"""One whole training on images in memory: a network and an augmentation in, logits on validation images out."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor, nn

from daas.augment import DAASPolicy, Policy
from daas.data import ImageData, channel_stats
from daas.errors import BadInput, names_checked
from daas.randomness import capture, restore, seed_everything
from daas.ranges import plain
from daas.recording import say_eager
from daas.seeds import seed_of
from daas.surroundings import refuse_without_gradients, usual_torch
from daas.train import build
from daas.train.assemble import learner_of, set_up
from daas.train.augmentation import Augment, EpochPolicy
from daas.train.batches import MemoryBatches, Place
from daas.train.checks import check
from daas.train.keeping import Kept
from daas.train.loop import batch_by_batch, predictions
from daas.train.losses import EitherTarget
from daas.train.options import TrainOptions
from daas.train.training import Progress, Training
from daas.train.trial import try_out

_INITIAL = 106  # what a random stream is for
FINE_LR = 0.02
"""Largest learning rate, by default, where a network begins with weights that are good for something."""


@names_checked
@dataclass(frozen=True)
class Recipe:
    """How a network is trained, by the names of ``daas train``; all that is not here has its default there.

    Attributes:
        hflip_swap: Pairs of classes that a horizontal flip turns into each other.
        drop_path: Of the network. Who makes it gives it this rate, as a race and the command line do; ``fit`` takes a
            network as it is.
        mean: Per channel, as a share of the full range; by default that of the training images.
        std: Standard deviation per channel; by default that of the training images.

    >>> " ".join(Recipe(epochs=12, hflip_swap=(("left", "right"),)).words()[:4])
    '--epochs 12 --batch-size 50'
    """

    epochs: int = 60
    batch_size: int = 50
    opt: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    layer_decay: float | None = None
    clip_grad: float | None = None
    sched: str = "onecycle"
    warmup_epochs: int = 0
    min_lr: float = 0.0
    hflip: float = 0.5
    hflip_swap: tuple[tuple[str, str], ...] = ()
    crop_padding: int | None = None
    cutout: int = 0
    reprob: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.0
    drop_path: float | None = None
    model_ema: bool = False
    model_ema_decay: float = 0.9998
    amp: bool = False
    amp_dtype: str = "bfloat16"
    channels_last: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            several = value.tolist() if isinstance(value, (np.ndarray, Tensor)) and value.ndim else value
            value = tuple(map(plain, several)) if isinstance(several, (tuple, list)) else plain(value)
            object.__setattr__(self, field.name, value)

    def options(self, seed: int = 0) -> TrainOptions:
        """The options of a training that holds its images on the device."""
        values = {**asdict(self), "hflip_swap": tuple(f"{a}:{b}" for a, b in self.hflip_swap)}
        return TrainOptions(**values, train_crop_mode="pad", seed=seed)

    def words(self, statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None) -> list[str]:
        """The words of a command line that trains like this: what differs from the defaults of ``daas.train``.

        Args:
            statistics: Mean and standard deviation per channel of the training images (``daas.data.channel_stats``), by
                which ``fit`` normalises where the recipe names none; the command takes the model's without them.
        """
        mean, std = statistics or (None, None)
        options, found = replace(self, mean=self.mean or mean, std=self.std or std).options(), []
        idle = () if self.amp else ("amp_dtype",)
        for name in (*(field.name for field in fields(self)), "train_crop_mode"):
            value = getattr(options, name)
            if value != getattr(TrainOptions(), name) and name not in idle:
                several = value if isinstance(value, tuple) else (value,)
                found += ["--" + name.replace("_", "-"), *([] if value is True else map(str, several))]
        return found


@dataclass(frozen=True)
class Fitted:
    """What a training came to.

    Attributes:
        model: The trained network, in evaluation mode; its moving average where that was asked for.
        logits: [n_val, classes] float32 on the CPU, in the order of the validation images.
        labels: [n_val] int64.
        losses: Mean training loss of each epoch.
        seconds: Wall-clock time, validation included.
    """

    model: nn.Module
    logits: Tensor
    labels: Tensor
    losses: list[float]
    seconds: float

    @property
    def accuracy(self) -> float:
        """Percent of the validation images."""
        return 100 * float((self.logits.argmax(1) == self.labels).double().mean())


class Stopped(Exception):
    """``stop`` asked for it."""


@usual_torch()
def fit(
    network: nn.Module | Callable[[], nn.Module],
    train: ImageData,
    val: ImageData,
    recipe: Recipe,
    *,
    augment: Augment | DAASPolicy | Policy | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int, float], None] | None = None,
    stop: Callable[[], bool] | None = None,
    kept: Kept | None = None,
) -> Fitted:
    """Trains a network from its first to its last epoch; no global state stays changed.

    Everything random is addressed by (seed, step): two trainings with one seed see the same batches in the same order
    with the same crops and flips, whatever else is done to the images.

    Args:
        network: A network, which is copied and not changed; or what makes one, called with torch's random stream seeded
            by ``seed``.
        train: Training images.
        val: Validation images of the same size.
        recipe: How.
        augment: After crop and flip: a policy, or a function (uint8 images [B, 3, H, W], labels [B], the step's
            generator) -> (uint8 images, labels [B] or soft targets [B, classes]).
        seed: Of everything random.
        device: Where to train.
        progress: Called after every epoch with epochs done, epochs in all, and the training loss.
        stop: Asked after every batch.
        kept: Where the training is kept after every epoch, and goes on from, with the same result to the bit as without
            an interruption; nothing is written without.

    Raises:
        BadInput: Images, network and recipe that do not go together; gradients that are off.
        FloatingPointError: The loss is no longer a number.
        Stopped: ``stop`` said so.
    """
    refuse_without_gradients("A training")
    with streams_as_before(device):
        steps = fitting(
            network, train, val, recipe, augment=augment, seed=seed, device=device, progress=progress, kept=kept
        )
        done = 0
        while True:
            try:
                next(steps)
            except StopIteration as end:
                fitted: Fitted = end.value
                return fitted
            done += 1
            if stop is not None and stop():
                raise Stopped(f"stopped after {done} batches")


def fitting(
    network: nn.Module | Callable[[], nn.Module],
    train: ImageData,
    val: ImageData,
    recipe: Recipe,
    *,
    augment: Augment | DAASPolicy | Policy | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int, float], None] | None = None,
    kept: Kept | None = None,
    alone: bool = True,
) -> Generator[Tensor, None, Fitted]:
    """``fit`` in pieces, so that one process takes several trainings forward in turns; returns what ``fit`` returns.

    It seeds the global random streams, at the beginning and with every batch, and leaves them so: whoever takes the
    pieces keeps them, with ``streams_as_before``.

    Args:
        network: As ``fit`` takes it.
        train: Training images.
        val: Validation images.
        recipe: How.
        augment: As ``fit`` takes it.
        seed: Of everything random.
        device: Where to train.
        progress: As ``fit`` takes it.
        kept: As ``fit`` takes it.
        alone: Whether no other training runs beside it in this process.

    Yields:
        The images of every batch when it is done.
    """
    started = time.perf_counter()
    run = _training(network, train, val, recipe, seed, Place(torch.device(device)), alone)
    try_out(run)
    if isinstance(augment, (Policy, DAASPolicy)):
        run.augmentation.policy = EpochPolicy(augment, recipe.epochs)
    else:
        run.augmentation.augment = augment
    losses = [] if kept is None else kept.restore(run)
    for epoch in range(len(losses), run.epochs):
        losses.append((yield from batch_by_batch(run)))
        run.progress = Progress(epoch + 1)
        if run.learner.schedule is not None:
            run.learner.schedule.step(epoch + 1)
        if kept is not None:
            kept.save(run, losses)
        if progress is not None:
            progress(epoch + 1, run.epochs, losses[-1])
    found = [(logits.float().cpu(), labels.cpu()) for logits, labels in predictions(run, run.shown)]
    logits, labels = (torch.cat(part) for part in zip(*found, strict=True))
    return Fitted(run.shown, logits, labels, losses, time.perf_counter() - started)


def try_fit(
    network: nn.Module | Callable[[], nn.Module], train: ImageData, val: ImageData, recipe: Recipe, device: str = "cpu"
) -> None:
    """Tries one step of a training, so that what cannot work is told before anything is written.

    Args:
        network: As ``fit`` takes it; it is not changed.
        train: Images; one batch is enough.
        val: Images of all classes; they are not looked at.
        recipe: Of the training.
        device: Where it would run.

    Raises:
        BadInput: What ``fit`` would raise at its start.
    """
    with streams_as_before(device):
        try_out(_training(network, train, val, recipe, 0, Place(torch.device(device))))


def _training(
    network: nn.Module | Callable[[], nn.Module],
    train: ImageData,
    val: ImageData,
    recipe: Recipe,
    seed: int,
    place: Place,
    alone: bool = True,
) -> Training:
    """Everything that ``fit`` needs."""
    seed_everything(seed_of(seed, _INITIAL))
    made = copy.deepcopy(network) if isinstance(network, nn.Module) else network()
    options = replace(recipe.options(seed), model=type(made).__name__)
    check(options)
    if recipe.sched == "plateau":
        raise BadInput("sched='plateau' needs a validation after every epoch; choose 'onecycle', 'cosine' or 'step'.")
    if train.image_size != val.image_size:
        raise BadInput(f"training images have {train.image_size} pixels and validation images {val.image_size}.")
    mean, std = channel_stats(train)
    transform = {
        "input_size": (3, train.image_size, train.image_size),
        "mean": recipe.mean or mean,
        "std": recipe.std or std,
    }
    batches = MemoryBatches(options, place, transform, train, val)
    model = made.to(place.device)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
    setting = set_up(options, place, batches, len(batches.class_names))
    optimizer = build.optimizer(options, model, place.world)
    learner, epochs = learner_of(setting, model, optimizer, build.moving_average(options, model), alone)
    if learner.eager is not None:
        say_eager(learner.eager)
    learner.loss = EitherTarget(learner.loss, options.smoothing)
    return Training(**vars(setting), learner=learner, epochs=epochs, progress=Progress(0), bar=False)


@contextmanager
def streams_as_before(device: torch.device | str) -> Iterator[None]:
    """The global random streams are afterwards what they were."""
    place = torch.device(device)
    before = capture(place)
    try:
        yield
    finally:
        restore(before, place)
