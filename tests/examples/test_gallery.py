"""The gallery of the documentation shows everything that is shipped, as its command draws it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import daas
from daas.models.zoo import list_genotypes
from examples.gallery.__main__ import DOCS, example_schedule, scenes, schedule_picture, write
from examples.gallery.scenes import SCENES, SIDE, picture
from examples.gallery.sided import LIGHTS, write_photographs

PAGE = (DOCS / "gallery.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(len(SCENES)))
def test_scenes_are_the_same_at_every_call_and_have_tones(number: int) -> None:
    first = np.asarray(picture(number))
    assert first.shape == (SIDE, SIDE, 3)
    assert first.std() > 20
    assert (first == np.asarray(picture(number))).all()


def test_every_shipped_policy_and_cell_is_in_it() -> None:
    pictures = re.findall(r"\]\((gallery/[^)]+)\)", PAGE)
    wanted = {f"gallery/{name}.webp" for name in daas.list_policies()} | {
        f"gallery/{name}.svg" for name in list_genotypes()
    }
    assert wanted <= set(pictures)
    assert all((DOCS / name).is_file() for name in pictures)
    assert {path.name for path in (DOCS / "gallery").iterdir()} == {Path(name).name for name in pictures}


def test_the_command_writes_what_is_in_the_documentation(tmp_path: Path) -> None:
    write(tmp_path, None)
    assert (tmp_path / "gallery.md").read_text(encoding="utf-8") == PAGE
    for made in (tmp_path / "gallery").iterdir():
        kept = DOCS / "gallery" / made.name
        if made.suffix == ".svg":
            assert made.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8")
            continue
        new, old = (np.asarray(Image.open(path).convert("RGB"), dtype=float) for path in (made, kept))
        assert new.shape == old.shape
        assert np.abs(new - old).mean() < 2, made.name  # fonts and encoders differ a little between versions


def test_balls_are_brighter_where_their_light_comes_from(tmp_path: Path) -> None:
    folder = write_photographs(tmp_path / "photos", each=30)
    assert sorted(path.name for path in folder.iterdir()) == sorted(LIGHTS)

    def means(name: str) -> tuple[float, float]:
        images = [np.asarray(Image.open(path), dtype=float).mean(2) for path in sorted((folder / name).iterdir())]
        image = np.mean(images, 0)
        half = SIDE // 2
        return float(image[:, :half].mean() - image[:, half:].mean()), float(image[:half].mean() - image[half:].mean())

    left, right, above = means("lit left"), means("lit right"), means("lit above")
    assert left[0] > above[0] > right[0]
    assert above[1] > max(left[1], right[1])


def test_a_schedule_grows() -> None:
    images, schedule = torch.stack(scenes(32)), example_schedule()
    changes = []
    for epoch in (0, 80, 199):
        transform = daas.DAASPolicy(schedule.at(epoch))
        drawn = transform.sample(len(images) * 20, torch.Generator().manual_seed(0))
        many = images.repeat(20, 1, 1, 1)
        changes.append(float((transform.apply(many, drawn).float() - many.float()).abs().mean()))
    assert changes == sorted(changes)
    assert schedule_picture(schedule, scenes(160)).height > 5 * 160
