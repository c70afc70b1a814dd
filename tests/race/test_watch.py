"""What is said of every training."""

from __future__ import annotations

import pytest

from daas.race.watch import print_line


def test_names_of_classes_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"candidate": "none, exchanging le\x1b[31mft:right, flip", "run": 0, "accuracy": 50.0, "score": 0.7}
    print_line({**line, "trainings": 1, "of": 4, "left": 61.0})
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert said.startswith("training 1 of at most 4: none, exchanging le\\x1b[31mft:right, flip, run 1: 50.0%")
