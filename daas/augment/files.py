"""Policy, schedule and draw files: JSON that people can read, one sub-policy per line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from daas import files, reading
from daas.errors import BadInput

POLICY_FORMAT = "daas-policy/1"
DRAW_FORMAT = "daas-draw/1"
SCHEDULE_FORMAT = "daas-policy-schedule/1"

_Read = TypeVar("_Read")


def read_json(path: str | Path, kind: str = "policy") -> Any:
    """The values of a file.

    Args:
        path: Of the file.
        kind: What it should be, for errors.

    Raises:
        BadInput: No such file, or no JSON.
    """
    return reading.read_json(path, kind, f"A {kind} file is written by {kind.capitalize()}.save.")


def load(path: str | Path, from_dict: Callable[[Any], _Read]) -> _Read:
    """What ``from_dict`` makes of a file.

    Raises:
        BadInput: Of ``read_json`` or ``from_dict``; the message names the file.
    """
    try:
        values = read_json(path)
    except BadInput as error:
        if "__class_fullname__" in reading.read_text(path, "policy"):
            raise BadInput(f"{path}: {_ALBUMENTATIONS}") from error
        raise
    other = _of_others(values)
    if other:
        raise BadInput(f"{path}: {other}")
    try:
        return from_dict(values)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


_ALBUMENTATIONS = "this is a pipeline of Albumentations; write the operations down as a policy (docs/policies.md)."


def _of_others(values: Any) -> str:
    """What a file is that another library or another part of this one has written; empty for anything else."""
    keys = values.keys() if isinstance(values, Mapping) else set()
    if {"transform", "__version__"} <= keys or "__class_fullname__" in keys:
        return _ALBUMENTATIONS
    if {"normal", "reduce"} <= keys:
        return "this is a genotype and no policy; give it as the network's genotype."
    if "config" in keys and "sub_policies" not in keys:
        return "this is a model's or a search's configuration; the policy lies beside it, in policy.json."
    if isinstance(values, list) and values and isinstance(values[0], list):
        return (
            "this is a list of [operation, probability, level], as Fast AutoAugment, DADA and others write it: "
            "daas augment convert fast-autoaugment:FILE makes a policy of it."
        )
    return ""


def write_json(path: str | Path, values: Mapping[str, Any]) -> None:
    """Writes a file whole, or leaves what was there.

    Raises:
        BadInput: The disk is full, or the folder cannot be written.
    """
    files.write_text(path, _layout(values, "") + "\n")


def _layout(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, Mapping) and value.keys() & {"sub_policies", "segments", "policy"}:
        rows = [f"{inner}{json.dumps(key)}: {_layout(entry, inner)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "[\n" + ",\n".join(f"{inner}{_layout(entry, inner)}" for entry in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)


def check_keys(where: str, values: Mapping[str, Any], keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    """Refuses missing and unknown keys.

    Raises:
        BadInput: Which, and the keys that there are.
    """
    missing = [key for key in keys if key not in values and key not in optional]
    unknown = [key for key in values if key not in keys]
    if missing or unknown:
        raise BadInput(
            f"{where}: missing keys {missing}, unknown keys {shown(unknown)}; it has the keys {', '.join(keys)}."
        )


def check_texts(where: str, name: object, source: object) -> None:
    """Refuses a name or a source that is no text, or a long one.

    Raises:
        BadInput: Which, and how long it may be.
    """
    for key, value, longest in (("name", name, 200), ("source", source, 4000)):
        if not isinstance(value, str):
            raise BadInput(f"{where}: {key} is {shown(value)}; it is a text.")
        if len(value) > longest:
            raise BadInput(f"{where}: {key} has {len(value):,} letters; at most {longest:,}.")


def shown(value: object) -> str:
    """A value of a file for a message, cut off where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out whole numbers of thousands of digits
        return f"a {type(value).__name__} with a number of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."
