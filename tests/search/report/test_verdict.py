"""One plain verdict: what the terminal says beside "Done" and the report opens with."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daas.search.report.verdict import chance, standard_error, verdict
from daas.shell import typed

Run = Callable[..., tuple[int, Path]]


def summary(**other: Any) -> dict[str, Any]:
    return {
        "stopped": "", "steps": 100, "planned_steps": 100, "val_accuracy": 80.0, "skip_share": 0.1, "warnings": [],
        "data": {"val_class_counts": [60, 40]}, "operation_share": {},
        "policy_gain": {"mean": 0.01, "se": 0.02, "n": 16}, **other,
    }  # fmt: skip


SEEN = {
    "answer": ["Changes your labels: Invert.", "Safe.", "No horizontal flip."],
    "left_out": ["Invert"],
    "flip": "unclear",
}


def test_a_race_says_what_a_comparison_of_steps_cannot() -> None:
    said = verdict(summary(screen=SEEN, race={"answer": "Chosen: none."}, cells_rank={"n": 19, "better": 19}))
    assert said[:2] == [
        "Changes your labels: Invert. No horizontal flip. The search did without Invert.", "Chosen: none.",
    ]  # fmt: skip
    assert not any("uniform" in sentence or "random" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("chosen", "flip"),
    [
        ("found, flip", "The screen was unclear about the flip, so the race tried both."),
        ("found, no flip", "No horizontal flip."),
        ("found, exchanging left:right, flip", "No horizontal flip."),
    ],
)
def test_what_is_said_of_a_flip_agrees_with_what_was_chosen(chosen: str, flip: str) -> None:
    said = verdict(summary(screen=SEEN, race={"answer": "Chosen: it.", "chosen": chosen}))
    assert said[0] == f"Changes your labels: Invert. {flip} The search did without Invert."
    asked_off = verdict(summary(screen={**SEEN, "flip": "harmless"}, race={"answer": "Chosen: it.", "chosen": chosen}))
    assert "unclear" not in asked_off[0]


def test_published_cells_that_won_are_named_beside_the_answer() -> None:
    race = {"answer": "Chosen: darts_v2_cifar: none.", "cells": ["darts_v2_cifar", "channels=8", "layers=5"]}
    assert verdict(summary(race=race))[:2] == [
        "Chosen: darts_v2_cifar: none.",
        "Not the found cells were chosen, but the published darts_v2_cifar of equal size.",
    ]


def test_guessing_is_naming_the_largest_class() -> None:
    assert chance(summary()) == 60.0
    assert standard_error(summary()) == pytest.approx(4.0)  # sqrt(0.8 * 0.2 / 100)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "80.0% +- 4.0 of 100 validation images; guessing gives 60.0%"),
        ({"val_accuracy": 62.0}, "no better than guessing"),
        ({}, "cannot be told apart from a uniform random one"),
        ({"policy_gain": {"mean": 0.1, "se": 0.02, "n": 16}}, "better than a uniform random one"),
        ({"policy_gain": {"mean": -0.1, "se": 0.02, "n": 16}}, "do not use it"),
        ({"policy_gain": None}, "was not compared"),
        ({"cells_rank": {"n": 19, "better": 19}}, "better than 19 of 19 random ones, by chance a matter of 1 in 20"),
        ({"cells_rank": {"n": 19, "better": 18}}, "cells cannot be told apart from random ones"),
        ({"cells_rank": {"n": 19, "better": 0}}, "worse than random ones"),
        ({"stopped": "time budget", "steps": 7}, "Stopped early by its time budget, after 7 of 100"),
        ({"skip_share": 0.5}, "50% of the edges are skips"),
        ({"warnings": ["a", "b"]}, "2 warnings"),
        ({"screen": SEEN}, "Changes your labels: Invert. No horizontal flip. The search did without Invert."),
        ({"race": {"answer": "Chosen: none."}}, "Chosen: none."),
    ],
)
def test_each_case_is_said(values: dict[str, Any], said: str) -> None:
    assert any(said in sentence for sentence in verdict(summary(**values)))


def test_nothing_is_said_without_need() -> None:
    text = " ".join(verdict(summary()))
    assert not any(word in text for word in ("Stopped", "collapse", "warning", "no better"))
    fixed = summary()
    del fixed["skip_share"]
    assert verdict(fixed)[0].startswith("The network names")
    cells = summary()
    del cells["operation_share"]
    assert not any("policy" in sentence for sentence in verdict(cells))


def test_terminal_and_report_say_the_same(run_search: Run, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run_search("--max-steps", "2")
    lines = capsys.readouterr().out.split("Done.")[1].splitlines()[1:]
    page = html.unescape(re.sub("<[^>]*>", "", (out / "report.html").read_text()))
    assert lines[-1].startswith(f"Next: {typed('daas train')}")
    assert any("guessing gives" in line for line in lines)
    assert all(line.strip().removeprefix("Next: ").replace(typed("daas"), "daas") in page for line in lines)
