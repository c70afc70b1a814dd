"""Class folders: on disk or in a ``.tar``, divided into splits or not."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from PIL import Image

from daas.data.images import Source
from daas.errors import BadInput

EXTENSIONS = (
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".jp2", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
    ".heic", ".heif",  # not read without a plug-in of Pillow: named as unreadable rather than passed over
)  # fmt: skip
_TRAIN = ("train", "training")
_VAL = ("val", "valid", "validation", "eval", "evaluation")
_SPLITS = {**dict.fromkeys(_TRAIN, _TRAIN), **dict.fromkeys(_VAL, (*_VAL, "test")), "test": ("test", *_VAL)}
HELD_OUT = "held out"
"""Split of a place that was named for validation: ``val`` or ``test`` if it is divided, otherwise all of it."""


def folder_source(root: Path, split: str) -> Source:
    """Images below a folder.

    Args:
        root: Holds CLASS/IMAGE, or SPLIT/CLASS/IMAGE; a single folder around them is looked through.
        split: Which split, where there are any.

    Raises:
        BadInput: No such folder, no images in class folders, no such split.
    """
    if not root.is_dir():
        hint = " (of archives, plain .tar files are read)" if root.is_file() else ""
        raise BadInput(f"{root}: there is no such folder{hint}. It must hold one folder per class, with images inside.")
    files = [path for path in files_below(root) if path.suffix.lower() in EXTENSIONS]
    paths = [PurePosixPath(path.relative_to(root)) for path in files]
    found, labels, names, held_out = _arranged(str(root), paths, split)

    def read(index: int) -> Image.Image:
        with files[found[index]].open("rb") as file:
            image = Image.open(file)
            image.load()
        return image

    return Source(root.name, read, labels, names, lambda index: str(files[found[index]]), held_out=held_out)


def files_below(root: Path) -> Iterator[Path]:
    """All files below a folder, through links to other folders too, each folder once on its way down."""
    for here, folders, names in os.walk(root, followlinks=True):
        if folders:
            place = Path(here).absolute()
            way = {os.path.realpath(parent) for parent in (place, *place.parents)}
            folders[:] = [name for name in folders if os.path.realpath(place / name) not in way]
        yield from (Path(here) / name for name in names)


def tar_source(path: Path, split: str) -> Source:
    """Images in an archive, read where they lie; arranged as ``folder_source`` wants them.

    Raises:
        BadInput: No such file, no whole ``.tar``, no images in class folders, no such split.
    """
    if not path.is_file():
        raise BadInput(f"{path}: there is no such archive.")
    try:
        with tarfile.open(path, "r:") as archive:
            members = [(PurePosixPath(m.name), m.offset_data, m.size) for m in archive if m.isfile()]
    except tarfile.TarError as error:
        raise BadInput(f"{path} is no whole .tar archive ({error}).") from error
    found, labels, names, held_out = _arranged(str(path), [name for name, _, _ in members], split)

    def read(index: int) -> Image.Image:
        _, offset, size = members[found[index]]
        with path.open("rb") as file:
            file.seek(offset)
            image = Image.open(io.BytesIO(file.read(size)))
        image.load()
        return image

    def describe(index: int) -> str:
        return f"{members[found[index]][0]} in {path}"

    return Source(path.name, read, labels, names, describe, held_out=held_out)


def _arranged(
    where: str, paths: Sequence[PurePosixPath], split: str
) -> tuple[list[int], list[int], tuple[str, ...], bool]:
    """Chooses the images of a split.

    Returns:
        Their indices sorted by path, their labels, the names of the classes, and whether there are images held out.
    """
    parts = {
        index: path.parts
        for index, path in enumerate(paths)
        if path.suffix.lower() in EXTENSIONS and not any(p.startswith(".") or p == "__MACOSX" for p in path.parts)
    }
    while parts and len({p[0] for p in parts.values()}) == 1 and min(map(len, parts.values())) > 2:
        if next(iter(parts.values()))[0] in _SPLITS:
            break
        parts = {index: p[1:] for index, p in parts.items()}
    parts = {index: p for index, p in parts.items() if len(p) > 1}
    folders = {p[0] for p in parts.values()}
    folder = _split_folder(where, folders, split)
    held_out = bool(folder) and bool(folders & {*_VAL, "test"})
    if folder:
        parts = {index: p[1:] for index, p in parts.items() if p[0] == folder and len(p) > 2}
    if not parts:
        raise BadInput(
            f"{where} holds no images in class folders. Expected CLASS/IMAGE with one folder per class; images are "
            f"{', '.join(EXTENSIONS)}."
        )
    found = sorted(parts, key=lambda index: parts[index])
    names = sorted({p[0] for p in parts.values()})
    number = {name: label for label, name in enumerate(names)}
    return found, [number[parts[index][0]] for index in found], tuple(names), held_out


def _split_folder(where: str, folders: set[str], split: str) -> str:
    """The folder of a split, or an empty name where the images are not divided into splits."""
    if split not in (*_SPLITS, HELD_OUT):
        raise BadInput(f"split {split!r} of {where} is unknown; it is one of {', '.join(_SPLITS)}.")
    divided = folders and (folders <= set(_SPLITS) or (folders & set(_TRAIN) and folders & {*_VAL, "test"}))
    if not divided:
        if split in (*_TRAIN, HELD_OUT) or not folders:
            return ""
        raise BadInput(
            f"{where} has no folder for the {split} split. Put the images into train/CLASS/ and val/CLASS/, or name "
            "validation images with --val-dir."
        )
    wanted = (*_VAL, "test", *_TRAIN) if split == HELD_OUT else _SPLITS[split]
    for name in wanted:
        if name in folders:
            return name
    raise BadInput(f"{where} has the splits {', '.join(sorted(folders))}, and none of {', '.join(wanted)}.")
