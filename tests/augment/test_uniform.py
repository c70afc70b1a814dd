"""Policies made from a list of operations, and policies at other strengths."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from daas.augment import DAASPolicy, Policy, PolicyOp, SubPolicy, find_policy
from daas.augment.ops import apply
from daas.augment.space import OPERATION_NAMES, magnitude_table, named
from daas.errors import BadInput
from tests.augment.inputs import NAMES, pictures


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("names", [None, NAMES, ("Rotate", "HFlip", "Color")])
def test_every_operation_and_every_magnitude_is_equally_likely_in_every_slot(names: Any, slots: int) -> None:
    policy = Policy.of_operations(names, slots)
    wanted = OPERATION_NAMES if names is None else names
    assert len(policy.sub_policies) <= len(wanted) ** slots * 10
    total = sum(sub.weight for sub in policy.sub_policies)
    for slot in range(slots):
        seen: Counter[tuple[str, float | None]] = Counter()
        for sub in policy.sub_policies:
            seen[(sub.ops[slot].op, sub.ops[slot].value)] += sub.weight / total  # type: ignore[assignment]  # shares
            assert sub.ops[slot].prob == 1.0
        table = magnitude_table(wanted)
        for name, row in zip(wanted, table.tolist(), strict=True):
            if named(name).has_magnitude:
                for value in row:
                    assert seen[(name, value)] == pytest.approx(1 / len(wanted) / 10), (name, value)
            else:
                assert seen[(name, None)] == pytest.approx(1 / len(wanted))
    if slots == 2 and len(wanted) > 10:  # the levels of the two slots are not tied to each other
        pairs = {(sub.ops[0].value, sub.ops[1].value) for sub in policy.sub_policies if sub.ops[0].op == "Rotate"}
        assert len({b for a, b in pairs if a == 30.0}) > 5


def test_limits_are_distances_from_the_identity() -> None:
    limits = {"Rotate": 15.0, "Solarize": 128.0, "Posterize": 6.0, "Contrast": 1.5, "Color": 0.5, "ShearX": 2.0}
    policy = Policy.of_operations(limits=limits)
    found: dict[str, list[float]] = {}
    for sub in policy.sub_policies:
        if sub.ops[0].value is not None:
            found.setdefault(sub.ops[0].op, []).append(sub.ops[0].value)
    ranges = {name: (min(found[name]), max(found[name])) for name in (*limits, "Brightness")}
    assert ranges == {"Rotate": (0, 15), "Solarize": (128, 256), "Posterize": (6, 8), "Contrast": (0.5, 1.5),
                      "Color": (0.5, 1.5), "ShearX": (0, 0.3), "Brightness": (0.1, 1.9)}  # fmt: skip
    assert "Rotate up to 15" in policy.source
    assert len(set(found["Rotate"])) == 10
    assert len(Policy.of_operations(["Rotate"], levels=31).sub_policies) == 31


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["Swirl"]}, "unknown operation 'Swirl'; known are ShearX"),
        ({"names": []}, "at least one"),
        ({"names": ["Invert", "Invert"]}, "different names"),
        ({"names": ["Rotate"], "limits": {"Invert": 1.0}}, "limits for 'Invert'; the operations are Rotate"),
        ({"names": ["Invert"], "limits": {"Invert": 1.0}}, "Invert has no magnitude"),
        ({"limits": {"Rotate": 200.0}}, r"from 0 to 180 \(degrees\)"),
        ({"slots": 0}, "slots is 0"),
        ({"levels": 1}, "levels is 1"),
        ({"slots": 5}, "7,593,750 sub-policies; at most 100,000"),
    ],
)
def test_what_cannot_be_made_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Policy.of_operations(**options)


def test_strength_goes_towards_each_identity() -> None:
    values = {"Rotate": 20.0, "Solarize": 56.0, "Posterize": 4.9, "Contrast": 1.5, "Color": 0.1, "Cutout": 0.2}
    ops = (*(PolicyOp(name, 0.8, value) for name, value in values.items()), PolicyOp("Invert", 0.8, None))
    policy = Policy("mine", "a test", (SubPolicy(2.0, ops),), (1, 2, 3))
    half = policy.scaled(0.5)
    assert {op.op: op.value for op in half.sub_policies[0].ops} == {
        "Rotate": 10.0, "Solarize": 156.0, "Posterize": 6.0, "Contrast": 1.25, "Color": 0.55, "Cutout": 0.1,
        "Invert": None,
    }  # fmt: skip
    assert all(op.prob == 0.4 for op in half.sub_policies[0].ops)
    assert (half.sub_policies[0].weight, half.fill) == (2.0, (1, 2, 3))
    assert half.name == "mine_x0.5"
    assert half.source.endswith("at strength 0.5")
    assert policy.scaled(1) is policy
    beyond = policy.scaled(4.0)
    assert {op.op: op.value for op in beyond.sub_policies[0].ops} == {
        "Rotate": 80.0, "Solarize": 0.0, "Posterize": 0.0, "Contrast": 3.0, "Color": 0.0, "Cutout": 0.8,
        "Invert": None,
    }  # fmt: skip
    assert all(op.prob == 1.0 for op in beyond.sub_policies[0].ops)


@pytest.mark.parametrize("name", ["autoaugment_imagenet", "randaugment", "daas_cifar10"])
def test_strength_0_does_nothing_even_where_everything_is_applied(name: str) -> None:
    still = find_policy(name).scaled(0)
    assert sum(still.operation_share().values()) == 0.0
    images = pictures(50, 12, 14)
    subs = [SubPolicy(1.0, (PolicyOp(op.op, 1.0, op.value),)) for sub in still.sub_policies for op in sub.ops
            if op.value is not None]  # fmt: skip
    transform = DAASPolicy(Policy("all", "a test", tuple(subs)))
    draw = transform.sample(50, torch.Generator().manual_seed(0))
    assert torch.equal(apply(images, draw), images)


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf"), "1", True, None])
def test_what_is_no_strength_is_refused(strength: Any) -> None:
    with pytest.raises(BadInput, match="strength is"):
        find_policy("randaugment").scaled(strength)
