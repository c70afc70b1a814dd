"""Printed commands are such that the shell at hand finds them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from daas.shell import typed

COMMAND = "daas models --list --experiment 'my run'"


def test_where_the_shell_finds_daas_its_name_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "daas"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert typed(COMMAND) == COMMAND


def test_elsewhere_it_is_this_python_which_runs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = shlex.split(typed(COMMAND))
    assert words[1:] == ["-m", *shlex.split(COMMAND)]
    assert Path(words[0]).resolve() == Path(sys.executable).resolve()
    done = subprocess.run([*words[:3], "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("daas ")


def test_a_python_below_the_working_folder_is_named_from_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my env" / "bin" / "python"))
    assert typed("daas train") == "'my env/bin/python' -m daas train"


def test_a_working_folder_that_is_gone_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert typed("daas train") == f"{sys.executable} -m daas train"
