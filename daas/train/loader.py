"""timm's data sets and loaders, draw for draw, with an exact resume in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from timm.data import FastCollateMixup, create_dataset, create_loader
from timm.data.loader import fast_collate
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from daas.augment import DAASPolicy
from daas.data.facts import facts_of
from daas.data.labels import distinct
from daas.data.layout import HELD_OUT
from daas.data.named import usual_place
from daas.data.overlap import copies, refuse_training_images
from daas.data.pictures import Pictures, class_map
from daas.data.sources import open_source
from daas.errors import BadInput
from daas.files import digest
from daas.randomness import capture, restore
from daas.train.augmentation import EpochPolicy, mixed_when_loaded, mixes_in, mixup_arguments
from daas.train.batches import Batch, Batches, Place, few_images
from daas.train.clock import Clock
from daas.train.options import TrainOptions
from daas.train.timm_strings import keep_no_bit

_REFUSALS = (AssertionError, AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError)
"""What timm, torchvision and datasets raise on names, splits and places that they cannot open."""


class LoaderBatches(Batches):
    """Batches from timm's loader: the global random streams are read in the order in which timm's script reads them.

    Processes that load images are started anew for every epoch, so that a resumed run can repeat what they did. With
    ``workers`` the first epoch therefore equals timm's, and later ones draw other numbers than its persistent workers.

    Args:
        options: The run's.
        place: This process.
        transform: timm's data config.
        policy: Of ``--aa daas:``.
        train: Whether training images are wanted too.
    """

    def __init__(
        self,
        options: TrainOptions,
        place: Place,
        transform: dict[str, Any],
        policy: EpochPolicy | None,
        train: bool,
    ) -> None:
        self.options, self.place, self.transform, self.policy = options, place, transform, policy
        self.prefetch = self.ahead = not options.no_prefetcher
        if policy is not None and not self.prefetch:
            raise BadInput("--no-prefetcher normalises in the workers; --aa daas: comes before that. Leave one out.")
        self.val_data = _data(options, validation=True)
        self.train_data = _data(options, validation=False) if train else self.val_data
        parts = [data for data in (self.train_data, self.val_data) if isinstance(data, Pictures)]
        said: tuple[str, ...] = ()
        if train and len(parts) == 2:
            refuse_training_images(parts[0].source, parts[1].source)
            said = copies(parts[0].source, parts[1].source)
        self.facts = facts_of(*parts[: 1 + train], also=said)
        self.folders = frozenset[str]().union(*(part.source.folders for part in parts))
        self.name = options.dataset or Path(options.data_dir or options.val_dir).resolve().name
        self.class_names = _class_names(options, self.train_data)
        self.val_class_names = _class_names(options, self.val_data)
        self.val_shown = frozenset(self.val_class_names)
        if isinstance(self.val_data, Pictures):
            labels = set(self.val_data.labels[self.val_data.kept].tolist())
            self.val_shown = frozenset(self.val_class_names[label] for label in labels)
        self.train_images, self.val_images = len(self.train_data), len(self.val_data)
        self.per_epoch = self.train_images // (options.batch_size * place.world)
        if train and not self.per_epoch:
            raise BadInput(few_images(self.name, self.train_images, options.batch_size, place.world))
        self._saved: Tensor | None = None
        self._start = self._before = torch.empty(0, dtype=torch.int64)

    def prepare(self, classes: int, clock: Clock) -> None:
        """Says how many outputs the network has and who counts the time; makes the loaders."""
        self.clock = clock
        try:
            self.val_loader = self._loader(self.val_data, **self._validation_arguments())
            if self.train_data is not self.val_data:
                self.train_loader = self._loader(self.train_data, **self._training_arguments(classes))
                keep_no_bit(getattr(self.train_data, "transform", None))
                self.per_epoch = len(self.train_loader)
        except BadInput:  # which is a ValueError, and none of timm's
            raise
        except (AssertionError, KeyError, NotImplementedError, TypeError, ValueError) as error:
            raise BadInput(f"timm cannot load images in this way: {str(error) or repr(error)}.") from error

    def _loader(self, data: Dataset[Any], **arguments: Any) -> DataLoader[Any]:
        """Timm's loader, without its normalisation on the device, which ``BatchAugmentation`` does."""
        options, transform = self.options, self.transform
        loader = create_loader(
            data,
            input_size=transform["input_size"],
            mean=transform["mean"],
            std=transform["std"],
            num_workers=options.workers,
            distributed=self.place.world > 1,
            pin_memory=options.pin_mem and self.place.device.type != "cpu",
            device=self.place.device,
            use_prefetcher=self.prefetch,
            worker_seeding=options.worker_seeding,
            persistent_workers=False,
            **arguments,
        )
        return loader.loader if self.prefetch else loader  # type: ignore[no-any-return]  # timm is untyped

    def _validation_arguments(self) -> dict[str, Any]:
        options, transform = self.options, self.transform
        return {
            "batch_size": options.validation_batch_size or options.batch_size,
            "interpolation": transform["interpolation"],
            "crop_pct": transform["crop_pct"],
            "crop_mode": transform["crop_mode"],
        }

    def _training_arguments(self, classes: int) -> dict[str, Any]:
        options = self.options
        interpolation = options.train_interpolation
        if options.no_aug or not interpolation:
            interpolation = self.transform["interpolation"]
        collate: Callable[..., Any] | None = None
        if self.policy is not None and options.aa_in_workers:
            collate = _PolicyCollate(self.policy.transform)
        elif mixed_when_loaded(options):
            collate = FastCollateMixup(**mixup_arguments(options, classes))
        return {
            "batch_size": options.batch_size, "is_training": True, "no_aug": options.no_aug,
            "re_prob": options.reprob, "re_mode": options.remode, "re_count": options.recount,
            "train_crop_mode": options.train_crop_mode, "scale": options.scale, "ratio": options.ratio,
            "hflip": options.hflip, "vflip": options.vflip,
            "color_jitter": None if self.policy is not None else options.color_jitter,
            "color_jitter_prob": options.color_jitter_prob, "grayscale_prob": options.grayscale_prob or 0.0,
            "gaussian_blur_prob": options.gaussian_blur_prob or 0.0,
            "auto_augment": None if self.policy is not None else options.aa,
            "interpolation": interpolation, "collate_fn": collate,
        }  # fmt: skip

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Training batches; who asks for one has augmented the one before it."""
        device, saved, self._saved = self.place.device, self._saved, None
        self._set_epoch(epoch)
        if saved is not None:
            restore(saved[0], device)
        self._start = capture(device)
        source = _told(self.train_loader)
        for _ in range(start):
            next(source)  # the workers' streams must advance; nothing of this batch is needed
        if saved is not None:
            restore(saved[1], device)
            batch = self._next(source) if self.ahead else None  # was made when the checkpoint was written
            if batch is not None:
                yield batch
            restore(saved[2], device)
        while (batch := self._next(source)) is not None:
            yield batch

    def _set_epoch(self, epoch: int) -> None:
        if isinstance(self.train_loader.collate_fn, FastCollateMixup):
            self.train_loader.collate_fn.mixup_enabled = mixes_in(self.options, epoch)
        if isinstance(self.train_loader.collate_fn, _PolicyCollate) and self.policy is not None:
            self.train_loader.collate_fn.policy = self.policy.transform
        if hasattr(self.train_loader.sampler, "set_epoch"):
            self.train_loader.sampler.set_epoch(epoch)

    def _next(self, source: Iterator[Any]) -> Batch | None:
        """The next batch, on the device; None at the end."""
        if self.options.recovery_interval:
            self._before = capture(self.place.device)
        with self.clock.spend("data"):
            found = next(source, None)
            if found is None:
                return None
            images, targets = (part.to(self.place.device, non_blocking=True) for part in found)
            return Batch(images, targets)

    def validation(self) -> Iterator[Batch]:
        """Every image once: timm's sampler pads with repeated images, which are left out again."""
        left = len(range(self.place.rank, self.val_images, self.place.world))
        for found in _told(self.val_loader):
            images, labels = (part[:left].to(self.place.device, non_blocking=True) for part in found)
            left -= len(labels)
            if len(labels):
                yield Batch(images, labels)

    def digests(self) -> dict[str, str]:
        """Of the names and labels of files; of a data set that timm opens by name, of what is known about it."""
        return {
            "training images": digest(_what(self.train_data, self.class_names)),
            "validation images": digest(_what(self.val_data, self.val_class_names)),
        }

    def state(self, within_epoch: bool) -> Tensor:
        """[n, L]: the global streams now; within an epoch also at its start and before the batch that is made ahead."""
        now = capture(self.place.device)
        return torch.stack([self._start, self._before, now]) if within_epoch else now.unsqueeze(0)

    def resume(self, state: Tensor) -> None:
        """The inverse of ``state``."""
        if len(state) == 1:
            restore(state[0], self.place.device)
        else:
            self._saved = state


class _PolicyCollate:
    """Puts images together to a uint8 batch and applies a policy to it, in the process that loads them."""

    def __init__(self, policy: DAASPolicy) -> None:
        self.policy = policy

    def __call__(self, samples: list[Any]) -> tuple[Tensor, Tensor]:
        images, labels = fast_collate(samples)
        return self.policy(images), labels


def _data(options: TrainOptions, validation: bool) -> Any:
    """Images with random access: of a folder or archive as every part of this package reads them, or timm's.

    Raises:
        BadInput: They cannot be opened, or they are a stream.
    """
    own = validation and options.val_dir
    split = options.val_split if validation else options.train_split
    if not own and options.dataset:
        return _named(options, split, validation)
    root = options.val_dir if own else options.data_dir
    if not root:
        raise BadInput("No images: name a folder or archive with --data-dir, or a data set with --dataset.")
    source = open_source("", root, split=HELD_OUT if own else split)
    labels = class_map(options.class_map, root) if options.class_map else None
    return Pictures(source, options.skip_bad_images, max(1, options.workers), labels)


def _named(options: TrainOptions, split: str, validation: bool) -> Any:
    name, root = options.dataset, options.data_dir or None
    if options.skip_bad_images:
        raise BadInput(
            f"--skip-bad-images: --dataset {name} is read by timm, which replaces images that it cannot read by their "
            "neighbours. Leave it out, or choose --train-crop-mode pad."
        )
    if root is None and name.lower().startswith("torch/"):
        root = str(usual_place())
    try:
        data = create_dataset(
            name, root=root, split=split, is_training=not validation, class_map=options.class_map,
            download=options.dataset_download, batch_size=options.batch_size, seed=options.seed,
        )  # fmt: skip
    except _REFUSALS as error:
        hint = " --dataset-download fetches torch/ data sets." if name.lower().startswith("torch/") else ""
        raise BadInput(f"timm cannot open {name} (split {split}): {str(error) or repr(error)}.{hint}") from error
    if isinstance(data, IterableDataset):
        raise BadInput(
            f"--dataset {name} is a stream; --train-crop-mode pad reads it into memory and trains from there."
        )
    return data


def _told(loader: DataLoader[Any]) -> Iterator[Any]:
    """A loader's batches; of an error in a loading process the message alone, without its traceback."""
    batches = iter(loader)  # draws random numbers, and does so now

    def following() -> Iterator[Any]:
        try:
            yield from batches
        except BadInput as error:
            raise BadInput(str(error).rpartition("daas.errors.BadInput: ")[2].strip()) from error

    return following()


def _what(data: Any, class_names: Sequence[str]) -> list[Any]:
    """JSON values that tell a data set from others."""
    if isinstance(data, Pictures):
        return [list(class_names), len(data), data.fingerprint()]
    table = getattr(getattr(data, "reader", None), "dataset", None)
    if (known := getattr(table, "_fingerprint", None)) is not None:  # Hugging Face's; its names lie among the pixels
        return [list(class_names), len(data), known]
    try:
        names = [str(name) for name in data.filenames()]
    except (AttributeError, NotImplementedError):  # torchvision's sets, and timm's readers of shards
        names = []
    return [list(class_names), len(data), names]


def _class_names(options: TrainOptions, data: Any) -> tuple[str, ...]:
    names: Sequence[Any] | None = getattr(data, "classes", None)
    if names is None:
        by_name = getattr(getattr(data, "reader", None), "class_to_idx", None) or {}
        names = sorted(by_name, key=lambda name: int(by_name[name]))
    if not names:
        if options.num_classes is None:
            raise BadInput(f"--dataset {options.dataset} does not name its classes. Say how many with --num-classes.")
        names = range(options.num_classes)
    return distinct(tuple(map(str, names)))
