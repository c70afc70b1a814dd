"""Readers of files that anybody may have made: JSON, YAML and text, with one kind of message for what they are not."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import yaml

from daas.errors import BadInput
from daas.files import kind_of, reason

_MIB = 2**20
LIMIT = 64 * _MIB
"""Bytes of the largest JSON file that is read."""
_DEPTH = 64  # levels of lists and objects within each other
_DASHES = re.compile(r"(?:[-?:] +){64}")
_POINTER = b"version https://git-lfs.github.com/spec/"


def read_bytes(path: str | Path, kind: str, limit: int = LIMIT) -> bytes:
    """A file's content.

    Args:
        path: A regular file: no folder, device or pipe.
        kind: What it should be, for messages: "genotype".
        limit: Bytes that it may have.

    Raises:
        BadInput: No such file, no regular one, one that may not be read, or one that is too large.
    """
    try:
        mode = os.stat(path)
        if not stat.S_ISREG(mode.st_mode):
            raise BadInput(f"{path}: no {kind} file, but {kind_of(Path(path))}. Name the file itself.")
        if mode.st_size > limit:
            raise BadInput(
                f"{path}: {mode.st_size:,} bytes are too many for a {kind} file; at most {limit:,} are read."
            )
        with open(path, "rb") as file:
            return file.read(limit + 1)[:limit]
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such {kind} file ({os.strerror(errno.ENOENT)}).") from error
    except BadInput:
        raise
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: the {kind} file cannot be read ({reason(error)}).") from error


def read_text(path: str | Path, kind: str, limit: int = LIMIT) -> str:
    """A UTF-8 file's text, without a byte order mark.

    Raises:
        BadInput: As ``read_bytes`` does; another encoding, or something that is no text and looks like it: a pointer
            of Git LFS, a pickle, a web page.
    """
    content = read_bytes(path, kind, limit)
    found = look_alike(content)
    if found:
        raise BadInput(f"{path}: {found}")
    if b"\0" in content:
        raise BadInput(
            f"{path}: the {kind} file holds zero bytes, as UTF-16 and UTF-32 text does. Save it as UTF-8, or copy it "
            "again."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path}: the {kind} file is no UTF-8 text ({error.reason} at byte {error.start}), so no JSON or YAML "
            "either. Save it as UTF-8."
        ) from error


def look_alike(start: bytes) -> str:
    """What the beginning of a file says that it is, with the way out; empty for anything that it may be.

    >>> look_alike(b"version https://git-lfs.github.com/spec/v1")[:24]
    'this is a pointer of Git'
    """
    if start.startswith(_POINTER):
        return (
            "this is a pointer of Git LFS and not the file itself. Fetch the file (git lfs install; git lfs pull in "
            "the folder of the clone), or download it with daas hub pull."
        )
    if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "this is UTF-32 text. Save it as UTF-8."
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "this is UTF-16 text. Save it as UTF-8."
    if start.startswith(b"\x1f\x8b"):
        return "this is a gzip file. Unpack it (gunzip), and name what is in it."
    if start.startswith((b"\x89HDF", b"GGUF")):
        return f"this is {'an HDF5' if start[0] == 0x89 else 'a GGUF'} file, and of another library; it is not read."
    if len(start) > 1 and start[:1] == b"\x80" and 2 <= start[1] <= 5 and start[8:9] != b"{":
        return (
            "this is a pickle, which could run any code when it is loaded; it is not read. Convert it to safetensors."
        )
    if start.startswith(b"PK\x03\x04"):
        return (
            "this is a zip archive (PyTorch's own checkpoints are such, with a pickle inside, which could run any "
            "code); it is not read. Convert weights to safetensors: load them with torch.load(..., "
            "weights_only=True) and save them with safetensors.torch.save_file."
        )
    if start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "this is a web page (of a login, a proxy or an error) and not the file itself. Download it again."
    return ""


def check_look_alike(path: str | Path) -> None:
    """Refuses a file that is something else by its first bytes.

    Raises:
        BadInput: With what it is and the way out; not for a file that cannot be opened.
    """
    found = ""
    with suppress(OSError, ValueError):
        if os.path.isfile(Path(path)):
            with open(path, "rb") as file:
                found = look_alike(file.read(512))
    if found:
        raise BadInput(f"{path}: {found}")


def read_json(path: str | Path, kind: str, hint: str = "", limit: int = LIMIT) -> Any:
    """The values of a JSON file.

    Args:
        path: A regular file.
        kind: What it should be, for messages: "genotype".
        hint: Who writes such files.
        limit: Bytes that it may have.

    Raises:
        BadInput: As ``read_text`` and ``parse_json`` do; the message names the file.
    """
    text = read_text(path, kind, limit)
    try:
        return parse_json(text)
    except BadInput as error:
        raise BadInput(f"{path}: {error} {hint}".rstrip()) from error


def parse_json(text: str) -> Any:
    """JSON values, as strictly as they can be relied upon.

    Raises:
        BadInput: No JSON; the same key twice; NaN, infinity, or a number that overflows; lists and objects more than
            64 deep within each other.
    """
    try:
        values = json.loads(
            text, parse_constant=_no_number, parse_float=_finite, parse_int=_small, object_pairs_hook=_once
        )
    except RecursionError as error:
        raise BadInput(f"no JSON (lists or objects are more than {_DEPTH} deep within each other).") from error
    except ValueError as error:
        raise BadInput(f"no JSON ({error}).") from error
    if _too_deep(values):
        raise BadInput(f"no JSON (lists or objects are more than {_DEPTH} deep within each other).")
    return values


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} overflows")
    return value


def _small(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"the whole number {text[:20]}... has {len(text)} digits; at most 64 bits are read")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} stands twice in one object")
        found[key] = value
    return found


def _too_deep(values: Any) -> bool:
    level = [values]
    for _ in range(_DEPTH + 1):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return bool(level)


class _Plain(yaml.SafeLoader):
    """YAML without aliases (a few lines of which can unfold to gigabytes), deep nesting and keys that stand twice."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML has no annotations there
            raise yaml.YAMLError(f"the alias *{event.anchor} is not read; write the value out")
        self.depth += 1
        if self.depth > _DEPTH:
            raise yaml.YAMLError(f"lists or mappings are more than {_DEPTH} deep within each other")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(f"the key {key.value[:80]!r} stands twice")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path, kind: str, limit: int = _MIB // 16) -> Any:
    """The values of a YAML file: plain ones, no objects, no aliases.

    Args:
        path: A regular file.
        kind: What it should be, for messages: "recipe".
        limit: Bytes that it may have.

    Raises:
        BadInput: As ``read_text`` does; no YAML, aliases, a key twice, deep nesting.
    """
    text = read_text(path, kind, limit)
    if _nested(text):
        raise BadInput(f"{path} is no YAML (lists or mappings are more than {_DEPTH} deep within each other).")
    try:
        return yaml.load(text, Loader=_Plain)  # a safe loader of our own
    except Exception as error:  # its constructors raise all kinds of errors on what a tag forces them to read
        raise BadInput(f"{path} is no YAML ({_one_line(error)}).") from error


def _nested(text: str) -> bool:
    """Whether a text opens far more brackets than it closes, or dashes: PyYAML would take minutes and gigabytes."""
    depth = deepest = 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        deepest = max(deepest, depth)
    return deepest > _DEPTH or _DASHES.search(text) is not None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def packaged_json(package: str, name: str) -> Any:
    """The values of a JSON file that comes with the package.

    Args:
        package: Where it lies: "daas.models".
        name: Of the file.
    """
    return json.loads(files(package).joinpath(name).read_text(encoding="utf-8"))
