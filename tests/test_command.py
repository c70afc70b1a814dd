"""``daas VERB``."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import daas
from daas.__main__ import VERBS, main


def test_every_program_is_a_verb() -> None:
    programs = {path.parent.name for path in Path(daas.__file__).parent.glob("*/__main__.py")}
    assert set(VERBS) == programs
    assert all(callable(import_module(f"daas.{verb}.__main__").main) for verb in VERBS)


def test_a_verb_gets_its_words_and_gives_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["augment", "list"]) == 0
    assert "autoaugment_imagenet" in capsys.readouterr().out
    assert main(["augment", "show", "none", "--images", "none", "--out", "x.gif"]) == 2


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_the_verbs(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"daas {daas.__version__}\n"


def test_an_unknown_verb_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serach"]) == 2
    assert capsys.readouterr().err == "error: daas serach is unknown. Did you mean daas search?\n"
    assert main(["xyz"]) == 2
    assert f"It is one of {', '.join(VERBS)}." in capsys.readouterr().err


CLOSED = {
    "screen": "--dataset digits --out closed/x",
    "search": "--preset demo --dataset digits --no-screen --race 0 --out closed/x",
    "race": "--dataset digits --model test_resnet --out closed/x",
    "train": "--dataset digits --model test_resnet --output closed",
    "augment": "convert autoaugment_cifar10 closed/x.json",
    "models": "convert closed/log.txt x.json",
    "hub": "export closed/run x",
}
"""A path below a folder that may not be entered, in a command line of each verb."""


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_may_not_be_entered_is_told_in_a_line(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "closed").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("stat", "open", "mkdir", "scandir"):  # as for anybody but root
        monkeypatch.setattr(os, name, _refusing(getattr(os, name)))
    monkeypatch.setattr(builtins, "open", _refusing(open))
    monkeypatch.setattr(io, "open", _refusing(io.open))
    assert main([verb, *CLOSED[verb].split()]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("error: ")
    assert "closed" in said[-1]
    assert not list((tmp_path / "closed").iterdir())


def _refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the system that enters nothing below a folder called closed."""

    def refusing(path: Any, *more: Any, **options: Any) -> Any:
        if isinstance(path, str | os.PathLike) and "closed/" in os.fspath(path):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return function(path, *more, **options)

    return refusing


def test_without_a_home_folder_a_command_says_what_to_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere(path: Any) -> Any:
        return path

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", nowhere)
    assert main(["train", "--config", "~/options.yaml"]) == 2
    assert "~/options.yaml" in capsys.readouterr().err
    for words in (["train", "--dataset", "torch/cifar10"], ["screen", "--dataset", "torch/cifar10"]):
        assert main([*words, "--model", "test_resnet"]) == 2
        assert "There is no home folder to store data sets in" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
