"""Files written whole or not at all; where a disk or a folder refuses, one message says what is lost: nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from daas.errors import BadInput, memory_told

_NAME = 255  # bytes of a file's name, on the file systems that there are


@contextmanager
def written(path: str | Path, then: str = "", keep: Path | None = None) -> Iterator[Path]:
    """A place to write a file to, which takes the file's name when it is whole and on the disk.

    Args:
        path: The file. Its folder must be there.
        then: What to do after the cause is mended, for the message.
        keep: Where an older file is kept; None replaces it.

    Yields:
        The path to write to, beside the file.

    Raises:
        BadInput: The disk is full, the folder cannot be written, the name is too long; an older file is whole.
    """
    path = Path(path)
    aside = _aside(path)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise BadInput(f"{path} is no file that could be written over: it is {kind_of(path)}. Name another file.")
        yield aside
        flush(aside)
        if keep is not None and os.path.exists(path):
            os.replace(path, keep)
        os.replace(aside, path)
    except Exception as error:
        number = _number(error)
        if number is None:
            raise
        raise unwritable(path, error, then) from error
    finally:
        with suppress(OSError, ValueError):
            aside.unlink(missing_ok=True)
    with suppress(OSError):  # some file systems cannot flush a folder
        flush(path.parent)


def write_bytes(path: str | Path, content: bytes, then: str = "") -> None:
    """Writes a file in one piece; errors are those of ``written``."""
    with written(path, then) as aside:
        aside.write_bytes(content)


def write_text(path: str | Path, text: str, then: str = "") -> None:
    """Writes a UTF-8 file in one piece; errors are those of ``written``. Lone surrogates are written escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"), then)


def write_json(path: str | Path, values: Any, then: str = "", indent: int | None = 1) -> None:
    """Writes a JSON file in one piece.

    Args:
        path: The file.
        values: JSON values; no NaN and no infinity.
        then: As for ``written``.
        indent: Spaces per level; None for one line.

    Raises:
        BadInput: A number that JSON does not have, with its place; and as ``written`` does.
    """
    write_text(path, json_text(values, str(path), indent) + "\n", then)


def json_text(values: Any, where: str, indent: int | None = None) -> str:
    """JSON without NaN and infinity.

    Raises:
        BadInput: There is one in ``values``, with its place.
    """
    try:
        return json.dumps(values, indent=indent, allow_nan=False)
    except ValueError as error:
        found = next((f"{place} is {value}" for place, value in _odd_numbers(values, "")), str(error))
        raise BadInput(f"{where} is not written: {found}, which JSON does not have.") from error


def digest(values: Any) -> str:
    """A hash of JSON values, whatever the order of their keys."""
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16).hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def append_line(path: str | Path, line: str, then: str = "") -> None:
    """Appends a line and waits until it is on the disk; where that fails, what was there before is whole.

    Raises:
        BadInput: As ``written`` does.
    """
    path = Path(path)
    before = None
    try:
        with path.open("ab") as file:
            before = file.tell()
            file.write(line.encode("utf-8", "backslashreplace") + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except (OSError, ValueError) as error:
        if before is not None:
            with suppress(OSError):
                os.truncate(path, before)
        raise unwritable(path, error, then) from error


def copy(source: str | Path, path: str | Path, then: str = "") -> None:
    """Copies a file in one piece; errors are those of ``written``."""
    with written(path, then) as aside:
        shutil.copyfile(source, aside)


def make_folder(path: str | Path, flag: str = "") -> None:
    """Makes a folder and those above it, if they are not there.

    Args:
        path: The folder.
        flag: The option that named it, for the message.

    Raises:
        BadInput: It cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{flag} {path}: the folder cannot be made ({reason(error)}). {_way_out(error)}".strip()
        ) from error


def flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def unwritable(path: str | Path, error: Exception, then: str = "") -> BadInput:
    """What to say when a file could not be written: what failed, what is whole, the way out.

    Args:
        path: The file.
        error: Of the system, or of a library that passes its text on.
        then: What to do after the cause is mended.
    """
    older = False
    with suppress(OSError, ValueError):
        older = os.path.exists(Path(path))
    kept = "The file that was there before is whole" if older else "Nothing half-written is left"
    return BadInput(f"{path} could not be written ({reason(error)}). {kept}. {_way_out(error)} {then}".rstrip())


_CLEAR = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR
)  # fmt: skip
"""Errors that say what to do, whoever met them."""


@contextmanager
def system_told() -> Iterator[None]:
    """Turns what the system refuses anywhere in a program, files and memory, into ``BadInput``: the last net under it.

    Raises:
        BadInput: A file or folder that may not be entered, that disappeared, a name that is too long, ...; or too
            little memory.
    """
    try:
        with memory_told():
            yield
    except OSError as error:
        named = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        system = (error.errno or 0) > 0  # libraries raise it, too, with numbers of their own
        said = f"the system refuses ({reason(error)})" if system else str(error) or type(error).__name__
        way = f" {_way_out(error)}" if named and error.errno in _CLEAR else ""
        raise BadInput(f"{named}{said}.{way}") from error


def _aside(path: Path) -> Path:
    """Beside the file, with the ending ``.part``; a long name is cut off."""
    room = _NAME - len(".part")
    name = os.fsencode(path.name)
    if len(name) > _NAME or len(name) <= room:
        return path.with_name(path.name + ".part")  # too long: the system says so
    return path.with_name(os.fsdecode(name[:room]) + ".part")


def _number(error: BaseException) -> int | None:
    """The system's number of an error, also where a library only passes its text on; None for any other error."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error))
    if found:
        return int(found[1])
    return 0 if isinstance(error, ValueError) and "null byte" in str(error) else None


def reason(error: BaseException) -> str:
    """An error of the system in its own words, without the path."""
    number = _number(error)
    return os.strerror(number) if number else str(error)


def _way_out(error: BaseException) -> str:
    number = _number(error)
    ways = {
        (errno.ENOSPC, errno.EDQUOT): "Free some space on that disk, or name a folder on another one.",
        (errno.EFBIG,): "Files may not become that large here: raise the limit (ulimit -f), or use another disk.",
        (errno.EROFS, errno.EACCES, errno.EPERM): "Name a folder that may be written, or mend its permissions.",
        (errno.ENAMETOOLONG,): "Choose a shorter name.",
        (errno.ENOENT,): "Its folder is not there: make it, or name another one.",
        (errno.ENOTDIR, errno.EEXIST, errno.EISDIR): "A file is in the place of a folder: name another path.",
    }
    return next((way for numbers, way in ways.items() if number in numbers), "Look at the disk, or name another place.")


def _odd_numbers(values: Any, place: str) -> Iterator[tuple[str, float]]:
    if isinstance(values, float) and not math.isfinite(values):
        yield place or "the value", values
    items: Any = values.items() if isinstance(values, Mapping) else enumerate(values) if _is_list(values) else ()
    for key, value in items:
        yield from _odd_numbers(value, f"{place}.{key}" if place else str(key))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def kind_of(path: Path) -> str:
    """What something is that is no regular file, in words."""
    if os.path.isdir(path):
        return "a folder"
    return "a pipe, socket or device"
