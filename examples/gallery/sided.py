"""Made photographs with a left and a right: balls that are lit from the left, the right or above."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from examples.gallery.scenes import SIDE, Field, noise

LIGHTS = {"lit left": (-1.0, -0.2), "lit right": (1.0, -0.2), "lit above": (0.0, -1.0)}
"""Class, and where its light comes from: right and down."""
_ROWS, _COLUMNS = np.mgrid[0:SIDE, 0:SIDE] / SIDE


def sided(light: tuple[float, float], random: np.random.Generator) -> Image.Image:
    """One to three balls in a light: the label survives everything but what moves the light."""
    first, second = random.uniform(20, 235, (2, 3))
    picture: Field = 0.6 * (first + noise(random)[..., None] * (second - first))
    right, down = np.array(light) / np.hypot(*light)
    for _ in range(random.integers(1, 4)):
        radius = random.uniform(0.14, 0.3)
        row, column = random.uniform(radius, 1 - radius, 2)
        x, y = (_COLUMNS - column) / radius, (_ROWS - row) / radius
        front = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
        shade = np.clip(0.8 * (x * right + y * down) + 0.5 * front, 0, 1)
        surface = random.uniform(90, 250, 3) + 50 * (noise(random)[..., None] - 0.5)
        picture = np.where((x * x + y * y < 1)[..., None], surface * (0.15 + 0.95 * shade[..., None]), picture)
    return Image.fromarray((picture + random.normal(0, 6, picture.shape[:2])[..., None]).clip(0, 255).astype(np.uint8))


def write_photographs(folder: Path, each: int = 100, seed: int = 1) -> Path:
    """A folder per class with so many JPEGs; nothing is done where all are there.

    Args:
        folder: Of the class folders.
        each: Images per class.
        seed: Of all of them.
    """
    if len(list(folder.glob("*/*.jpg"))) < each * len(LIGHTS):
        random = np.random.default_rng(seed)
        for name, light in LIGHTS.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for number in range(each):
                sided(light, random).save(folder / name / f"{number:03d}.jpg", quality=90)
    return folder
