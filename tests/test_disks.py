"""A full disk and a read-only file system, at every writer: one message, the older file whole, no litter."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import daas
from daas import checkpoint, files
from daas.augment import find_policy
from daas.augment.__main__ import main as augment
from daas.errors import BadInput
from daas.models import Genotype
from daas.search.found import Found
from daas.search.report import metrics
from daas.train.output import save_weights

ROOT = Path(daas.__file__).parent
FAULTS = {"full": errno.ENOSPC, "read-only": errno.EROFS, "quota": errno.EDQUOT}
LINE = {"step": 1, "epoch": 1}


WRITERS: dict[str, Callable[[Path], object]] = {
    "genotype": lambda path: Genotype.random(torch.Generator().manual_seed(0)).save(path),
    "policy": lambda path: find_policy("randaugment").save(path),
    "checkpoint": lambda path: checkpoint.save(path, {"a": torch.ones(2)}, {"step": 1}),
    "weights": lambda path: save_weights(nn.Linear(2, 2), path, ["a", "b"]),
    "json": lambda path: files.write_json(path, {"a": 1}),
    "lines": lambda path: metrics.write_lines(path, [LINE]),
    "summary": lambda path: metrics.write_summary(path, {"a": 1}),
    "copy": lambda path: files.copy(__file__, path),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("writer", WRITERS)
def test_one_message_and_the_older_file(
    writer: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "there"
    WRITERS[writer](path)
    before = path.read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(FAULTS[fault], os.strerror(FAULTS[fault]))

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(BadInput, match="there") as said:
        WRITERS[writer](path)
    assert os.strerror(FAULTS[fault]) in str(said.value)
    assert "\n" not in str(said.value)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["there"]


def test_a_picture_and_a_search_are_written_by_the_same_hand(
    whole_search: Path,
    two_classes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = Found(
        Genotype.load(whole_search / "genotype.json"), daas.Policy.load(whole_search / "policy.json"),
        metrics.read_lines(whole_search / "metrics.jsonl"), {"format": "a"},
    )  # fmt: skip

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(BadInput, match="Read-only file system"):
        found.save(tmp_path / "saved")
    words = ["show", "randaugment", "--images", str(two_classes), "--out", str(tmp_path / "grid.png"), "--rows", "1"]
    assert augment([*words, "--columns", "1", "--size", "16"]) == 2
    assert "Read-only file system" in capsys.readouterr().err
    assert not (tmp_path / "grid.png").exists()


def test_nothing_writes_files_but_by_the_guarded_writer() -> None:
    """``open`` for writing, and ``write_text`` of a path, stand in daas/files.py alone, or in a place made by it."""
    allowed = {"files.py", "huggingface.py", "locks.py"}  # the last two: a cache that may refuse, a lock
    found = []
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).as_posix() in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _writes(node) and "os.devnull" not in ast.unparse(node):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def _writes(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr in ("write_text", "write_bytes"):
        return not (isinstance(function.value, ast.Name) and function.value.id in ("files", "aside"))
    opens = (isinstance(function, ast.Name) and function.id == "open") or (
        isinstance(function, ast.Attribute) and function.attr == "open"
    )
    words = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return opens and any(
        isinstance(word, ast.Constant)
        and isinstance(word.value, str)
        and set(word.value) <= set("wabx+t")
        and word.value
        for word in words
    )
