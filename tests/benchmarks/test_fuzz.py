"""The fuzz finds what it looks for, and a short one finds nothing at the doors of the package."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from benchmarks import fuzz
from benchmarks.fuzzing.door import Door
from benchmarks.fuzzing.doors import doors
from daas.errors import BadInput


def _refuse(_: Any) -> None:
    raise BadInput("no")


def _steer(_: Any) -> None:
    error = BadInput("no")
    error.args = ("\x1b[2J",)
    raise error


@pytest.mark.parametrize(
    ("go", "fault"),
    [
        (lambda _: {}["key"], "KeyError"),
        (lambda _: time.sleep(5), "more than 1 s"),
        (lambda _: subprocess.run([sys.executable, "-c", ""], check=True), "code was run: subprocess.Popen"),
        (lambda _: pickle.loads(pickle.dumps(os.path.join)), "code was run: pickle.find_class"),
        (_steer, "a message with control characters"),
    ],
)
def test_every_kind_of_fault_is_noticed(go: Callable[[Any], None], fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 1)
    monkeypatch.setattr(fuzz, "WAIT", 1)
    tally = fuzz.try_door(Door("planted", st.just(b""), go), 1, 0)
    assert [text for text in tally.faults if text.startswith(fault)]
    assert fault in fuzz.table({"planted": tally}, "command")


def test_what_is_taken_in_and_what_is_refused_are_no_faults() -> None:
    assert fuzz.try_door(Door("refuses", st.just(b""), _refuse), 3, 0).faults.total() == 0
    tally = fuzz.try_door(Door("takes", st.integers(), lambda _: None), 5, 0)
    assert (tally.taken, tally.refused, tally.faults.total()) == (5, 0, 0)


def test_a_short_fuzz_finds_nothing(tmp_path: Path) -> None:
    for door in doors(tmp_path):
        tally = fuzz.try_door(door, 8 if door.share >= 0.5 else 2, number=7)
        assert not tally.faults, door.name
        assert tally.taken + tally.refused >= 1
