"""Where training and validation batches come from, and the source that keeps its images on the device as uint8."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from daas.data import ImageData, MemoryImages, load_images
from daas.data.facts import facts_of
from daas.data.layout import HELD_OUT
from daas.data.overlap import copies, refuse_training_images
from daas.errors import BadInput
from daas.seeds import generator
from daas.sending import sent
from daas.train.clock import Clock
from daas.train.options import TrainOptions


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


@dataclass(frozen=True)
class Batch:
    """Images and what they show, on the device, before augmentation.

    Attributes:
        images: [B, 3, H, W] uint8; float where they are normalised already.
        targets: [B] int64, or [B, classes] where they are mixed already.
        step: Address of the batch's random streams; None where the global ones are read.
    """

    images: Tensor
    targets: Tensor
    step: int | None = None


class Batches(ABC):
    """Training and validation batches of one process.

    Attributes:
        name: Of the data set.
        class_names: One per label of the training images.
        val_class_names: One per label of the validation images.
        val_shown: Those of them that have images.
        train_images: Over all processes.
        val_images: Validation images over all processes.
        per_epoch: Batches of an epoch in this process; equally many in each.
        transform: Preprocessing, as result.json has it.
        folders: Real paths of the folders that hold the images, where they are files.
        facts: What was not read (``daas.data.facts.facts_of``).
        ahead: Whether a batch is augmented before the one before it is used, as timm does it.
    """

    name: str
    class_names: tuple[str, ...]
    val_class_names: tuple[str, ...]
    val_shown: frozenset[str]
    train_images: int
    val_images: int
    per_epoch: int
    transform: dict[str, Any]
    folders: frozenset[str]
    facts: dict[str, Any]
    ahead: bool = False

    @abstractmethod
    def prepare(self, classes: int, clock: Clock) -> None:
        """Says how many outputs the network has and who counts the time, before the first batch."""

    @abstractmethod
    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Training batches from batch ``start`` on."""

    @abstractmethod
    def validation(self) -> Iterator[Batch]:
        """This process's share of the validation images, each once."""

    @abstractmethod
    def digests(self) -> dict[str, str]:
        """Hashes of the training and of the validation images, by what they are."""

    @abstractmethod
    def state(self, within_epoch: bool) -> Tensor:
        """What a checkpoint must hold of this process's randomness, as one int64 tensor."""

    @abstractmethod
    def resume(self, state: Tensor) -> None:
        """The inverse of ``state``: before ``epoch`` goes on where that was taken."""


class MemoryBatches(Batches):
    """Images on the device as uint8; all randomness is addressed by (seed, step).

    Args:
        options: The run's.
        place: This process.
        transform: timm's data config; its size counts.
        train: Training images, of that size; None where only validation is wanted.
        val: Validation images.
    """

    def __init__(
        self, options: TrainOptions, place: Place, transform: dict[str, Any], train: ImageData | None, val: ImageData
    ) -> None:
        self.options, self.place = options, place
        self.transform = {**transform, "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "center"}
        self.val = _on(place.device, val)
        self.train = self.val if train is None else _on(place.device, train)
        self.facts = facts_of(val) if train is None else facts_of(train, val, also=copies(train, val))
        self.folders = self.train.folders | self.val.folders
        self.name, self.class_names, self.val_class_names = (
            self.train.name,
            self.train.class_names,
            self.val.class_names,
        )
        self.val_shown = frozenset(self.val.class_names[label] for label in self.val.labels.unique().tolist())
        self.train_images, self.val_images = len(self.train), len(self.val)
        self.global_batch = options.batch_size * place.world
        self.per_epoch = self.train_images // self.global_batch
        if train is not None and not self.per_epoch:
            raise BadInput(few_images(self.name, self.train_images, options.batch_size, place.world))

    def prepare(self, classes: int, clock: Clock) -> None:
        """Says who counts the time."""
        self.clock = clock

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Shuffled batches; the last incomplete one of an epoch is left out."""
        seed, size, rank = self.options.seed, self.options.batch_size, self.place.rank
        order = torch.randperm(self.train_images, generator=generator(seed, epoch))
        for index in range(start, self.per_epoch):
            with self.clock.spend("data"):
                first = index * self.global_batch + rank * size
                chosen = order[first : first + size]
                batch = self._batch(self.train, chosen, epoch * self.per_epoch + index)
            yield batch

    def validation(self) -> Iterator[Batch]:
        """Every image once, over all processes."""
        mine = torch.arange(self.place.rank, self.val_images, self.place.world)
        for chosen in mine.split(self.options.validation_batch_size or self.options.batch_size):
            yield self._batch(self.val, chosen)

    def _batch(self, data: ImageData, chosen: Tensor, step: int | None = None) -> Batch:
        device = self.place.device
        return Batch(sent(data.fetch(chosen), device), sent(data.labels[chosen], device), step)

    def digests(self) -> dict[str, str]:
        """Of pixels in memory, of the names of files that stay on disk."""
        return {"training images": self.train.digest(), "validation images": self.val.digest()}

    def state(self, within_epoch: bool) -> Tensor:
        """Nothing: streams are addressed, not advanced."""
        return torch.empty(0, dtype=torch.int64)

    def resume(self, state: Tensor) -> None:
        """Nothing to do."""


def memory_batches(options: TrainOptions, place: Place, transform: dict[str, Any], train: bool) -> MemoryBatches:
    """Reads the images that the options name.

    Args:
        options: The run's.
        place: This process.
        transform: timm's data config; its size counts.
        train: Whether training images are wanted too.

    Raises:
        BadInput: As ``daas.data.load_images``, images to train on among those to validate on, or fewer images than a
            batch.
    """
    size = int(transform["input_size"][-1])
    val = _load(options, size, validation=True)
    if not train:
        return MemoryBatches(options, place, transform, None, val)
    images = _load(options, size, validation=False)
    refuse_training_images(images, val)
    return MemoryBatches(options, place, transform, images, val)


def _load(options: TrainOptions, size: int, validation: bool) -> ImageData:
    own = validation and options.val_dir
    split = options.val_split if validation else options.train_split
    return load_images(
        "" if own else options.dataset,
        options.val_dir if own else options.data_dir or None,
        split=HELD_OUT if own else split_name(options.dataset, split),
        image_size=size,
        skip_bad_images=options.skip_bad_images,
        workers=options.workers,
        download=options.dataset_download,
    )


def _on(device: torch.device, data: ImageData) -> ImageData:
    return data.to(device) if isinstance(data, MemoryImages) else data


def split_name(dataset: str, name: str) -> str:
    """A split as ``load_images`` calls it: those of a named data set keep their names.

    Raises:
        BadInput: Folders have no such split.
    """
    if dataset not in ("", "digits"):
        return name
    known = {"train": "train", "validation": "val", "val": "val", "test": "test"}
    if name not in known:
        raise BadInput(f"split {name!r} is unknown; it is one of {', '.join(known)}.")
    return known[name]


def few_images(name: str, images: int, batch: int, processes: int) -> str:
    """What to say where there is not one whole batch of all processes."""
    where = f" over {processes} processes" if processes > 1 else ""
    return (
        f"{name} gives {images} training images, fewer than one batch of {batch * processes}{where}. Use a smaller "
        "--batch-size, or more images."
    )
