"""A batch's way into the network: crop, flip, policy, normalisation, cutout, random erasing, Mixup or CutMix."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from torch import Tensor

import daas
from daas.augment import DAASPolicy, Draw, Policy, PolicySchedule
from daas.augment.files import SCHEDULE_FORMAT, read_json
from daas.augment.ops import Backend, Form
from daas.augment.space import only_fused
from daas.data import Moves
from daas.errors import BadInput
from daas.randomness import seed_everything
from daas.seeds import generator, seed_of
from daas.sending import sent
from daas.timm_names import PREFIX
from daas.train.batches import Batch, Place
from daas.train.checks import holds_images
from daas.train.labels import exchange
from daas.train.options import TrainOptions
from daas.train.timm_strings import check_string

_CROP, _POLICY, _GLOBAL, _CUTOUT = range(4)  # what a random stream is for


@dataclass(frozen=True)
class Ready:
    """A batch on its way into the network.

    Attributes:
        images: [B, 3, H, W] uint8; float where they are normalised already.
        targets: [B], or [B, classes] where they are mixed.
        draw: What the policy is still to do to them, on the CPU; None for nothing.
    """

    images: Tensor
    targets: Tensor
    draw: Draw | None = None


Augment = Callable[[Tensor, Tensor, torch.Generator | None], tuple[Tensor, Tensor]]
"""(uint8 [B, 3, H, W], labels [B], the step's generator) -> (uint8, labels [B] or soft targets [B, classes])."""


class EpochPolicy:
    """What ``--aa daas:...`` names: one policy for all epochs, or a schedule of them.

    Args:
        spec: After the prefix: a name, a path or ``hf-hub:REPOSITORY``; or a policy itself, which is taken without its
            normalisation.
        epochs: Of the training; a schedule is stretched to them.
        backend: What applies it: ``numba`` in the processes that load images, ``auto`` on the device.

    Attributes:
        transform: Of the present epoch.
        schedule: Where there is one, as long as the training.
    """

    def __init__(self, spec: str | Policy | DAASPolicy, epochs: int, backend: Backend = "auto") -> None:
        self._backend: Backend = backend
        self.schedule: PolicySchedule | None = None
        if isinstance(spec, Policy):
            spec = DAASPolicy(spec, backend=backend)
        if isinstance(spec, DAASPolicy):
            self.transform = _without_normalisation(spec)
            return
        if os.path.isfile(Path(spec)) and _is_schedule(spec):
            self.schedule = PolicySchedule.load(spec).stretched(epochs)
        self.transform = (
            DAASPolicy.load(spec, backend=backend)
            if self.schedule is None
            else DAASPolicy(self.schedule.at(0), backend=backend)
        )

    def set_epoch(self, epoch: int) -> None:
        """Switches to the policy of an epoch; the last one stays on in a cool-down."""
        if self.schedule is not None:
            policy = self.schedule.at(min(epoch, self.schedule.epochs - 1))
            if policy is not self.transform.policy:
                self.transform = DAASPolicy(policy, backend=self._backend)


def _without_normalisation(transform: DAASPolicy) -> DAASPolicy:
    """The same transform from bytes to bytes: training and validation images are normalised alike, by the training."""
    if transform.normalize is None:
        return transform
    found = copy(transform)
    found.normalize, found.form = None, Form()
    return found


def _is_schedule(path: str) -> bool:
    values = read_json(path)
    return isinstance(values, dict) and values.get("format") == SCHEDULE_FORMAT


def policy_of(options: TrainOptions) -> EpochPolicy | None:
    """The policy that ``--aa daas:...`` names; None for timm's own ``--aa`` and for none.

    Raises:
        BadInput: No such policy, none of timm's strings, or ``--aa-in-workers`` without a policy.
    """
    named = options.aa is not None and options.aa.startswith(PREFIX)
    if options.aa_in_workers and not named:
        raise BadInput(
            f"--aa-in-workers is for --aa daas:NAME (found --aa {options.aa}); timm's own are in the workers anyway. "
            f"Shipped policies: {', '.join(daas.list_policies())}."
        )
    if options.aa and not named:
        check_string(options.aa)
    if not named or options.no_aug:
        return None
    return EpochPolicy(
        str(options.aa).removeprefix(PREFIX), options.epochs, "numba" if options.aa_in_workers else "auto"
    )


class BatchAugmentation:
    """A batch's way into the network, on its device: crop, flip, policy, normalisation, and what mixes images.

    Args:
        options: The run's.
        place: This process.
        transform: Its ``mean`` and ``std`` per channel, as shares of the full range.
        class_names: One per label.
        classes: Outputs of the network, for soft targets.

    Attributes:
        held: Whether batches have addressed random streams, and are cropped and flipped here.
        policy: Applied to the uint8 batch, or None.
        augment: Called with the uint8 batch after the policy, or None.
    """

    def __init__(
        self,
        options: TrainOptions,
        place: Place,
        transform: Mapping[str, Any],
        class_names: Sequence[str],
        classes: int,
    ) -> None:
        self.options, self.place = options, place
        self.held = holds_images(options)
        self.policy: EpochPolicy | None = None
        self.augment: Augment | None = None
        self.exchange = exchange(options.hflip_swap, class_names)
        self.mean, self.std = (
            torch.tensor([v * 255 for v in transform[key]], device=place.device).view(1, -1, 1, 1)
            for key in ("mean", "std")
        )
        self.erase: RandomErasing | None = None
        if options.reprob and not options.no_aug:
            self.erase = RandomErasing(
                options.reprob, mode=options.remode, max_count=options.recount, device=str(place.device)
            )
        here = mixes(options) and not mixed_when_loaded(options)
        self.mixup = Mixup(**mixup_arguments(options, classes)) if here else None

    def set_epoch(self, epoch: int) -> None:
        """Tells everything that changes over the epochs which one it is."""
        if self.policy is not None:
            self.policy.set_epoch(epoch)
        if self.mixup is not None:
            self.mixup.mixup_enabled = mixes_in(self.options, epoch)

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Applies everything.

        Args:
            batch: Where its random streams are addressed, the global ones are seeded for what reads them: random
                erasing, Mixup and, after this, dropout. Crop, flip, policy and cutout of an image do not depend on
                how many processes share the batch.

        Returns:
            The normalised float batch [B, 3, H, W] and its targets: [B], or [B, classes] where they are mixed.
        """
        options, ready = self.options, self.prepare(batch)
        images, targets = ready.images, ready.targets
        if not batch.images.is_floating_point():
            images = self._painted(images, ready.draw)
            if self.augment is not None:
                images, targets = self.augment(images, targets, self._stream(batch, _POLICY))
            images = self.normalize(images)
            if self.erase is not None:
                images = self.erase(images)
        if options.cutout and not options.no_aug:
            images = cutout(images, options.cutout, self._stream(batch, _CUTOUT), *self._share(batch))
        if self.mixup is not None:
            if targets.ndim > 1:
                raise BadInput(
                    "mixup and cutmix mix labels, and these images have soft targets already: leave mixup and cutmix "
                    "out, or let the augmentation give labels."
                )
            images, targets = self.mixup(images, targets)
        return images, targets

    def normalize(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> normalised float; what is normalised already stays."""
        return images if images.is_floating_point() else images.to(torch.float32).sub_(self.mean).div_(self.std)

    def prepare(self, batch: Batch) -> Ready:
        """Seeds the global streams, crops and flips, and draws from the policy; ``finish`` does the rest.

        ``__call__`` does both, and what comes between and after them.
        """
        options, images, targets = self.options, batch.images, batch.targets
        if batch.step is not None:
            seed_everything(seed_of(options.seed, batch.step, _GLOBAL, self.place.rank))
        if images.is_floating_point():
            return Ready(images, targets)
        first, total = self._share(batch)
        random = self._stream(batch, _CROP)
        if random is not None and not options.no_aug:
            padding = images.shape[-1] // 8 if options.crop_padding is None else options.crop_padding
            moves = Moves.draw(total, random, padding, options.hflip)[first : first + len(images)]
            images = moves.apply(images)
            if self.exchange is not None:
                flipped = sent(moves.flipped.squeeze(1), targets.device)
                targets = torch.where(flipped, sent(self.exchange, targets.device)[targets], targets)
        if self.policy is None or options.aa_in_workers:
            return Ready(images, targets)
        draw = self.policy.transform.sample(total, self._stream(batch, _POLICY))
        return Ready(images, targets, draw[first : first + len(images)])

    def finish(self, images: Tensor, draw: Draw | None) -> Tensor:
        """Policy and normalisation: uint8 or normalised -> normalised; draws nothing."""
        return self.normalize(self._painted(images, draw))

    def all_in(self, batch: Batch) -> bool:
        """Whether ``prepare`` and ``finish`` are all there is, and ``finish`` can be captured in a CUDA graph.

        The policy can where the Triton kernels apply it because they were asked for.
        """
        options = self.options
        changes = self.augment or self.erase or self.mixup or (options.cutout and not options.no_aug)
        if changes or options.save_images:
            return False
        if self.policy is None or options.aa_in_workers or batch.images.is_floating_point():
            return True
        return self.policy.transform.requested == "triton" and only_fused()

    def _painted(self, images: Tensor, draw: Draw | None) -> Tensor:
        if draw is None or self.policy is None:
            return images
        return self.policy.transform.apply(images, draw)

    def _stream(self, batch: Batch, purpose: int) -> torch.Generator | None:
        """The batch's random numbers for a purpose; None for torch's global stream."""
        return None if batch.step is None else generator(self.options.seed, batch.step, purpose)

    def _share(self, batch: Batch) -> tuple[int, int]:
        """Where these images begin in the batch for which numbers are drawn, and how many images that has."""
        if batch.step is None:
            return 0, len(batch.images)
        return self.place.rank * self.options.batch_size, self.place.world * self.options.batch_size


def mixed_when_loaded(options: TrainOptions) -> bool:
    """Whether Mixup happens when images are put together to a batch, as timm has it with its prefetcher."""
    policy = options.aa is not None and options.aa.startswith(PREFIX) and not options.no_aug
    return mixes(options) and not holds_images(options) and not options.no_prefetcher and not policy


def mixes_in(options: TrainOptions, epoch: int) -> bool:
    """Whether batches are (still) mixed in an epoch."""
    return not options.mixup_off_epoch or epoch < options.mixup_off_epoch


def mixes(options: TrainOptions) -> bool:
    """Whether Mixup or CutMix is asked for."""
    return options.mixup > 0 or options.cutmix > 0 or options.cutmix_minmax is not None


def mixup_arguments(options: TrainOptions, classes: int) -> dict[str, Any]:
    """Arguments of timm's Mixup and FastCollateMixup.

    Raises:
        BadInput: An odd batch.
    """
    if options.batch_size % 2:
        raise BadInput(f"--batch-size {options.batch_size}: Mixup and CutMix need an even batch.")
    return {
        "mixup_alpha": options.mixup, "cutmix_alpha": options.cutmix, "cutmix_minmax": options.cutmix_minmax,
        "prob": options.mixup_prob, "switch_prob": options.mixup_switch_prob, "mode": options.mixup_mode,
        "label_smoothing": options.smoothing, "num_classes": classes,
    }  # fmt: skip


def cutout(
    batch: Tensor, side: int, random: torch.Generator | None, first: int = 0, total: int | None = None
) -> Tensor:
    """Zeroes a square around a random pixel of each image, as far as it lies inside (DeVries & Taylor, 2017).

    Args:
        batch: [B, C, H, W] normalised.
        side: Of the square, in pixels.
        random: A CPU generator; torch's default one if None.
        first: Where these images begin in the batch of all processes.
        total: Images in that batch, for all of which numbers are drawn; only these if None.
    """
    count, _, height, width = batch.shape
    keep = []
    for size in (height, width):
        start = torch.randint(size, (total or count, 1), generator=random)[first : first + count] - side // 2
        position = torch.arange(size)
        keep.append(sent((position < start) | (position >= start + side), batch.device))
    return batch * (keep[0].unsqueeze(2) | keep[1].unsqueeze(1)).unsqueeze(1)
