"""Policies: JSON both ways, exact shares, and a clear refusal of values that cannot be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daas.augment import Policy, PolicyOp, SubPolicy
from daas.augment.space import OPERATION_NAMES
from daas.errors import BadInput

POLICY = Policy(
    "mine",
    "a test",
    (
        SubPolicy(3.0, (PolicyOp("Rotate", 0.5, 20.0), PolicyOp("Invert", 0.1, None))),
        SubPolicy(1.0, (PolicyOp("Rotate", 1.0, 10.0),)),
    ),
    (1, 2, 3),
)


def test_json_both_ways(tmp_path: Path) -> None:
    for policy in (POLICY, Policy.random(torch.Generator().manual_seed(0))):
        policy.save(tmp_path / "p.json")
        assert Policy.load(tmp_path / "p.json") == policy


def test_operation_share_is_the_expected_number_of_applications() -> None:
    share = POLICY.operation_share()
    assert list(share) == list(OPERATION_NAMES)
    assert share["Rotate"] == pytest.approx(0.75 * 0.5 + 0.25 * 1.0)
    assert share["Invert"] == pytest.approx(0.75 * 0.1)
    assert sum(share.values()) == pytest.approx(0.625 + 0.075)


def test_random_policies_differ_and_cover_every_pair() -> None:
    a, b = (Policy.random(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert a != b
    assert len({tuple(op.op for op in sub.ops) for sub in a.sub_policies}) == 225


def _set(path: tuple[Any, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        target: Any = values
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return change


FIRST = ("sub_policies", 0, "ops", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set((*FIRST, "prob"), 1.3), r"sub-policy 0, operation 0 \(Rotate\): prob is 1.3; a probability lies between"),
        (_set((*FIRST, "prob"), float("nan")), "prob is nan"),
        (_set((*FIRST, "op"), "Swirl"), "unknown operation 'Swirl'; known are ShearX"),
        (_set((*FIRST, "op"), ["Invert"]), "unknown operation"),
        (_set(("sub_policies", 1, "weight"), 10**400), "sub-policy 1: weight is 1000000"),
        (_set(("fill",), None), "fill is None; it is a list"),
        (_set(("name",), None), "name is None; it is a text"),
        (_set(("source",), 3), "source is 3; it is a text"),
        (_set((*FIRST, "value"), 300.0), r"value is 300.0; allowed are 0 to 180 \(degrees; the sign is drawn"),
        (_set((*FIRST, "value"), None), "value is None"),
        (_set(("sub_policies", 0, "ops", 1, "value"), 3), "has no magnitude: write null"),
        (_set(("sub_policies", 1, "weight"), -1), "sub-policy 1: weight is -1"),
        (_set(("sub_policies", 1, "ops"), []), "sub-policy 1: there are no operations"),
        (_set(("sub_policies",), []), "at least one"),
        (_set(("fill",), [0, 0]), "three whole numbers"),
        (_set(("format",), "x"), "format is 'x'"),
        (_set((*FIRST, "strength"), 1), r"unknown keys \['strength'\]"),
    ],
)
def test_what_cannot_be_is_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    values = copy.deepcopy(POLICY.to_dict())
    change(values)
    with pytest.raises(BadInput, match=message):
        Policy.from_dict(values)


def test_all_weights_zero_is_refused() -> None:
    with pytest.raises(BadInput, match="all weights are 0"):
        Policy("zero", "a test", (SubPolicy(0.0, (PolicyOp("Invert", 0.5, None),)),))


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such policy file"):
        Policy.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(BadInput, match=r"bad\.json: a policy is a JSON object"):
        Policy.load(tmp_path / "bad.json")


def test_limits_are_checked_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    sub = {"weight": 1.0, "ops": [{"op": "Invert", "prob": 1.0, "value": None}]}
    base = {"format": "daas-policy/1", "name": "n", "source": "s", "sub_policies": [sub]}
    built: list[Any] = []
    monkeypatch.setattr("daas.augment.policy.sub_policy_from", lambda *given: built.append(given))
    with pytest.raises(BadInput, match="there are 100,001 sub-policies; at most 100,000"):
        Policy.from_dict({**base, "sub_policies": [sub] * 100_001})
    assert not built
    monkeypatch.undo()
    wrong = [
        ({"sub_policies": [{"weight": 1.0, "ops": sub["ops"] * 33}]}, "there are 33 operations; at most 32"),
        ({"name": "n" * 201}, "name has 201 letters; at most 200"),
        ({"source": "s" * 4001}, "source has 4,001 letters; at most 4,000"),
        ({"name": 10**5000}, "name is a int with a number of thousands of digits"),
        ({"sub_policies": [{"weight": 1e308, "ops": sub["ops"]}] * 2}, "the weights sum to inf"),
        ({"sub_policies": [{"weight": 10**5000, "ops": sub["ops"]}]}, "weight is a int with"),
        ({"sub_policies": [{"weight": 1, "ops": [{"op": "x" * 500, "prob": 1, "value": None}]}]}, r"xxx\.\.\.; known"),
        ({"fill": [True, 0, 0]}, "three whole numbers"),
        ({"x" * 1000: 1}, r"unknown keys \['xxx.*\.\.\.; it has the keys"),
    ]  # fmt: skip
    for change, message in wrong:
        with pytest.raises(BadInput, match=message) as error:
            Policy.from_dict(base | change)
        assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"__version__": "1.4.0", "transform": {"__class_fullname__": "Compose"}}'),
        ("a.yaml", "__version__: 1.4.0\ntransform:\n  __class_fullname__: Compose\n"),
    ],
)
def test_a_pipeline_of_albumentations_is_recognised(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=f"{name}: this is a pipeline of Albumentations"):
        Policy.load(tmp_path / name)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    def policy(number: Callable[[float], Any], whole: Callable[[int], Any]) -> Policy:
        ops = (PolicyOp("Rotate", number(0.5), whole(30)), PolicyOp("Invert", number(1.0), None))
        return Policy("m", "s", (SubPolicy(number(2.0), ops),), fill=(whole(1), whole(2), whole(3)))

    found = policy(np.float32, np.int64)
    assert found == policy(float, int)
    found.save(tmp_path / "p.json")
    assert Policy.load(tmp_path / "p.json") == found
    with pytest.raises(BadInput, match="weight is True"):
        policy(lambda _: True, int)
