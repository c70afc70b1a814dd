"""One line per finished training, appended to a JSON-lines file; nothing is ever removed from it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """A finished training and how it came about.

    Attributes:
        scale: Name of the scale.
        table: Of the paper, or a name of our own.
        row: What is compared.
        seed: Of the search and of the training.
        top1: Accuracy on the test images after the last epoch, percent.
        train_top1: Accuracy on the training images, percent, without augmentation: how far the network overfits.
        epochs: Of the training.
        seconds: Wall-clock seconds of the training, on one core.
        search_seconds: The same of the searches behind it; 0 where nothing was searched.
        command: That trained.
        searches: Commands that searched, in order.
        revision: Of the code, with ``+`` where the tree was changed.
        facts: What else is worth keeping: names of the genotype and the policy, images, parameters.
    """

    scale: str
    table: str
    row: str
    seed: int
    top1: float
    train_top1: float
    epochs: int
    seconds: float
    search_seconds: float
    command: str
    searches: list[str]
    revision: str
    facts: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What makes a training the same one."""
        return self.scale, self.table, self.row, self.seed


def append(path: Path, record: Record) -> None:
    """Appends one line and flushes it to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(record), allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(paths: Iterable[Path]) -> list[Record]:
    """All records; a last line that was cut off is left out, anything else that is no record is an error."""
    names = {field.name for field in fields(Record)}
    found = []
    for path in paths:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        for number, text in enumerate(lines, start=1):
            if number == len(lines) and not text.endswith("\n"):
                continue
            values = json.loads(text)
            if set(values) != names:
                raise ValueError(f"{path}, line {number}: keys {sorted(values)}; a record has {sorted(names)}")
            found.append(Record(**values))
    return found


def revision(root: Path) -> str:
    """The git revision of a tree, with ``+`` where it was changed; ``unknown`` outside git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
