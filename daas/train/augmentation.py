"""A batch's way from the loader into the network: policy, normalisation, cutout, random erasing, Mixup or CutMix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from torch import Tensor

import daas
from daas.augment import DAASPolicy, Draw, PolicySchedule
from daas.augment.files import SCHEDULE_FORMAT, read_json
from daas.augment.ops import Backend
from daas.errors import BadInput
from daas.train.options import TrainOptions

PREFIX = "daas:"


class EpochPolicy:
    """What ``--aa daas:...`` names: one policy for all epochs, or a schedule of them.

    Args:
        spec: After the prefix: a name, a path or ``hf-hub:REPOSITORY``.
        epochs: Of the training; a schedule is stretched to them.
        backend: What applies it: ``numba`` in the processes that load images, ``auto`` on the device.

    Attributes:
        transform: Of the present epoch.
        schedule: Where there is one, as long as the training.
    """

    def __init__(self, spec: str, epochs: int, backend: Backend = "auto") -> None:
        self._backend: Backend = backend
        self.schedule: PolicySchedule | None = None
        if Path(spec).is_file() and _is_schedule(spec):
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


def _is_schedule(path: str) -> bool:
    values = read_json(path)
    return isinstance(values, dict) and values.get("format") == SCHEDULE_FORMAT


def policy_of(options: TrainOptions) -> EpochPolicy | None:
    """The policy that ``--aa daas:...`` names; None for timm's own ``--aa`` and for none.

    Raises:
        BadInput: No such policy, or ``--aa-in-workers`` without one.
    """
    named = options.aa is not None and options.aa.startswith(PREFIX)
    if options.aa_in_workers and not named:
        raise BadInput(
            f"--aa-in-workers is for --aa daas:NAME (found --aa {options.aa}); timm's own are in the workers anyway. "
            f"Shipped policies: {', '.join(daas.list_policies())}."
        )
    if not named or options.no_aug:
        return None
    return EpochPolicy(
        str(options.aa).removeprefix(PREFIX), options.epochs, "numba" if options.aa_in_workers else "auto"
    )


class BatchAugmentation:
    """The part that happens on the network's device.

    Args:
        options: The run's.
        policy: Applied to the uint8 batch, or None.
        mean: Per channel, as a share of the full range.
        std: The same.
        classes: Outputs of the network, for soft targets.
        device: Of the network.
        mix: Whether Mixup and CutMix happen here, if they are asked for.
    """

    def __init__(
        self,
        options: TrainOptions,
        policy: EpochPolicy | None,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        classes: int,
        device: torch.device,
        mix: bool = True,
    ) -> None:
        self.policy, self.classes = policy, classes
        self.cutout = 0 if options.no_aug else options.cutout
        self.mean = torch.tensor([v * 255 for v in mean], device=device).view(1, -1, 1, 1)
        self.std = torch.tensor([v * 255 for v in std], device=device).view(1, -1, 1, 1)
        self.erase: RandomErasing | None = None
        if options.reprob and not options.no_aug:
            self.erase = RandomErasing(
                options.reprob, mode=options.remode, max_count=options.recount, device=str(device)
            )
        self.mixup = Mixup(**mixup_arguments(options, classes)) if mix and mixes(options) else None

    def set_epoch(self, epoch: int, mix: bool) -> None:
        """Tells everything that changes over the epochs which one it is, and whether batches are (still) mixed."""
        if self.policy is not None:
            self.policy.set_epoch(epoch)
        if self.mixup is not None:
            self.mixup.mixup_enabled = mix

    def draw(self, batch_size: int, generator: torch.Generator | None) -> Draw | None:
        """What the policy does to the images of a batch."""
        return None if self.policy is None else self.policy.transform.sample(batch_size, generator)

    def normalize(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> normalised float."""
        return images.to(torch.float32).sub_(self.mean).div_(self.std)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        draw: Draw | None,
        generator: torch.Generator | None = None,
        first: int = 0,
        total: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Applies everything.

        Args:
            images: [B, 3, H, W] uint8, on the device.
            targets: [B] int64, or [B, classes] where they are mixed already.
            draw: From ``draw``, for these images.
            generator: A CPU generator for cutout; torch's default one if None.
            first: Where these images begin in the batch of all processes, which cutout draws for.
            total: Images in that batch; only these if None.

        Returns:
            The normalised float batch and its targets: [B], or [B, classes] with Mixup or CutMix.
        """
        if self.policy is not None and draw is not None:
            images = self.policy.transform.apply(images, draw)
        batch = self.normalize(images)
        if self.erase is not None:
            batch = self.erase(batch)
        return self.finish(batch, targets, generator, first, total)

    def finish(
        self,
        batch: Tensor,
        targets: Tensor,
        generator: torch.Generator | None = None,
        first: int = 0,
        total: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What follows normalisation and random erasing; arguments and results as above."""
        if self.cutout:
            batch = cutout(batch, self.cutout, generator, first, total)
        if self.mixup is not None:
            return self.mixup(batch, targets)  # type: ignore[no-any-return]  # timm is untyped
        return batch, targets


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
        keep.append(((position < start) | (position >= start + side)).to(batch.device))
    return batch * (keep[0].unsqueeze(2) | keep[1].unsqueeze(1)).unsqueeze(1)
