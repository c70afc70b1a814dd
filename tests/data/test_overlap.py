"""Copies of training images among those to validate on are said, whatever they are called."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from daas.data import load_images
from daas.data.images import MemoryImages
from daas.data.overlap import copies
from daas.data.sources import open_source
from tests.data.conftest import Tree, below, packed


@pytest.mark.parametrize("archive", [False, True])
def test_a_copy_of_the_training_folder_is_said(archive: bool, tree: Tree) -> None:
    root = tree(below("train", "other", count=4))
    shutil.copytree(root / "train", root / "val")
    (root / "val" / "cat" / "0.png").rename(root / "val" / "cat" / "renamed.png")
    shutil.rmtree(root / "other")
    place = packed(root) if archive else root
    train, val = (open_source("", place, split=split) for split in ("train", "val"))
    assert "8 of 8 images" in copies(train, val)[0]
    assert "val/cat/1.png" in copies(train, val)[0]
    both = [load_images(data_dir=place, split=split, image_size=8) for split in ("train", "val")]
    assert "8 of 8 images" in copies(*both)[0]


def test_other_images_are_not(tree: Tree) -> None:
    root = tree(below("train", "val"))
    train, val = (open_source("", root, split=split) for split in ("train", "val"))
    assert copies(train, val) == ()
    (root / "val" / "cat" / "0.png").unlink()  # gone since it was listed
    assert copies(train, val) == ()


def test_one_in_a_hundred_is_worth_a_word() -> None:
    pixels = torch.randint(0, 256, (600, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(300) % 2
    train = MemoryImages("train", pixels[:300], labels, ("a", "b"))
    val = MemoryImages("val", pixels[300:].clone(), labels, ("a", "b"))
    val.images[:2] = pixels[:2]
    assert copies(train, val) == ()
    val.images[2] = pixels[2]
    assert copies(train, val)[0].startswith("3 of 300 images")
    assert copies(train, replace(val, images=train.images.flip(-1))) == ()  # sums alone are the same


def test_files_are_not_compared_with_pixels(tree: Tree) -> None:
    root: Path = tree(below("train"))
    assert copies(open_source("", root), load_images(data_dir=root, image_size=8)) == ()
