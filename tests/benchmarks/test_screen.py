from __future__ import annotations

from typing import Any

import pytest

from benchmarks.screen import EXCHANGES, harm_left, keys, left_out, outcome, report, wilson
from benchmarks.tasks import TASKS
from daas.augment.space import BASE, OPERATION_NAMES

TRIED = (*(operation.name for operation in BASE), *OPERATION_NAMES)


def line(task: str, **verdicts: str) -> dict[str, Any]:
    """A run in which everything is harmless but what is named."""
    found = {
        op: {
            "verdict": verdicts.get(op, "harmless"), "excess": 1.0, "loss": 1.0, "share": 0.02, "share_error": 0.03,
            "safe_up_to": None, "whole": True,
        }
        for op in TRIED
    }  # fmt: skip
    kept = [op for op in OPERATION_NAMES if verdicts.get(op) != "changes the label"]
    return {
        "task": task, "n": 200, "seed": 1, "network": "WRN-10-1", "epochs": 60, "image_size": 16, "seconds": 20.0,
        "clean": {"accuracy": 90.0}, "flip": 0.0 if "HFlip" in verdicts else 0.5, "swaps": [], "policy": kept,
        "operations": found,
    }  # fmt: skip


def test_outcomes_follow_from_how_labels_were_made() -> None:
    flagged, harder = {"verdict": "changes the label", "whole": True}, {"verdict": "harder", "whole": True}
    assert outcome("tilted", "HFlip", flagged) == "hit"
    assert outcome("tilted", "HFlip", harder) == "miss"
    assert outcome("tilted", "HFlip", {"verdict": "unclear", "whole": True}) == "unclear, changes"
    assert outcome("tilted", "Color", flagged) == "false alarm"
    assert outcome("tilted", "Color", harder) == "cleared"
    assert outcome("tilted", "ShearX", flagged) == ""
    assert outcome("quarter", "TranslateX", {"verdict": "harder", "whole": False}) == "limited"


def test_harm_that_is_left_in_and_what_is_left_out_needlessly() -> None:
    assert harm_left(line("tilted", HFlip="changes the label")) == ["Rotate"]
    assert harm_left(line("tilted", Rotate="changes the label")) == ["HFlip"]
    assert left_out(line("tilted", Color="changes the label", Rotate="changes the label")) == ["Color"]


def test_the_page_counts_every_run() -> None:
    text = report(
        [
            line("tilted", HFlip="changes the label", Rotate="changes the label", Color="changes the label"),
            line("natural"),
        ],
        "command",
    )
    assert "2 runs" in text
    assert "| tilted | 200 | 1 | 90 |" in text
    assert "Color 1x" in text
    assert "VFlip 2 missed" in text
    assert "66.7%" in text  # two of three
    assert "misses at most 10%: 1 of 3; the flip never on where it changes the label: on in 0 of 1 runs" in text


def test_wilsons_interval() -> None:
    assert wilson(0, 10) == "0.0% (0.0 to 27.8; 10)"
    assert wilson(5, 10) == "50.0% (23.7 to 76.3; 10)"
    assert wilson(0, 0) == "-"


def test_every_run_is_planned_once_and_digits_are_few() -> None:
    planned = keys((200, 1000), (1, 2), TASKS)
    assert len(planned) == len(set(planned))
    assert all(n <= 600 for name, n, _ in planned if name == "digits")
    assert ("natural", 2000, 1) in planned


@pytest.mark.parametrize("name", TASKS)
def test_what_is_said_of_tasks_names_operations(name: str) -> None:
    recipe = TASKS[name]
    assert {*recipe.changes, *recipe.unsure} <= set(TRIED)
    for pair in EXCHANGES.get(name, set()):
        assert set(pair) <= set(recipe.classes)
