"""What a repository folder may hold: names, paths that stay inside, no pickles; checksums of its files."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from huggingface_hub import constants

from daas.errors import BadInput

CONFIG, WEIGHTS, GENOTYPE = "config.json", "model.safetensors", "genotype.json"
POLICY, SCHEDULE = "policy.json", "policy_schedule.json"
CARD, LICENCE, RECIPE, CURVES, VERIFICATION = "README.md", "LICENSE", "recipe.yaml", "summary.csv", "verification.json"
CELLS_PICTURE, POLICY_PICTURE = "cells.svg", "policy.png"
NEEDED = (CONFIG, WEIGHTS, CARD, LICENCE, RECIPE, VERIFICATION)
HUBS_OWN = ".gitattributes"  # the Hub writes it into every repository

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz")


def check_paths(where: str, paths: Iterable[str]) -> None:
    """Refuses names that leave a folder, and names of pickles.

    Args:
        where: The folder or repository, for the message.
        paths: Of its files, with forward slashes.

    Raises:
        BadInput: With the first such path.
    """
    for path in paths:
        parts = path.replace("\\", "/").split("/")
        if any(part in ("", ".", "..") for part in parts) or ":" in path or not path.isprintable():
            raise BadInput(
                f"{where} holds the path {path!r}, which leaves the folder or is no plain file name; nothing of it is "
                "read or written."
            )
        if PurePosixPath(path.lower()).suffix in _PICKLES:
            raise BadInput(
                f"{where} holds {path!r}: that is a pickle by its name, which could run any code when it is loaded. "
                "Weights are read from safetensors only; remove the file."
            )


def files_of(folder: Path) -> list[str]:
    """The files of a folder, sorted, with forward slashes; git's own and caches of the Hub's client are left out.

    Raises:
        BadInput: No folder; a link that leads out of it; a pickle, by its name or by its content.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder.")
    home = folder.resolve()
    cache = Path(constants.HF_HUB_CACHE).resolve()  # where snapshots are links, made by the Hub's client
    inside = cache if home.is_relative_to(cache) else home
    found = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_dir() or relative.parts[0] == ".git" or relative.parts[:2] == (".cache", "huggingface"):
            continue
        if not path.resolve().is_relative_to(inside):
            raise BadInput(
                f"{folder} holds {relative.as_posix()!r}, a link that leaves the folder; copy the file there."
            )
        found.append(relative.as_posix())
    check_paths(str(folder), found)
    for name in found:
        if _is_pickle(folder / name):
            raise BadInput(
                f"{folder} holds {name!r}: its content is a pickle, whatever its name says; remove the file."
            )
    return found


def _is_pickle(path: Path) -> bool:
    if path.suffix == ".safetensors":
        return False  # its first bytes are a length, which may be any; only its own reader opens it
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == b"\x80" and len(start) == 2 and 2 <= start[1] <= 5:
        return True
    if start != b"PK" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".pkl") for name in archive.namelist())


def check_new(folder: Path) -> None:
    """Refuses a folder that holds something.

    Raises:
        BadInput: It does.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
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
        raise BadInput(f"{folder} cannot be made ({error.strerror}).") from error
    with place as beside:
        inside = Path(beside) / folder.name
        inside.mkdir()
        yield inside
        if not folder.exists():
            inside.rename(folder)
            return
        for path in inside.iterdir():  # it may be the folder in which somebody works: it stays the same one
            shutil.move(path, folder / path.name)


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
