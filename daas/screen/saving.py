"""The files of a screen: screen.json, policy.json, screen.html, screen.png."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from daas.augment.space import INDEX
from daas.errors import BadInput, plain
from daas.files import make_folder, write_bytes, write_json, write_text
from daas.reading import read_json
from daas.screen.result import FORMAT, Moved, Screen, Seen, Stratum

JSON, POLICY, PAGE, PICTURE = "screen.json", "policy.json", "screen.html", "screen.png"


def to_dict(screen: Screen) -> dict[str, Any]:
    """The JSON form, with ``format``; the pictures are not in it."""
    return {
        "format": FORMAT,
        "clean": dict(screen.clean),
        "flip": screen.flip,
        "scale": None if screen.scale is None else list(screen.scale),
        "swaps": [list(pair) for pair in screen.swaps],
        "warnings": list(screen.warnings),
        "operations": [_plain(dataclasses.asdict(seen)) for seen in screen.operations],
        "about": _plain(dict(screen.about)),
    }


def _plain(value: Any) -> Any:
    """Tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def from_dict(values: Any) -> Screen:
    """The inverse of ``to_dict``.

    Raises:
        BadInput: Another format, missing keys, or an operation that is not registered.
    """
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise BadInput(f"a screen is a JSON object with the format {FORMAT!r}; found {str(values)[:80]}.")
    try:
        rows = tuple(_seen(row) for row in values["operations"])
        clean = {key: float(values["clean"][key]) for key in ("accuracy", "confidence")}
        found = Screen(clean, rows, dict(values["about"]), tuple(map(str, values["warnings"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"this is no whole screen ({type(error).__name__}: {error}); Screen.save writes one.") from error
    if unknown := [str(seen.op) for seen in found if str(seen.op) not in INDEX]:
        raise BadInput(
            f"this screen tried {', '.join(unknown)}, which this program does not know. Register it as the one that "
            "screened did (daas.register_operation(...)), before the screen is read."
        )
    return found


def _seen(row: Mapping[str, Any]) -> Seen:
    values = dict(row)
    values["interval"] = _pair(values["interval"])
    values["by_magnitude"] = tuple(Stratum(**{**s, "interval": _pair(s["interval"])}) for s in values["by_magnitude"])
    values["moves"] = tuple(Moved(**move) for move in values["moves"])
    values["exchanges"] = tuple((str(a), str(b)) for a, b in values["exchanges"])
    return Seen(**values)


def _pair(values: Any) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)


def save(screen: Screen, folder: Path) -> Path:
    """Writes all files of a screen, the pages last: ones that cannot be made lose nothing, and what went wrong is said.

    Args:
        screen: What was found.
        folder: Made where it is missing; files of an earlier screen are replaced.

    Returns:
        Where the page is, if it could be made. policy.json is missing where no operation is left.

    Raises:
        BadInput: The folder cannot be written.
    """
    from daas.screen.using import kept

    make_folder(folder)
    if kept(screen):
        screen.policy().save(folder / POLICY)
    else:
        (folder / POLICY).unlink(missing_ok=True)
    write_json(folder / JSON, to_dict(screen))
    draw(screen, folder)
    return folder / PAGE


def draw(screen: Screen, folder: Path) -> None:
    """Makes screen.png and screen.html, or says on stderr why they cannot be made.

    Args:
        screen: What was found.
        folder: Holds its screen.json, and policy.json where an operation is left.
    """
    try:
        from daas.screen.page import page  # at need: they bring jinja2 and matplotlib
        from daas.screen.plots import png

        policy = folder / POLICY
        write_bytes(folder / PICTURE, png(screen))
        write_text(folder / PAGE, page(screen, str(policy) if os.path.exists(policy) else None))
    except Exception as error:  # a full disk, a font, a broken installation of what draws: the results are safe
        for name in (PICTURE, PAGE):
            with suppress(OSError):  # of an earlier screen; what cannot be removed is no file of ours
                (folder / name).unlink(missing_ok=True)
        print(
            f"warning: the screen is done and its results are in {plain(str(folder))}, but its page could not be made: "
            f"{plain(str(error))} ({type(error).__name__}). The same screen with --resume auto makes it again, and "
            "daas.Screen.load(FOLDER).save(FOLDER).",
            file=sys.stderr,
        )


def load(path: Path) -> Screen:
    """Reads a screen.json, or that of a folder.

    Raises:
        BadInput: No such file, no JSON, no screen, or an operation that is not registered; the message names the file.
    """
    file = path / JSON if os.path.isdir(path) else path
    values = read_json(file, "screen", "daas screen writes one.")
    try:
        return from_dict(values)
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from error
