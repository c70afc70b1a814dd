"""An epoch of training and an epoch of validation; what happens to a batch on its way into the network."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.utils import AverageMeter, ModelEmaV3
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from daas.augment import DAASPolicy
from daas.data import BatchStream, ImageData, crop_flip
from daas.errors import BadInput
from daas.seeds import generator, seed_of
from daas.train.options import TrainOptions

_CROP, _POLICY, _GLOBAL, _CUTOUT = range(4)  # what a random stream is for


class Recipe:
    """A batch's way into the network: crop and flip, policy, normalisation, cutout, random erasing, Mixup.

    Args:
        options: The run's.
        policy: Applied to the uint8 batch, or None.
        mean: Per channel, as a share of the full range.
        std: The same.
        classes: Number of classes, for soft targets.
        device: Of the network.
    """

    def __init__(
        self,
        options: TrainOptions,
        policy: DAASPolicy | None,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        classes: int,
        device: torch.device,
    ) -> None:
        self.options = options
        self.policy = policy
        self.shift = torch.tensor(mean, device=device).mul(255.0).view(3, 1, 1)
        self.scale = torch.tensor(std, device=device).mul(255.0).view(3, 1, 1)
        self.erase = RandomErasing(options.reprob, mode="pixel", device=str(device)) if options.reprob else None
        self.mixup: Mixup | None = None
        self.loss: nn.Module = nn.CrossEntropyLoss()
        if options.mixup or options.cutmix:
            if options.batch_size % 2:
                raise BadInput(f"--batch-size {options.batch_size}: Mixup and CutMix need an even batch.")
            self.mixup = Mixup(options.mixup, options.cutmix, label_smoothing=options.smoothing, num_classes=classes)
            self.loss = SoftTargetCrossEntropy()
        elif options.smoothing:
            self.loss = LabelSmoothingCrossEntropy(options.smoothing)

    def normalize(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> normalised float, channels last."""
        return ((images.float() - self.shift) / self.scale).contiguous(memory_format=torch.channels_last)

    def training_batch(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Augments a batch.

        Args:
            images: [B, 3, H, W] uint8, on the network's device.
            labels: [B] int64.
            step: With the seed it addresses all randomness.

        Returns:
            The normalised float batch and its targets: [B], or [B, classes] with Mixup or CutMix.
        """
        options = self.options
        padding = images.shape[-1] // 8 if options.crop_padding is None else options.crop_padding
        images = crop_flip(images, generator(options.seed, step, _CROP), padding, options.hflip)
        if self.policy is not None:
            draw = self.policy.sample(len(images), generator(options.seed, step, _POLICY))
            images = self.policy.apply(images, draw)
        batch = self.normalize(images)
        if options.cutout:
            batch = cutout(batch, options.cutout, generator(options.seed, step, _CUTOUT))
        if self.erase is not None:
            batch = self.erase(batch)
        if self.mixup is not None:
            return self.mixup(batch, labels)  # type: ignore[no-any-return]  # timm is untyped
        return batch, labels


def cutout(batch: Tensor, side: int, random: torch.Generator) -> Tensor:
    """Zeroes a square around a random pixel of each image, as far as it lies inside (DeVries & Taylor, 2017).

    Args:
        batch: [B, C, H, W] normalised.
        side: Of the square, in pixels.
        random: A CPU generator.
    """
    count, _, height, width = batch.shape
    keep = []
    for size in (height, width):
        start = torch.randint(size, (count, 1), generator=random) - side // 2
        position = torch.arange(size)
        keep.append(((position < start) | (position >= start + side)).to(batch.device))
    return batch * (keep[0].unsqueeze(2) | keep[1].unsqueeze(1)).unsqueeze(1)


def train_epoch(
    model: nn.Module,
    stream: BatchStream,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    ema: ModelEmaV3 | None,
    start: int,
    options: TrainOptions,
    device: torch.device,
) -> dict[str, float]:
    """One epoch of training from step ``start``.

    Returns:
        ``loss``, the mean training loss.

    Raises:
        FloatingPointError: The loss is infinite or not a number.
    """
    model.train()
    meter = AverageMeter()
    for step in tqdm(range(start, start + stream.steps_per_epoch), unit="step", disable=None, leave=False):
        _seed_everything(seed_of(options.seed, step, _GLOBAL))
        images, labels = stream.batch(step)
        batch, target = recipe.training_batch(images.to(device), labels.to(device), step)
        output = model(batch)
        if isinstance(output, tuple):
            loss = recipe.loss(output[0], target) + options.aux_weight * recipe.loss(output[1], target)
        else:
            loss = recipe.loss(output, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if options.clip_grad is not None:
            nn.utils.clip_grad_norm_(model.parameters(), options.clip_grad)
        optimizer.step()
        if ema is not None:
            ema.update(model, step=step)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} at step {step} (epoch {start // stream.steps_per_epoch + 1}); the last "
                f"checkpoint is from before. Try a smaller --lr (it is {options.lr}) or --clip-grad."
            )
        meter.update(value, len(labels))
    return {"loss": float(meter.avg)}


@torch.no_grad()
def validate(
    model: nn.Module, data: ImageData, recipe: Recipe, options: TrainOptions, device: torch.device
) -> dict[str, float]:
    """Loss and accuracy on all validation images.

    Returns:
        ``loss`` (cross-entropy), ``top1`` and ``top5`` in percent.
    """
    model.eval()
    loss = top1 = top5 = 0.0
    for chosen in torch.arange(len(data)).split(options.batch_size):
        logits = model(recipe.normalize(data.fetch(chosen).to(device)))
        labels = data.labels[chosen].to(device)
        loss += float(cross_entropy(logits, labels, reduction="sum"))
        best = logits.topk(min(5, logits.shape[1]), 1).indices == labels.unsqueeze(1)
        top1 += float(best[:, 0].sum())
        top5 += float(best.sum())
    return {"loss": loss / len(data), "top1": 100 * top1 / len(data), "top5": 100 * top5 / len(data)}


def _seed_everything(seed: int) -> None:
    """Dropout, drop-path, Mixup and random erasing use global streams: they too depend on (seed, step) alone."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the stream that timm's Mixup reads
    random.seed(seed)
