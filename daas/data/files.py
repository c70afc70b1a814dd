"""Class folders: on disk or in a ``.tar``, divided into splits or not."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from daas.data.formats import read_image
from daas.data.images import Source
from daas.data.layout import HELD_OUT, arranged
from daas.data.listing import files_below, listed_folder, listed_tar, packed_kind
from daas.errors import BadInput

__all__ = ["HELD_OUT", "files_below", "folder_source", "tar_source"]


def folder_source(root: Path, split: str) -> Source:
    """Images below a folder.

    Args:
        root: Holds CLASS/IMAGE, or SPLIT/CLASS/IMAGE; a single folder around them is looked through.
        split: Which split, where there are any (``layout.arranged``).

    Raises:
        BadInput: No such folder, no images in class folders, no such split.
    """
    if not root.is_dir():
        if root.is_file():
            raise BadInput(
                f"{root} is {packed_kind(root) or 'a file'} and no folder. Of archives, plain .tar files are read: "
                "unpack others, and name the folder that holds one folder per class."
            )
        raise BadInput(f"{root}: there is no such folder. It must hold one folder per class, with images inside.")
    listing = listed_folder(root)
    if () in listing.closed:
        raise BadInput(f"{root} cannot be opened ({listing.closed[()]}). Give yourself the right to read it.")
    layout = arranged(str(root), listing, split)
    paths = [listing.places[index] for index in layout.found]
    files = _Files(paths)
    return Source(
        root.name, files.read, layout.labels, layout.names, files.describe, held_out=layout.held_out,
        unread=layout.unread, notes=layout.notes,
        folders=frozenset(os.path.realpath(folder) for folder in {os.path.dirname(path) for path in paths}),
    )  # fmt: skip


def tar_source(path: Path, split: str) -> Source:
    """Images in an archive, read where they lie; arranged as ``folder_source`` wants them.

    Raises:
        BadInput: No such file, no whole ``.tar``, no images in class folders, no such split.
    """
    if not path.is_file():
        raise BadInput(f"{path}: there is no such archive.")
    listing = listed_tar(path)
    layout = arranged(str(path), listing, split)
    real = os.path.realpath(path)
    names = ["/".join(listing.images[index]) for index in layout.found]
    members = _Members(str(path), names, [listing.places[index] for index in layout.found])
    return Source(
        path.name, members.read, layout.labels, layout.names, members.describe, held_out=layout.held_out,
        unread=layout.unread, notes=layout.notes,
        folders=frozenset(f"{real}/{os.path.dirname(name)}" for name in names),
    )  # fmt: skip


@dataclass(frozen=True)
class _Files:
    """Reads images from the disk; worker processes of any kind can take it along."""

    paths: Sequence[str]

    def read(self, index: int) -> Image.Image:
        with open(self.paths[index], "rb") as file:
            return read_image(file)

    def describe(self, index: int) -> str:
        return self.paths[index]


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

    def describe(self, index: int) -> str:
        return f"{self.names[index]} in {self.archive}"
