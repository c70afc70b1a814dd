"""One process at a time works on a run's folder."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daas.errors import BadInput
from daas.locks import LOCK, locked
from tests.conftest import SHORT_SEARCH

ROOT = Path(__file__).parents[1]
HOLD = """
import sys, time
from daas.locks import locked
with locked(sys.argv[1]):
    print("mine", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that works on ``tmp_path / "run"``."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_told_who_works_on_it(other: subprocess.Popen[str], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=rf"--out .*run: process {other.pid} on .* works on it now"):  # noqa: SIM117
        with locked(tmp_path / "run"):
            pass
    with locked(tmp_path / "another"):
        pass


def test_a_process_that_is_killed_leaves_no_lock(other: subprocess.Popen[str], tmp_path: Path) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK).read_text().startswith(f"{os.getpid()} on ")
    assert not (tmp_path / "run" / LOCK).exists()


def test_a_folder_stays_where_something_is_in_it(tmp_path: Path) -> None:
    with locked(tmp_path / "new" / "empty"):
        assert (tmp_path / "new" / "empty").is_dir()
    assert not (tmp_path / "new").exists()
    with locked(tmp_path / "full"):
        (tmp_path / "full" / "result").touch()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["result"]


def test_forked_processes_do_not_keep_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
    try:
        with locked(tmp_path / "run"):
            assert child.is_alive()
    finally:
        child.kill()
        child.join()


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(BadInput, match="--output"), locked(place, "--output"):
            pass


@pytest.mark.parametrize("program", ["search", "train"])
def test_search_and_training_leave_a_folder_alone_that_another_process_works_on(
    program: str, other: subprocess.Popen[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from daas.search.__main__ import main as search
    from daas.train.__main__ import main as train

    if program == "search":
        code = search([*SHORT_SEARCH, "--out", str(tmp_path / "run")])
    else:
        code = train(["--dataset", "digits", "--val-split", "test", "--output", str(tmp_path), "--experiment", "run"])
    assert code == 2
    assert f"process {other.pid} on " in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
