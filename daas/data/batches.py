"""Batches that are addressed by step, the split in halves, and what happens to every training batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from daas.data.images import ImageData
from daas.errors import BadInput
from daas.seeds import generator
from daas.sending import sent

_STATS_IMAGES = 10_000


class BatchStream:
    """An endless stream of shuffled batches without state: a step's batch depends on nothing but (seed, step).

    Each epoch is a fresh permutation; an incomplete last batch is left out.

    Args:
        data: The images.
        batch_size: Images per batch.
        seed: Of the permutations.

    Raises:
        BadInput: Fewer images than a batch holds.
    """

    def __init__(self, data: ImageData, batch_size: int, seed: int) -> None:
        if len(data) < batch_size:
            raise BadInput(
                f"{data.name} gives {len(data)} images here, fewer than one batch of {batch_size}. Use a smaller "
                "--batch-size, or more images."
            )
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = len(data) // batch_size
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: images [B, 3, S, S] uint8 and labels [B] int64."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = torch.randperm(len(self.data), generator=generator(self.seed, epoch))
        chosen = self._order[position * self.batch_size : (position + 1) * self.batch_size]
        return self.data.fetch(chosen), self.data.labels[chosen]


def stratified_halves(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Splits images in two halves in which every class has the same share, up to one image.

    Args:
        labels: [N] int64.
        seed: Of the choice.

    Returns:
        Indices of the training and of the validation half, each sorted.
    """
    order = torch.randperm(len(labels), generator=generator(seed, 0))
    first, second = [], []
    by_class = order[labels[order].argsort(stable=True)].split(labels.unique(return_counts=True)[1].tolist())
    for position, members in enumerate(by_class):
        half = (len(members) + position % 2) // 2  # odd classes round up and down in turn
        first.append(members[:half])
        second.append(members[half:])
    return torch.cat(first).sort().values, torch.cat(second).sort().values


def rank_in_class(labels: Tensor) -> Tensor:
    """How many of the same class come before each image: [N] int64.

    Args:
        labels: [N] int64.

    >>> rank_in_class(torch.tensor([1, 0, 1, 1, 0]))
    tensor([0, 0, 1, 2, 1])
    """
    by_class = labels.argsort(stable=True)
    _, position, counts = labels[by_class].unique_consecutive(return_inverse=True, return_counts=True)
    ranks = torch.empty_like(by_class)
    ranks[by_class] = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[position]
    return ranks


def channel_stats(data: ImageData) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation per channel, as shares of the full range, over at most 10,000 images."""
    chosen = torch.linspace(0, len(data) - 1, min(len(data), _STATS_IMAGES)).round().long()
    total, squares, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), 0
    for part in chosen.split(512):
        pixels = data.fetch(part).double() / 255.0
        total += pixels.sum((0, 2, 3))
        squares += pixels.square().sum((0, 2, 3))
        count += pixels[:, 0].numel()
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(1e-8).sqrt()
    return (float(mean[0]), float(mean[1]), float(mean[2])), (float(std[0]), float(std[1]), float(std[2]))


@dataclass(frozen=True)
class Moves:
    """Where each image of a batch is cropped, and whether it is flipped.

    Attributes:
        offset: [2, B, 1] int64: left and top edge of the crop, in the padded image.
        flipped: [B, 1] bool.
        padding: Pixels added on each side before the crop.
    """

    offset: Tensor
    flipped: Tensor
    padding: int

    @classmethod
    def draw(cls, count: int, generator: torch.Generator, padding: int, hflip: float) -> Moves:
        """Draws them for ``count`` images from a CPU generator; ``hflip`` is the probability of a flip."""
        offset = torch.randint(2 * padding + 1, (2, count, 1), generator=generator)
        return cls(offset, torch.rand(count, 1, generator=generator) < hflip, padding)

    def __getitem__(self, rows: slice) -> Moves:
        """Those of some of the images."""
        return replace(self, offset=self.offset[:, rows], flipped=self.flipped[rows])

    def apply(self, images: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]: padded with zeros, cropped to the original size, flipped where it says so."""
        count, channels, height, width = images.shape
        if self.padding == 0 and not self.flipped.any():
            return images
        columns = torch.arange(width).expand(count, width)
        x = self.offset[0] - self.padding + torch.where(self.flipped, width - 1 - columns, columns)
        y = self.offset[1] - self.padding + torch.arange(height)
        inside = ((y >= 0) & (y < height)).unsqueeze(2) & ((x >= 0) & (x < width)).unsqueeze(1)
        index = y.clamp(0, height - 1).unsqueeze(2) * width + x.clamp(0, width - 1).unsqueeze(1)
        index, inside = sent(index, images.device), sent(inside, images.device)
        moved = images.flatten(2).gather(2, index.view(count, 1, -1).expand(-1, channels, -1)).view_as(images)
        return torch.where(inside.unsqueeze(1), moved, torch.zeros((), dtype=images.dtype, device=images.device))


def crop_flip(
    images: Tensor, generator: torch.Generator, padding: int, hflip: float, first: int = 0, total: int | None = None
) -> Tensor:
    """Random crop after zero padding, and horizontal flip, each image its own.

    Args:
        images: [B, 3, H, W] uint8.
        generator: A CPU generator.
        padding: Pixels added on each side before a crop of the original size; 0 for none.
        hflip: Probability of a flip.
        first: Where these images begin in the batch of all processes.
        total: Images in that batch, for all of which numbers are drawn; only these if None.

    Returns:
        [B, 3, H, W] uint8.
    """
    moves = Moves.draw(total or len(images), generator, padding, hflip)
    return moves[first : first + len(images)].apply(images)
