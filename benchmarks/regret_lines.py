"""The lines of ``benchmarks.regret``: one per finished training or choice; nothing is ever removed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daas.files import append_line


class Lines:
    """A JSON-lines file and what it holds.

    Args:
        path: Of the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        self._lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._lines)

    def find(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """The first line that has these values."""
        return next((line for line in self._lines if all(line.get(name) == key[name] for name in key)), None)

    def append(self, line: dict[str, Any]) -> None:
        """Writes a line and waits until it is on the disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        append_line(self.path, json.dumps(line, allow_nan=False))
        self._lines.append(line)
