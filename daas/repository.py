"""What a repository may hold: names that stay inside, of an allow-list, and nothing that could run."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from huggingface_hub import constants

from daas.errors import BadInput
from daas.reading import read_text

CONFIG, WEIGHTS, GENOTYPE = "config.json", "model.safetensors", "genotype.json"
POLICY, SCHEDULE = "policy.json", "policy_schedule.json"
CARD, LICENCE, RECIPE, CURVES, VERIFICATION = "README.md", "LICENSE", "recipe.yaml", "summary.csv", "verification.json"
CELLS_PICTURE, POLICY_PICTURE = "cells.svg", "policy.png"
NEEDED = (CONFIG, WEIGHTS, CARD, LICENCE, RECIPE, VERIFICATION)
HUBS_OWN = ".gitattributes"  # the Hub writes it into every repository

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz")
_ENDINGS = (".safetensors", ".json", ".yaml", ".yml", ".md", ".txt", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
_LICENCES = re.compile(r"(licen[sc]e|notice|copying)([-._]\w+)*", re.IGNORECASE)
_LITTER = re.compile(r"(\.DS_Store|Thumbs\.db|ehthumbs\.db|desktop\.ini|\._.*)", re.IGNORECASE)
_ACTIVE = re.compile(r"<\s*(script|foreignobject|iframe|!entity)|javascript:|\son\w+\s*=", re.IGNORECASE)


def check_paths(where: str, paths: Iterable[str]) -> None:
    """Refuses names that leave a folder, names of pickles, and what is not on the list of what a repository may hold.

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
        if not _is_allowed(path):
            raise BadInput(
                f"{where} holds {path!r}. A repository may hold weights (safetensors), JSON, a recipe (YAML), Markdown "
                f"and plain text, pictures, {CURVES} and licences, and no code or anything else; remove the file."
            )


def _is_allowed(path: str) -> bool:
    name = PurePosixPath(path)
    is_licence = not name.suffix and _LICENCES.fullmatch(name.name) is not None
    return name.suffix.lower() in _ENDINGS or path in (CURVES, HUBS_OWN) or is_licence


def is_litter(path: str) -> bool:
    """Whether a file is one that a desktop leaves in every folder, such as .DS_Store.

    >>> is_litter("deep/Thumbs.db")
    True
    """
    parts = PurePosixPath(path).parts
    return bool(parts) and (parts[0] == "__MACOSX" or _LITTER.fullmatch(parts[-1]) is not None)


def files_of(folder: Path) -> list[str]:
    """The files of a folder that belong to the repository, sorted, with forward slashes.

    Git's own, caches of the Hub's client and what a desktop leaves behind (``litter_of``) are left out.

    Raises:
        BadInput: No folder; a link that leads out of it; a name that ``check_paths`` refuses; a pickle by its
            content; a picture with a script.
    """
    found = [name for name in _all_files(folder) if not is_litter(name)]
    check_paths(str(folder), found)
    for name in found:
        _check_content(folder, name)
    return found


def litter_of(folder: Path) -> list[str]:
    """The files of a folder that a desktop has left there."""
    return [name for name in _all_files(folder) if is_litter(name)]


def _all_files(folder: Path) -> list[str]:
    if not os.path.isdir(folder):
        raise BadInput(f"{folder}: no such folder.")
    home = folder.resolve()
    cache = Path(constants.HF_HUB_CACHE).resolve()  # where snapshots are links, made by the Hub's client
    inside = cache if home.is_relative_to(cache) else home
    found = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if os.path.isdir(path) or relative.parts[0] == ".git" or relative.parts[:2] == (".cache", "huggingface"):
            continue
        if not path.resolve().is_relative_to(inside):
            raise BadInput(
                f"{folder} holds {relative.as_posix()!r}, a link that leaves the folder; copy the file there."
            )
        if not os.path.isfile(path):
            raise BadInput(f"{folder} holds {relative.as_posix()!r}, which is no regular file; remove it.")
        found.append(relative.as_posix())
    return found


def _check_content(folder: Path, name: str) -> None:
    path = folder / name
    if _is_pickle(path):
        raise BadInput(f"{folder} holds {name!r}: its content is a pickle, whatever its name says; remove the file.")
    if path.suffix.lower() == ".svg" and _ACTIVE.search(read_text(path, "picture")):
        raise BadInput(f"{folder} holds {name!r}, a picture with a script or other active content; remove the file.")


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
