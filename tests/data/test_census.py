"""What is said about images whose values look wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daas.data import load_images
from daas.data import sources as module


def write(root: Path, high: int, low: int = 0, count: int = 6, kind: type = np.uint16) -> Path:
    random = np.random.default_rng(high)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = random.integers(low, high + 1, (20, 20)).astype(kind)
            Image.fromarray(pixels).save(root / name / f"{high}-{index}.png")
    return root


@pytest.mark.parametrize(("bits", "share"), [(10, 64), (12, 16), (13, 8)])
@pytest.mark.parametrize("in_memory", [True, False])
def test_values_that_use_a_part_of_their_range(
    bits: int, share: int, in_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_memory:
        monkeypatch.setattr(module, "_MEMORY_LIMIT", 1)
    found = load_images(data_dir=write(tmp_path / "photos", 2**bits - 1), image_size=20).warnings
    assert len(found) == 1
    assert "of 12 images that were looked at are dark: their brightest pixel is " in found[0]
    assert f"use about 1/{share} of the range" in found[0]


@pytest.mark.parametrize(("high", "kind"), [(2**16 - 1, np.uint16), (255, np.uint8), (45, np.uint8)])
def test_other_images_are_not_remarked_on(high: int, kind: type, tmp_path: Path) -> None:
    assert load_images(data_dir=write(tmp_path / "photos", high, kind=kind), image_size=20).warnings == ()


def test_a_few_dark_images_among_others_are_photographs_of_nights(tmp_path: Path) -> None:
    root = write(write(tmp_path / "photos", 255, kind=np.uint8), 20, kind=np.uint8, count=4)
    assert load_images(data_dir=root, image_size=20).warnings == ()


@pytest.mark.parametrize("value", [0, 7, 255])
def test_images_of_one_colour_are_counted_and_one_is_named(value: int, tmp_path: Path) -> None:
    root = write(tmp_path / "photos", 255, kind=np.uint8)
    for index in range(3):
        Image.new("L", (20, 20), value).save(root / "b" / f"flat{index}.png")
    found = load_images(data_dir=root).warnings
    assert len(found) == 1
    assert "3 of 15 images that were looked at are of (nearly) one colour" in found[0]
    assert "flat0.png" in found[0]
