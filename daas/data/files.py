"""Class folders: on disk or in a ``.tar``, divided into splits or not."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from daas.data.formats import read_image
from daas.data.images import Source
from daas.data.layout import HELD_OUT, IN_A_TABLE, Layout, arranged
from daas.data.listing import files_below, listed_folder, listed_tar, packed_kind
from daas.errors import BadInput

_ADDRESS = re.compile(r"[a-z][a-z0-9]+:/")  # of a path, in which two slashes are one

__all__ = ["HELD_OUT", "files_below", "folder_source", "tar_source"]


def folder_source(root: Path, split: str) -> Source:
    """Images below a folder.

    Args:
        root: Holds CLASS/IMAGE, or SPLIT/CLASS/IMAGE; a single folder around them is looked through.
        split: Which split, where there are any (``layout.arranged``).

    Raises:
        BadInput: No such folder, no images in class folders, no such split.
    """
    if not os.path.isdir(root):  # unlike Path.is_dir, of names that are too long, too
        raise BadInput(_no_folder(root))
    listing = listed_folder(root)
    if () in listing.closed:
        raise BadInput(f"{root} cannot be opened ({listing.closed[()]}). Give yourself the right to read it.")
    layout = arranged(str(root), listing, split)
    paths = [listing.places[index] for index in layout.found]
    files = _Files(paths)
    real = {folder: os.path.realpath(folder) for folder in {os.path.dirname(path) for path in paths}}
    notes = (*layout.notes, *_twice(paths, layout, real))
    return Source(
        root.name, files.read, layout.labels, layout.names, files.describe, held_out=layout.held_out,
        unread=layout.unread, notes=notes,
        folders=frozenset(real.values()), content=files.content, called=files.called,
    )  # fmt: skip


def _no_folder(root: Path) -> str:
    """What a path is that should be a folder, and what to do."""
    if not os.path.isfile(root):
        address = " Addresses are not read: download it first." if _ADDRESS.match(str(root)) else ""
        return f"{root}: there is no such folder. It must hold one folder per class, with images inside.{address}"
    ending = root.suffix.lower()
    if ending in (".npz", ".npy"):
        return (
            f"{root} holds arrays. They are given in Python: daas.search((images, labels)), images uint8 [n, 3, H, W]."
        )
    if ending in (".csv", ".tsv", ".txt", ".json", ".yaml", ".yml", ".xlsx"):
        return f"{root} is a file and no folder. {IN_A_TABLE}"
    return (
        f"{root} is {packed_kind(root) or 'a file'} and no folder. Of archives, plain .tar files are read: unpack "
        "others, and name the folder that holds one folder per class."
    )


def tar_source(path: Path, split: str) -> Source:
    """Images in an archive, read where they lie; arranged as ``folder_source`` wants them.

    Raises:
        BadInput: No such file, no whole ``.tar``, no images in class folders, no such split.
    """
    if not os.path.isfile(path):
        raise BadInput(f"{path}: there is no such archive.")
    listing = listed_tar(path)
    layout = arranged(str(path), listing, split)
    real = os.path.realpath(path)
    names = ["/".join(listing.images[index]) for index in layout.found]
    members = _Members(str(path), names, [listing.places[index] for index in layout.found])
    return Source(
        path.name, members.read, layout.labels, layout.names, members.describe, held_out=layout.held_out,
        unread=layout.unread, notes=layout.notes,
        folders=frozenset(f"{real}/{os.path.dirname(name)}" for name in names), content=members.content,
        called=members.called,
    )  # fmt: skip


def _twice(paths: Sequence[str], layout: Layout, real: Mapping[str, str]) -> list[str]:
    """A sentence about each folder that is two classes, one of them by a link."""
    classes: dict[str, set[str]] = {}
    for path, label in zip(paths, layout.labels, strict=True):
        classes.setdefault(real[os.path.dirname(path)], set()).add(layout.names[label])
    return [
        f"The classes {' and '.join(sorted(names))} are the same images: one folder is a link to the other. Remove the "
        "link."
        for _, names in sorted(classes.items()) if len(names) > 1
    ]  # fmt: skip


@dataclass(frozen=True)
class _Files:
    """Reads images from the disk; worker processes of any kind can take it along."""

    paths: Sequence[str]

    def read(self, index: int) -> Image.Image:
        with open(self.paths[index], "rb") as file:
            return read_image(file)

    def content(self, index: int, limit: int) -> tuple[int, bytes]:
        if not limit:
            return os.stat(self.paths[index]).st_size, b""
        with open(self.paths[index], "rb") as file:
            return os.fstat(file.fileno()).st_size, file.read(limit)

    def describe(self, index: int) -> str:
        return self.paths[index]

    def called(self, index: int) -> str:
        return os.path.basename(self.paths[index])


@dataclass(frozen=True)
class _Members:
    """Reads images from where they lie in an archive."""

    archive: str
    names: Sequence[str]
    places: Sequence[tuple[int, int]]

    def read(self, index: int) -> Image.Image:
        offset, size = self.places[index]
        with open(self.archive, "rb") as file:
            file.seek(offset)
            content = file.read(size)
        return read_image(io.BytesIO(content))

    def content(self, index: int, limit: int) -> tuple[int, bytes]:
        offset, size = self.places[index]
        if not limit:
            return size, b""
        with open(self.archive, "rb") as file:
            file.seek(offset)
            return size, file.read(min(limit, size))

    def describe(self, index: int) -> str:
        return f"{self.names[index]} in {self.archive}"

    def called(self, index: int) -> str:
        return self.names[index].rpartition("/")[2]
