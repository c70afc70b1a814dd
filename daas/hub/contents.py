"""Folders that a repository is written to, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daas.errors import BadInput
from daas.files import reason


def check_new(folder: Path) -> None:
    """Refuses a folder that holds something.

    Raises:
        BadInput: It does.
    """
    if os.path.exists(folder) and (not os.path.isdir(folder) or any(folder.iterdir())):
        raise BadInput(f"{folder} exists already, and nothing is written over. Name another folder, or remove it.")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A place to write a folder's files to; they come into the folder if nothing goes wrong, and go away otherwise.

    Args:
        folder: Must not exist, or be empty.

    Raises:
        BadInput: It holds something, or cannot be made.
    """
    check_new(folder)
    folder = Path(os.path.abspath(folder))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.")
    except OSError as error:
        raise BadInput(f"{folder} cannot be made ({reason(error)}). Name another folder.") from error
    with place as beside:
        inside = Path(beside) / folder.name
        inside.mkdir()
        yield inside
        if not os.path.exists(folder):
            inside.rename(folder)
            return
        for path in inside.iterdir():  # it may be the folder in which somebody works: it stays the same one
            shutil.move(path, folder / path.name)
