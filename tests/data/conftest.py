"""Folders and archives of tiny pictures, made from a list of paths."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Tree = Callable[[Iterable[str]], Path]


def picture(seed: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    """A picture of noise that differs from seed to seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3))
    return Image.fromarray(pixels.astype(np.uint8))


def png(seed: int = 0) -> bytes:
    """The same as a file."""
    content = io.BytesIO()
    picture(seed).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes a folder with a small picture at each path; paths that end with a slash become empty folders."""

    def make(paths: Iterable[str]) -> Path:
        root = tmp_path / "photos"
        for seed, name in enumerate(paths):
            path = root / name
            (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
            if not name.endswith("/"):
                path.write_bytes(png(seed))
        return root

    return make


def packed(root: Path) -> Path:
    """The folder as an archive beside it."""
    path = root.with_suffix(".tar")
    with tarfile.open(path, "w") as archive:
        archive.add(root, root.name)
    return path


def below(*folders: str, classes: Iterable[str] = ("cat", "dog"), count: int = 2) -> list[str]:
    """Paths of pictures in class folders below each folder."""
    return [f"{folder}/{name}/{index}.png" for folder in folders for name in classes for index in range(count)]
