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
    assert main(["export", "run", "folder"]) == 2
    assert capsys.readouterr().err == "error: daas export is unknown. Did you mean daas hub export?\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("screen photos", "unknown: photos. Did you mean --data-dir photos? --help lists the options."),
        ("screen --epochs 2 digits", "unknown: digits. Did you mean --dataset digits?"),
        ("screen --epoch 2 photos", "Did you mean --epochs?"),
        ("screen --data-dir a b c --seed 3", "unknown: b c. --data-dir takes one value."),
        ("screen --data-dir a --no-skip-bad-images c", "unknown: c. --help"),
        ("search photos --epochs 1", "Did you mean --data-dir photos?"),
        ("search run", "Did you mean --out run --resume auto?"),
        ("race run", "Did you mean --candidates run?"),
        ("race --data-dir photos randaugment,hflip=0", "Did you mean --candidates randaugment,hflip=0?"),
        ("race photos --model resnet18", "Did you mean --data-dir photos?"),
        ("race --data-dir photos -- randaugment", "unknown: randaugment. Did you mean --candidates randaugment?"),
        ("race --data-dir photos mine", "unknown: mine. --data-dir takes one value."),
        ("train photos test_photos", "unknown: test_photos. --help"),
        ("augment lst", "argument list|show|convert: invalid choice: 'lst' (choose from"),
        ("augment", "the following arguments are required: list|show|convert"),
        ("augment list --jsn", "unknown: --jsn. Did you mean --json?"),
        ("augment show none --images photos", "the following arguments are required: --out"),
        ("models darts_v2", "Did you mean --draw darts_v2 OUT.svg?"),
        ("models --draw darts_v2", "argument --draw: expected 2 arguments"),
        ("models convert log", "the following arguments are required: OUT.json"),
        ("hub run", "argument export|push|verify|pull: invalid choice: 'run'"),
        ("hub export run", "the following arguments are required: FOLDER"),
        ("hub push run user/name --forc", "unknown: --forc. Did you mean --force?"),
        ("search report", "the following arguments are required: RUN"),
    ],
)
def test_words_that_no_program_knows_are_told_in_one_form(
    words: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    for name in ("policy.json", "summary.json"):
        (tmp_path / "run" / name).touch()
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert len(error.splitlines()) == 1


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
