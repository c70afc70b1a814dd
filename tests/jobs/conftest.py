"""Photographs that a script makes: pictures in class folders, whose label survives a mirror, or does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models import register_model
from torch import nn

SIDED = ("left", "right")
"""Classes that a horizontal flip turns into each other: a light on a dark ground, at one side."""
SAME = ("high", "low")
"""Classes that it leaves alone: the light is above or below the middle."""
SIZE = (90, 60)  # width and height


def photographs(folder: Path, classes: tuple[str, ...], each: int, seed: int) -> Path:
    """Writes ``each`` JPEG files per class.

    Args:
        folder: Made, with a folder per class.
        classes: ``SIDED`` or ``SAME``.
        each: Pictures per class.
        seed: Of colours, sizes, places and noise.
    """
    random = np.random.default_rng(seed)
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width]
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(each):
            across = {"left": 0.3, "right": 0.7}.get(name, random.uniform(0.35, 0.65)) * width
            down = {"high": 0.25, "low": 0.75}.get(name, random.uniform(0.35, 0.65)) * height
            light = np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * (0.15 * height) ** 2))
            colour = random.uniform(120, 200, 3)
            picture = 30 + light[..., None] * colour + random.normal(0, 8, (height, width, 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number:03d}.jpg")
    return folder


@pytest.fixture(scope="session")
def places_network() -> str:
    """The timm name of a small network that reads where the light is."""
    name = "daas_test_places"
    if not timm.is_model(name):

        def daas_test_places(pretrained: bool = False, num_classes: int = 2, **_: object) -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
                nn.Linear(72, num_classes),
            )  # fmt: skip

        register_model(daas_test_places)
    return name


@pytest.fixture(autouse=True)
def _one_stream() -> None:
    torch.manual_seed(0)
