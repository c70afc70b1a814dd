from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from daas.augment.space import named
from daas.data.images import MemoryImages
from daas.screen.judging import screened
from daas.screen.measure import Answers, Measurement, strata_of
from daas.screen.result import Screen
from daas.screen.tries import sides

CLASSES = ("left", "straight", "right")
COUNT = 300


def about(**changes: Any) -> dict[str, Any]:
    """What a screen says of how it was made."""
    return {
        "data": {
            "name": "stripes", "class_names": list(CLASSES), "train_images": COUNT, "val_images": COUNT,
            "image_size": 16, "skipped": 0,
        },
        "source": {"dataset": "", "data_dir": "photos", "val_dir": ""},
        "network": {
            "name": "WRN-10-1", "model": "wide_resnet40_2_cifar", "model_kwargs": {"depth": 10}, "pretrained": False,
            "default": True,
        },
        "options": {"epochs": 60, "batch_size": 50, "lr": 0.1, "weight_decay": 5e-4, "seed": 0},
        "seconds": 12.5,
        **changes,
    }  # fmt: skip


def answers_to(labels: Tensor, strata: int, wrong: Callable[[int, Tensor], Tensor], sure: float) -> Answers:
    """Answers with one confidence; ``wrong`` gives what is said in a stratum."""
    said = torch.stack([wrong(stratum, labels) for stratum in range(strata)]).unsqueeze(1)
    return Answers(torch.full(said.shape, sure, dtype=torch.float64), said)


def exchange(_: int, labels: Tensor) -> Tensor:
    """Left and right change places, on nearly all images."""
    said = torch.where(labels == 1, labels, 2 - labels)
    said[:6] = labels[:6]
    return said


def keep(_: int, labels: Tensor) -> Tensor:
    """What is said of clean images: wrong on every tenth."""
    said = labels.clone()
    said[::10] = (said[::10] + 1) % 3
    return said


def beyond_half(stratum: int, labels: Tensor) -> Tensor:
    """The outer half of each side of four strata exchanges, the inner half keeps."""
    return exchange(stratum, labels) if stratum % 4 >= 2 else keep(stratum, labels)


@pytest.fixture
def measured() -> Measurement:
    """A flip that exchanges, rotations that do beyond 15 degrees, brightness and posterize that keep."""
    labels = torch.arange(COUNT) % 3
    clean = answers_to(labels, 1, keep, 0.9)
    kinds = {"HFlip": exchange, "Rotate": beyond_half, "Brightness": keep, "Posterize": keep, "AutoContrast": keep}
    operations = tuple(named(name) for name in kinds)
    found = tuple(sides(operation) for operation in operations)
    answers = tuple(
        answers_to(labels, len(strata_of(own)), kind, 0.9) for own, kind in zip(found, kinds.values(), strict=True)
    )
    return Measurement(
        labels, 1.3, Answers(clean.confidence[0, 0], clean.predicted[0, 0]), operations, found, answers
    )  # fmt: skip


@pytest.fixture
def planted(measured: Measurement) -> Screen:
    """The screen of these answers."""
    return screened(measured, CLASSES, about(), 0)


def stripes(count: int, seed: int, side: int = 12) -> MemoryImages:
    """Noise with a bright stripe on the left or on the right: a horizontal flip exchanges the classes."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(120, (count, 3, side, side), generator=random)
    labels = torch.arange(count) % 2
    images[labels == 0, :, :, : side // 3] += 120
    images[labels == 1, :, :, -(side // 3) :] += 120
    return MemoryImages("stripes", images.to(torch.uint8), labels, ("left", "right"))
