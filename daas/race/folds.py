"""Which images each run validates on."""

from __future__ import annotations

import torch
from torch import Tensor

from daas.errors import BadInput
from daas.seeds import generator, seed_of

_FOLDS, _TRAINING = 401, 402  # what a random stream is for


def fold_of(labels: Tensor, folds: int, seed: int) -> Tensor:
    """Deals images out to folds in which every class has the same share, up to one image.

    Args:
        labels: [N] int64.
        folds: K, at least 2.
        seed: Of the choice.

    Returns:
        [N] int64, the fold of each image.

    Raises:
        BadInput: A class with fewer than two images, of which one part of a fold would know nothing.
    """
    fold, dealt = torch.empty_like(labels), 0
    names, counts = labels.unique(return_counts=True)
    by_class = labels.argsort(stable=True).split(counts.tolist())
    for label, members in zip(names.tolist(), by_class, strict=True):
        if len(members) < 2:
            raise BadInput(
                f"class {label} has a single image; a race needs at least 2 per class, better {folds} or more."
            )
        shuffled = members[torch.randperm(len(members), generator=generator(seed, _FOLDS, label))]
        fold[shuffled] = (torch.arange(len(members)) + dealt) % folds
        dealt += len(members)  # the next class goes on where this one ended: folds stay equally large
    return fold


def split(dealt: Tensor, folds: int, run: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the validation images of a run: fold ``run`` mod K validates.

    Args:
        dealt: [N] int64, the fold of each image.
        folds: K.
        run: From 0.
    """
    mine = dealt == run % folds
    return (~mine).nonzero().squeeze(1), mine.nonzero().squeeze(1)


def training_seed(seed: int, run: int) -> int:
    """The seed of a run's trainings: initial weights, batch order, crops; the same for all candidates."""
    return seed_of(seed, _TRAINING, run) % 2**31
