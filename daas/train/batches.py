"""Where training and validation batches come from, and the source that keeps its images on the device as uint8."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from daas.data import ImageData, MemoryImages, crop_flip, load_images
from daas.data.files import HELD_OUT
from daas.errors import BadInput
from daas.seeds import generator, seed_of
from daas.train.augmentation import BatchAugmentation
from daas.train.clock import Clock
from daas.train.options import TrainOptions
from daas.train.randomness import seed_everything

_CROP, _POLICY, _GLOBAL, _CUTOUT = range(4)  # what a random stream is for


@dataclass(frozen=True)
class Place:
    """This process among those that train together.

    Attributes:
        device: Of the network.
        rank: From 0.
        world: Number of processes.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0


class Batches(ABC):
    """Training and validation batches of one process.

    Attributes:
        name: Of the data set.
        class_names: One per label.
        train_images: Over all processes.
        val_images: The same.
        per_epoch: Batches of an epoch in this process; equally many in each.
        transform: Preprocessing, as result.json has it.
    """

    name: str
    class_names: tuple[str, ...]
    train_images: int
    val_images: int
    per_epoch: int
    transform: dict[str, Any]

    @property
    def mixes_itself(self) -> bool:
        """Whether training batches come mixed, so that Mixup must not happen again."""
        return False

    @abstractmethod
    def attach(self, augmentation: BatchAugmentation, clock: Clock) -> None:
        """Says what happens to a batch and who counts the time, before the first batch."""

    @abstractmethod
    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented training batches from batch ``start`` on, with their targets, on the device."""

    @abstractmethod
    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's share of the validation images, normalised, with their labels, on the device; each once."""

    @abstractmethod
    def state(self, within_epoch: bool) -> Tensor:
        """What a checkpoint must hold of this process's randomness, as one int64 tensor."""

    @abstractmethod
    def resume(self, state: Tensor) -> None:
        """The inverse of ``state``: before ``epoch`` goes on where that was taken."""


class MemoryBatches(Batches):
    """Images on the device as uint8: padded, cropped and flipped there; all randomness is addressed by (seed, step).

    Several processes share one batch: crop, flip, policy and cutout of an image do not depend on how many they are;
    random erasing, Mixup and dropout, which read the global streams, do.

    Args:
        options: The run's.
        place: This process.
        transform: timm's data config; its size counts.
        train: Whether training images are wanted too.
    """

    def __init__(self, options: TrainOptions, place: Place, transform: dict[str, Any], train: bool) -> None:
        self.options, self.place = options, place
        size = int(transform["input_size"][-1])
        self.transform = {**transform, "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "center"}
        self.val = _on(place.device, _load(options, size, validation=True))
        self.train = _on(place.device, _load(options, size, validation=False)) if train else self.val
        same_classes(self.train.class_names, self.val.class_names)
        self.name, self.class_names = self.train.name, self.train.class_names
        self.train_images, self.val_images = len(self.train), len(self.val)
        self.global_batch = options.batch_size * place.world
        self.per_epoch = self.train_images // self.global_batch
        if train and not self.per_epoch:
            raise BadInput(few_images(self.name, self.train_images, self.global_batch))
        self.padding = size // 8 if options.crop_padding is None else options.crop_padding

    def attach(self, augmentation: BatchAugmentation, clock: Clock) -> None:
        """Says what happens to a batch and who counts the time."""
        self.augmentation, self.clock = augmentation, clock

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented batches; the last incomplete one of an epoch is left out."""
        seed, size, rank = self.options.seed, self.options.batch_size, self.place.rank
        order = torch.randperm(self.train_images, generator=generator(seed, epoch))
        for index in range(start, self.per_epoch):
            step = epoch * self.per_epoch + index
            with self.clock.spend("data"):
                first = index * self.global_batch + rank * size
                chosen = order[first : first + size]
                images = self.train.fetch(chosen).to(self.place.device)
                labels = self.train.labels[chosen].to(self.place.device)
            seed_everything(seed_of(seed, step, _GLOBAL, rank))
            with self.clock.spend("augmentation"):
                batch = self._augmented(images, labels, step)
            yield batch

    def _augmented(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        options, first, total = self.options, self.place.rank * self.options.batch_size, self.global_batch
        if not options.no_aug:
            crop = generator(options.seed, step, _CROP)
            images = crop_flip(images, crop, self.padding, options.hflip, first, total)
        draw = self.augmentation.draw(total, generator(options.seed, step, _POLICY))
        mine = None if draw is None else draw[first : first + len(images)]
        return self.augmentation(images, labels, mine, generator(options.seed, step, _CUTOUT), first, total)

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, over all processes."""
        mine = torch.arange(self.place.rank, self.val_images, self.place.world)
        for chosen in mine.split(self.options.validation_batch_size or self.options.batch_size):
            images = self.val.fetch(chosen).to(self.place.device)
            yield self.augmentation.normalize(images), self.val.labels[chosen].to(self.place.device)

    def state(self, within_epoch: bool) -> Tensor:
        """Nothing: streams are addressed, not advanced."""
        return torch.empty(0, dtype=torch.int64)

    def resume(self, state: Tensor) -> None:
        """Nothing to do."""


def _load(options: TrainOptions, size: int, validation: bool) -> ImageData:
    own = validation and options.val_dir
    return load_images(
        "" if own else options.dataset,
        options.val_dir if own else options.data_dir or None,
        split=HELD_OUT if own else _split(options, options.val_split if validation else options.train_split),
        image_size=size,
        skip_bad_images=options.skip_bad_images,
        workers=options.workers,
        download=options.dataset_download,
    )


def _on(device: torch.device, data: ImageData) -> ImageData:
    return data.to(device) if isinstance(data, MemoryImages) else data


def _split(options: TrainOptions, name: str) -> str:
    """A split as ``load_images`` calls it: those of a named data set keep their names."""
    if options.dataset not in ("", "digits"):
        return name
    known = {"train": "train", "validation": "val", "val": "val", "test": "test"}
    if name not in known:
        raise BadInput(f"split {name!r} is unknown; it is one of {', '.join(known)}.")
    return known[name]


def same_classes(training: Sequence[str], validation: Sequence[str]) -> None:
    """Checks that labels mean the same in both sets.

    Raises:
        BadInput: They do not.
    """
    if tuple(training) != tuple(validation):
        raise BadInput(
            f"training and validation images have different classes: {', '.join(training[:8])} and "
            f"{', '.join(validation[:8])}. Use the same class folders in both."
        )


def few_images(name: str, images: int, batch: int) -> str:
    """What to say where there is not one whole batch."""
    return (
        f"{name} gives {images} training images, fewer than one batch of {batch} (over all processes). Use a smaller "
        "--batch-size, or more images."
    )
