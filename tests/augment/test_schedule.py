"""Schedules: the policy of an epoch, other lengths, JSON both ways, and a pointer where one is not expected."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daas import DAASPolicy
from daas.augment import Policy, PolicyOp, PolicySchedule, Segment, SubPolicy
from daas.errors import BadInput


def policy(name: str) -> Policy:
    return Policy(name, "a test", (SubPolicy(1.0, (PolicyOp("Invert", 0.5, None),)),))


SCHEDULE = PolicySchedule(
    "mine", "a test", 10, (Segment(0, policy("a")), Segment(4, policy("b")), Segment(5, policy("c")))
)


def names(schedule: PolicySchedule) -> str:
    return "".join(schedule.at(epoch).name for epoch in range(schedule.epochs))


def test_the_policy_of_an_epoch_is_that_of_its_segment() -> None:
    assert names(SCHEDULE) == "aaaabccccc"
    for epoch in (-1, 10):
        with pytest.raises(BadInput, match=rf"no epoch {epoch}; it has the epochs 0 to 9. stretched"):
            SCHEDULE.at(epoch)


def test_other_lengths_keep_the_shares() -> None:
    assert names(SCHEDULE.stretched(20)) == "aaaaaaaabbcccccccccc"
    assert names(SCHEDULE.stretched(5)) == "aaccc"
    assert names(SCHEDULE.stretched(1)) == "c"
    assert SCHEDULE.stretched(10) == SCHEDULE
    with pytest.raises(BadInput, match="stretched to 0 epochs"):
        SCHEDULE.stretched(0)


def test_json_both_ways(tmp_path: Path) -> None:
    SCHEDULE.save(tmp_path / "s.json")
    assert PolicySchedule.load(tmp_path / "s.json") == SCHEDULE
    assert PolicySchedule.from_dict(SCHEDULE.to_dict()) == SCHEDULE


def test_a_policy_and_a_schedule_are_told_apart(tmp_path: Path) -> None:
    SCHEDULE.save(tmp_path / "s.json")
    for load in (Policy.load, DAASPolicy.load):
        with pytest.raises(BadInput, match=r"s\.json: this is a schedule.*PolicySchedule\.load"):
            load(tmp_path / "s.json")
    policy("a").save(tmp_path / "p.json")
    with pytest.raises(
        BadInput, match=r"p\.json: .*found 'daas-policy/1'\. One policy for all epochs is read by Policy"
    ):
        PolicySchedule.load(tmp_path / "p.json")


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        values[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("segments", []), "must be|start at epochs"),
        (_set("segments", 3), "segments must be a list"),
        (_set("segments", [3] * 10_001), "there are 10,001 segments; at most 10,000"),
        (_set("name", 3), "name is 3; it is a text"),
        (_set("source", "s" * 4001), "source has 4,001 letters"),
        (_set("segments", [3]), "segment 0: expected"),
        (_set("epochs", 5), r"start at epochs \[0, 4, 5\] of 5"),
        (_set("epochs", "x"), "of 'x'"),
        (_set("extra", 1), r"unknown keys \['extra'\]"),
        (lambda values: values["segments"][0].update(start=1), r"\[1, 4, 5\]"),
        (lambda values: values["segments"][2].update(start=4), r"\[0, 4, 4\]"),
        (lambda values: values["segments"][1]["policy"].update(sub_policies=[]), "segment 1: policy: there are no"),
    ],
)
def test_what_cannot_be_is_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    values = copy.deepcopy(SCHEDULE.to_dict())
    change(values)
    with pytest.raises(BadInput, match=message):
        PolicySchedule.from_dict(values)
