"""``daas VERB``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

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
