"""What lies in a folder or an archive: images, and what looks like one but is not read, each with its reason."""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from daas.data.formats import EXTENSIONS, ending, tells_nothing, unread_kind
from daas.errors import BadInput
from daas.reading import check_look_alike

_LITTER = frozenset(
    ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__pycache__")
)
"""Folders that desktops, servers and notebooks leave behind."""
_LOOKED_INTO = 1000  # files of unknown endings whose first bytes are looked at
_PACKED = {
    b"\x1f\x8b": "a gzip file", b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file", b"\x28\xb5\x2f\xfd": "a zstd file",
    b"PK": "a zip archive", b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a rar archive",
}  # fmt: skip
_END = 2**20  # bytes behind the last member that are looked at

Parts = tuple[str, ...]
"""A path from the root, as its names."""


@dataclass
class Listing:
    """Files below a root.

    Attributes:
        images: Paths of the images, in the order in which they were met.
        places: Where each of them lies: a path on disk, or (offset, bytes) in an archive.
        unread: Paths of what looks like an image and is not read, with the reason: an ending, or words.
        folders: All folders that are not hidden.
        closed: Folders that could not be opened, with the system's words.
    """

    images: list[Parts] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)
    unread: list[tuple[Parts, str]] = field(default_factory=list)
    folders: set[Parts] = field(default_factory=set)
    closed: dict[Parts, str] = field(default_factory=dict)
    _looked: int = 0

    def add_image(self, parts: Parts, place: Any) -> None:
        """An image that can be opened."""
        self.images.append(parts)
        self.places.append(place)

    def may_look(self, name: str) -> bool:
        """Whether the first bytes of a file are worth looking at; a thousand times at most."""
        if not tells_nothing(name):
            return False
        self._looked += 1
        return self._looked <= _LOOKED_INTO


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is never read: hidden, or what desktops leave behind."""
    return name.startswith(".") or name in _LITTER


def listed_folder(root: Path) -> Listing:
    """Looks through a folder, through links to other folders too, each folder once on its way down."""
    found = Listing()
    for entry, parts in _walk(root, found):
        image = ending(entry.name) in EXTENSIONS
        if _is_file(entry):
            if image:
                found.add_image(parts, entry.path.removeprefix("./"))
            else:
                kind = unread_kind(entry.name, _head(entry.path) if found.may_look(entry.name) else None)
                if kind:
                    found.unread.append((parts, kind))
        elif _looks_like_image(entry.name):
            broken = entry.is_symlink() and not os.path.exists(entry.path)
            found.unread.append((parts, "broken links" if broken else "pipes, sockets or devices"))
        elif entry.is_symlink() and not ending(entry.name) and not os.path.exists(entry.path):
            found.closed[parts] = f"a link to {os.readlink(entry.path)}, which is not there"
    return found


def _walk(root: Path, found: Listing) -> Iterator[tuple[os.DirEntry[str], Parts]]:
    """All entries that are no folders and not hidden; notes the folders."""
    place = Path(os.path.abspath(root))  # without "..", whose way leads through folders that are to be read
    todo: list[tuple[str, Parts, frozenset[str]]] = [
        (str(root), (), frozenset(os.path.realpath(parent) for parent in (root, *place.parents)))
    ]
    while todo:
        here, parts, way = todo.pop()
        try:
            with os.scandir(here) as listed:
                entries = list(listed)
        except OSError as error:
            found.closed[parts] = error.strerror or str(error)
            continue
        real = os.path.realpath(here)
        for entry in entries:
            if hidden(entry.name):
                continue
            below = (*parts, entry.name)
            if not _is_folder(entry):
                yield entry, below
                continue
            target = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)
            if target not in way:
                found.folders.add(below)
                todo.append((entry.path, below, way | {target}))


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _head(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(12)
    except OSError:
        return None


def files_below(root: Path) -> Iterator[Path]:
    """All files below a folder that are not hidden, through links to other folders too."""
    return (Path(entry.path) for entry, _ in _walk(root, Listing()) if _is_file(entry))


def listed_tar(path: Path) -> Listing:
    """Looks through an archive; hard links lead to what they link to.

    Raises:
        BadInput: It is no ``.tar``, damaged, or cut off.
    """
    found, size = Listing(), path.stat().st_size
    regular: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(path, "r:") as archive, path.open("rb") as file:
            for member in archive:
                parts = _parts(member.name)
                if member.isreg() and not member.issparse() and member.offset_data + member.size <= size:
                    regular[member.name] = (member.offset_data, member.size)
                if ".." in parts and _looks_like_image(parts[-1]):
                    found.unread.append((parts, "paths with .."))
                elif parts and not any(map(hidden, parts)):
                    _sort_in(found, parts, member, regular, file)
            file.seek(archive.offset)
            end = file.read(_END)
            _note_linked_folders(found, archive)
    except (tarfile.TarError, OSError) as error:
        packed = packed_kind(path)
        if not packed:
            check_look_alike(path)
        raise BadInput(
            f"{path} is no plain .tar archive, but {packed}. Unpack it, and name the folder."
            if packed
            else f"{path} is no whole .tar archive ({error}). Copy or download it again."
        ) from error
    _refuse_shard(path, found, regular)
    _leave_out_older(found)
    if len(end) < tarfile.BLOCKSIZE or any(end):
        seen = f"after {len(found.images)} images " + ("come other data" if any(end) else "it is cut off")
        raise BadInput(
            f"{path} is no whole .tar archive: {seen}. Copy or download it again; of several archives in one file, "
            "unpack each."
        )
    return found


def _parts(name: str) -> Parts:
    """A member's path; some programs on Windows write it with backslashes."""
    return PurePosixPath(name.replace("\\", "/").lstrip("/")).parts


def _sort_in(
    found: Listing, parts: Parts, member: tarfile.TarInfo, regular: dict[str, tuple[int, int]], file: io.BufferedReader
) -> None:
    folder = parts if member.isdir() else parts[:-1]
    while folder and folder not in found.folders:
        found.folders.add(folder)
        folder = folder[:-1]
    if member.isdir():
        return
    place = regular.get(member.linkname if member.islnk() else member.name)
    if member.issym() or place is None:
        if _looks_like_image(parts[-1]):
            found.unread.append((parts, _special(member)))
    elif ending(parts[-1]) in EXTENSIONS:
        found.add_image(parts, place)
    else:
        head = None
        if found.may_look(parts[-1]):
            file.seek(place[0])
            head = file.read(min(12, place[1]))
        if kind := unread_kind(parts[-1], head):
            found.unread.append((parts, kind))


def _refuse_shard(path: Path, found: Listing, members: Collection[str]) -> None:
    """Refuses an archive of WebDataset, where the label of ``0001.jpg`` is in ``0001.cls`` and folders mean nothing.

    Raises:
        BadInput: More than half of the images have such a member, or lie beside JSON of their name and in no folder.
    """
    endings = (".cls", ".json") if all(len(parts) == 1 for parts in found.images) else (".cls",)
    stems = {_stem(_parts(name)) for name in members if name.endswith(endings)}
    labelled = sum(_stem(parts) in stems for parts in found.images)
    if 2 * labelled > len(found.images):
        raise BadInput(
            f"{path} is an archive of WebDataset: the labels of its images are in members of their names, not in "
            "folders. Unpack it into one folder per class; or train on it through timm's reader (pip install "
            f"webdataset): --dataset wds/NAME --data-dir {path.parent} --train-split '{path.name}|NUMBER-OF-IMAGES'."
        )


def _stem(parts: Parts) -> Parts:
    """What WebDataset calls a sample: its path up to the first dot of its name."""
    return (*parts[:-1], parts[-1].partition(".")[0])


def _looks_like_image(name: str) -> bool:
    return ending(name) in EXTENSIONS or bool(unread_kind(name))


def _leave_out_older(found: Listing) -> None:
    """Of members of one name the last counts, as when an archive is unpacked."""
    newest = {parts: index for index, parts in enumerate(found.images)}
    if len(newest) < len(found.images):
        older = [parts for index, parts in enumerate(found.images) if newest[parts] != index]
        found.unread.extend((parts, "older copies of the same name") for parts in older)
        found.places = [found.places[index] for index in newest.values()]
        found.images = list(newest)


def packed_kind(path: Path) -> str:
    """What kind of packed file a file is, by its first bytes; empty for others and for what cannot be opened."""
    head = _head(str(path)) or b""
    return next((kind for start, kind in _PACKED.items() if head.startswith(start)), "")


def _note_linked_folders(found: Listing, archive: tarfile.TarFile) -> None:
    for member in archive:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
        if member.issym() and _parts(target) in found.folders:
            found.closed[_parts(member.name)] = "a symbolic link"


def _special(member: tarfile.TarInfo) -> str:
    """What to call a member that holds no file."""
    if member.issym():
        return "symbolic links"
    if member.islnk():
        return "links to nothing"
    return "sparse members" if member.issparse() else "pipes, sockets or devices"
