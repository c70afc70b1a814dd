"""One process at a time works on a run's folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from daas.errors import BadInput
from daas.files import make_folder, unwritable

LOCK = ".lock"
_WAIT = "Wait until that has ended and go on with --resume auto, or name another folder."
_held: set[int] = set()


@contextmanager
def locked(folder: str | Path, flag: str = "--out", then: str = _WAIT) -> Iterator[None]:
    """Within the block this process alone works on a folder; the lock goes with the process, however it ends.

    Args:
        folder: Is made if it is not there, and removed again if it is still empty at the end.
        flag: The option that named it, for the messages.
        then: What to do where another process works on it.

    Raises:
        BadInput: Another process works on it, or it cannot be made.
    """
    folder = Path(folder)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise BadInput(f"{flag} {folder} is a file; name a folder.")
    new = [place for place in (folder, *folder.parents) if not os.path.exists(place)]
    path = folder / LOCK
    try:
        make_folder(folder, flag)
        handle = _acquire(path)
    except BadInput:
        _removed(new)
        raise
    except OSError as error:
        _removed(new)
        raise unwritable(path, error) from error
    if handle is None:
        raise BadInput(f"{flag} {folder}: {_who(path)} works on it now. {then}")
    _held.add(handle)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        _held.discard(handle)
        os.close(handle)
        _removed(new)


def _removed(new: Sequence[Path]) -> None:
    """Removes the empty ones of folders that were made, the innermost first."""
    for place in new:
        with suppress(OSError):  # there is something in it, or it was not made
            place.rmdir()


def _acquire(path: Path) -> int | None:
    """The open and locked file, or None where another process holds it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:
            os.close(handle)
            raise
        if _same(handle, path):
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()} on {os.uname().nodename}".encode())
            return handle
        os.close(handle)  # who held it has removed it since it was opened


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _who(path: Path) -> str:
    try:
        name = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        name = ""
    return f"process {name}" if name else "another process"


def _let_go() -> None:
    """A forked process, one that loads images for example, does not keep its parent's locks."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
