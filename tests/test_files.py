"""Files are written whole or not at all, and the message says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from daas import checkpoint, files
from daas.errors import BadInput, plain
from daas.models import Genotype

WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: files.write_text(path, "new" * 40_000),
    "json": lambda path: files.write_json(path, ["new"] * 40_000),
    "copy": lambda path: files.copy(torch.__file__, path),
    "weights": lambda path: checkpoint.write_tensors(path, {"a": torch.zeros(40_000)}),
    "checkpoint": lambda path: checkpoint.save(path, {"a": torch.zeros(40_000)}, {}),
}


def test_nothing_is_lost_where_files_may_not_become_that_large(tmp_path: Path) -> None:
    """As under a full disk: the older file is whole, and nothing half-written is left."""
    for writer in WRITERS:
        (tmp_path / writer).write_text("old")
    code = (
        "import resource; from pathlib import Path; from tests.test_files import WRITERS\n"
        "from daas.errors import BadInput\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "for name, write in WRITERS.items():\n"
        f"    try: write(Path({str(tmp_path)!r}) / name)\n"
        "    except BadInput as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert len(said.splitlines()) == len(WRITERS)
    for line in said.splitlines():
        assert "could not be written (File too large)" in line
        assert "was there before is whole" in line
        assert "ulimit -f" in line
    assert {entry.name for entry in tmp_path.iterdir()} == set(WRITERS)
    assert {entry.read_text() for entry in tmp_path.iterdir()} == {"old"}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_name_that_is_too_long_and_a_folder_that_is_not_there(tmp_path: Path, writer: str) -> None:
    with pytest.raises(BadInput, match=r"too long.*Nothing half-written.*shorter name"):
        WRITERS[writer](tmp_path / ("n" * 300))
    with pytest.raises(BadInput, match=r"No such file or directory.*make it"):
        WRITERS[writer](tmp_path / "none" / "file")
    with pytest.raises(BadInput, match="a folder"):
        WRITERS[writer](tmp_path)
    WRITERS[writer](tmp_path / ("n" * 255))
    assert [len(entry.name) for entry in tmp_path.iterdir()] == [255]


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(BadInput, match="a pipe, socket or device"):
        files.write_text(pipe, "text")
    assert pipe.is_fifo()


def test_a_writer_that_fails_for_its_own_reasons_leaves_the_older_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), files.written(tmp_path / "a") as aside:
        aside.write_text(f"half {1 // 0}")
    assert (tmp_path / "a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_line_is_appended_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    files.append_line(path, "first")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", full)
        with pytest.raises(BadInput, match=r"No space left.*Free some space.*Go on\."):
            files.append_line(path, "second", "Go on.")
    assert path.read_text() == "first\n"
    files.append_line(path, "second")
    assert path.read_text() == "first\nsecond\n"


def test_json_never_holds_what_json_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"rows\.1\.loss is nan"):
        files.write_json(tmp_path / "a", {"rows": [{"loss": 0.5}, {"loss": float("nan")}]})
    assert not list(tmp_path.iterdir())


def test_names_that_are_no_text_are_written_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"d\xf6g")
    files.write_text(tmp_path / "a", name)
    assert (tmp_path / "a").read_text(encoding="utf-8") == r"d\udcf6g"
    files.write_json(tmp_path / "b", [name])
    assert json.loads((tmp_path / "b").read_text(encoding="utf-8")) == [name]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"--out .*cannot be made"):
        files.make_folder(tmp_path / "file" / "inside", "--out")


def test_a_genotype_is_saved_by_the_same_writer(tmp_path: Path) -> None:
    genotype = Genotype.random(torch.Generator().manual_seed(0))
    with pytest.raises(BadInput, match="Its folder is not there"):
        genotype.save(tmp_path / "none" / "g.json")
    genotype.save(tmp_path / "g.json")
    assert Genotype.load(tmp_path / "g.json") == genotype


def test_strangers_text_cannot_steer_a_terminal() -> None:
    assert plain("cat\x1b[2J\x07\u202e\udcf6 ü 猫") == r"cat\x1b[2J\x07\u202e\udcf6 ü 猫"
    assert str(BadInput("a\x1b[31m\nb")) == r"a\x1b[31m\nb"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file", "runs/a"), "runs/a: the system refuses (No such file or directory)."),
        (OSError(28, "No space left on device"), "the system refuses (No space left on device)."),
        (OSError("no image"), "no image."),
        (MemoryError(), "there is not enough memory"),
    ],
)
def test_what_the_system_refuses_is_said_in_a_line(error: Exception, said: str) -> None:
    with pytest.raises(BadInput) as found, files.system_told():
        raise error
    assert str(found.value).startswith(said)
