"""Values from ranges: where they lie, that they repeat, and what is refused."""

from __future__ import annotations

import math

import pytest

from daas.augment.find import find_policy
from daas.errors import BadInput
from daas.race.candidates import network
from daas.race.ranges import drawn
from daas.race.sets import Setting, candidates

NET = network("resnet18")


def test_values_without_a_range_are_one_candidate_as_they_are() -> None:
    assert drawn({"lr": 0.1, "opt": "sgd"}, "here", 0) == [{"lr": 0.1, "opt": "sgd"}]


def test_whole_ends_of_a_value_that_is_no_count_are_ends_of_a_scale() -> None:
    found = drawn({"hflip": "0..1", "strength": "0..2"}, "here", 0)
    assert {type(value) for one in found for value in one.values()} == {float}
    assert len({one["hflip"] for one in found} - {0.0, 1.0}) >= 5


def test_draws_that_coincide_are_one_candidate_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(one["cutout"] for one in drawn({"cutout": "0..1", "draws": 8}, "none,cutout=0..1", 0)) == [0, 1]
    assert capsys.readouterr().err == "Candidate none,cutout=0..1: of 8 draws 2 are different.\n"
    drawn({"lr": "0.01..1", "draws": 8}, "here", 0)
    assert capsys.readouterr().err == ""


def test_draws_lie_in_their_ranges_spread_and_repeat() -> None:
    values = {"lr": "0.01..1", "momentum": "0.5..0.9", "cutout": "0..8", "draws": 33}
    found = drawn(values, "here", 3)
    assert len(found) == 33
    assert found == drawn(values, "here", 3) != drawn(values, "here", 4)
    assert all(0.01 <= one["lr"] <= 1 and 0.5 <= one["momentum"] <= 0.9 for one in found)
    assert {type(one["cutout"]) for one in found} == {int}
    assert {one["cutout"] for one in found} == set(range(9))
    logarithms = sorted(math.log10(one["lr"]) for one in found)
    below = sum(value < -1 for value in logarithms)
    assert 12 <= below <= 21  # half of the draws lie below the middle of the logarithmic scale


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lr": "0.3..0.03"}, "the lower number first"),
        ({"lr": "0.1..0.1"}, "the lower number first"),
        ({"lr": "0.1..1e999"}, "the lower number first"),
        ({"lr": 0.1, "draws": 3}, "needs a range"),
        ({"lr": "0.1..0.2", "draws": 0}, "from 1 to 64"),
        ({"lr": "0.1..0.2", "draws": True}, "from 1 to 64"),
        ({"lr": "0.1..0.2", "draws": "many"}, "from 1 to 64"),
    ],
)
def test_what_is_no_range_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        drawn(values, "here", 0)


def test_the_command_line_and_python_make_the_same_candidates() -> None:
    setting = Setting(NET, 32, 10, seed=5)
    text = candidates(["trivialaugment,lr=0.03..0.3,hflip=0,draws=3", "none"], setting)
    python = candidates([(NET, "trivialaugment", {"lr": "0.03..0.3", "hflip": 0, "draws": 3}), None], setting)
    assert text == python
    assert len(text) == 3 + 2  # no policy with and without the flip
    assert len({one.values["lr"] for one in text[:3]}) == 3


def test_strength_scales_the_policy_and_is_in_its_name() -> None:
    found = candidates(
        ["randaugment,strength=0.25..1,hflip=0,draws=4", "randaugment,strength=0.5,hflip=0"], Setting(NET, 32, 10)
    )
    half = found[-1]
    assert half.policy_words == "randaugment, strength 0.5, no flip"
    assert half.policy == find_policy("randaugment").scaled(0.5)
    assert not any(one.shelf for one in found)
    shares = [sum(one.policy.operation_share().values()) for one in found]  # type: ignore[union-attr]
    assert len(set(shares)) == 5


@pytest.mark.parametrize("text", ["none,strength=0.5", "randaugment,strength=big", "randaugment,strength=true"])
def test_a_strength_needs_a_policy_and_a_number(text: str) -> None:
    with pytest.raises(BadInput, match="needs a policy to scale"):
        candidates([text, "none"], Setting(NET, 32, 10))


def test_a_range_that_is_no_number_is_refused_by_its_value() -> None:
    with pytest.raises(BadInput, match="lr"):
        candidates(["none,lr=-..3", "randaugment"], Setting(NET, 32, 10))
