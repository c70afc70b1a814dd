"""Draws: what they say, how they are saved, and that they have the frequencies that they should have."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from daas import DAASPolicy, Policy
from daas.augment import Draw, PolicyOp, SubPolicy
from daas.augment.ops import apply
from daas.augment.space import INDEX, OPERATIONS
from daas.errors import BadInput
from tests.augment.inputs import all_pairs, draw_of, pictures

DRAWS = 100_000


def test_a_saved_draw_replays_to_the_bit(tmp_path: Path) -> None:
    draw = draw_of(all_pairs(), seed=0)
    draw = Draw(torch.where(draw.value > 0.7, -1, draw.op), draw.value, draw.center)
    draw.save(tmp_path / "draw.json")
    again = Draw.load(tmp_path / "draw.json")
    for name in ("op", "value", "center"):
        assert torch.equal(getattr(again, name), getattr(draw, name))
    images = pictures(225, 8, 8)
    assert torch.equal(apply(images, again), apply(images, draw))
    for empty in (draw[:0], Draw(draw.op[:, :0], draw.value[:, :0], draw.center[:, :0])):
        empty.save(tmp_path / "empty.json")
        assert Draw.load(tmp_path / "empty.json").op.shape[0] == len(empty)


def test_a_draw_in_words() -> None:
    op = torch.tensor([[INDEX["Rotate"], INDEX["Invert"]], [-1, -1]])
    draw = Draw(op, torch.tensor([[-20.0, 0.0], [0.0, 0.0]]).double(), torch.zeros(2, 2, 2).double())
    assert draw.describe(0) == ["Rotate -20", "Invert"]
    assert Draw(draw.op[:1], draw.value[:1] * 0.0, draw.center[:1]).describe(0) == ["Rotate 0", "Invert"]  # not -0
    assert str(draw).splitlines() == [
        "Draw of 2 operations for each of 2 images",
        "   0  Rotate -20, Invert",
        "   1  -",
    ]
    assert str(draw_of(all_pairs(), seed=0)).endswith("and 193 more")


def _change(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values.update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_change("format", "daas-policy/1"), "with the format 'daas-draw/1'"),
        (_change("op", [["Swirl", None]] * 2), "unknown operation 'Swirl'; known are ShearX"),
        (_change("op", [1, 2]), "center has two numbers for each"),
        (_change("value", [[1.0]]), "center has two numbers for each"),
        (_change("value", [[float("inf"), 0.0]] * 2), "Infinity is no number of JSON"),
        (_change("center", [[[0.0, 1.0]] * 2] * 2), r"they lie in \[0, 1\)"),
        (_change("more", 1), r"unknown keys \['more'\]"),
    ],
)
def test_what_is_no_draw_is_refused(change: Callable[[dict[str, Any]], None], message: str, tmp_path: Path) -> None:
    values = copy.deepcopy(draw_of(torch.zeros(2, 2, dtype=torch.int64), seed=0).to_dict())
    change(values)
    (tmp_path / "draw.json").write_text(json.dumps(values))
    with pytest.raises(BadInput, match=message):
        Draw.load(tmp_path / "draw.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.json: no such draw file"):
        Draw.load(tmp_path / "none.json")


def agrees(counts: Tensor, expected: Tensor) -> bool:
    """Pearson's chi-square at a level of 1e-4; cells of expected count 0 must be empty."""
    possible = expected > 0
    if counts[~possible].any():
        return False
    statistic = ((counts - expected)[possible].square() / expected[possible]).sum()
    freedom = int(possible.sum()) - 1
    tail = torch.special.gammaincc(torch.tensor(freedom / 2.0).double(), statistic.double() / 2.0)
    return float(tail) > 1e-4


def _policy() -> Policy:
    """Sub-policies of one, two and three operations with all weights, probabilities and magnitudes different."""
    names = [operation.name for operation in OPERATIONS]
    subs = []
    for row in range(15):
        ops = []
        for slot in range(1 + row % 3):
            operation = OPERATIONS[(row + 4 * slot) % 15]
            value = None
            if operation.low is not None and operation.high is not None:
                value = operation.low + (operation.high - operation.low) * (row + 1) / 16
            ops.append(PolicyOp(operation.name, (row + slot + 1) / 18, value))
        subs.append(SubPolicy(1.0 + row % 4, tuple(ops)))
    assert {op.op for sub in subs for op in sub.ops} == set(names)
    return Policy("statistics", "a test", tuple(subs))


@pytest.mark.parametrize("granularity", ["image", "batch"])
def test_draws_have_the_policys_frequencies(granularity: str) -> None:
    """Over 100,000 draws: what is applied in a slot, its sign and its magnitude, against the exact probabilities."""
    policy = _policy()
    transform = DAASPolicy(policy, granularity=granularity)  # type: ignore[arg-type]  # a parameter of the test
    random = torch.Generator().manual_seed(1)
    if granularity == "image":
        draw = transform.sample(DRAWS, random)
    else:
        batches = [transform.sample(1, random) for _ in range(DRAWS)]
        draw = Draw(*(torch.cat([getattr(d, n) for d in batches]) for n in ("op", "value", "center")))
        pair = transform.sample(2, random)
        assert torch.equal(pair.op[0], pair.op[1])
    total = sum(sub.weight for sub in policy.sub_policies)
    for slot in range(policy.slots):
        expected: dict[tuple[int, float], float] = {}
        for sub in policy.sub_policies:
            share = sub.weight / total
            if slot < len(sub.ops):
                op = sub.ops[slot]
                signs = [-1.0, 1.0] if OPERATIONS[INDEX[op.op]].signed else [1.0]
                for sign in signs:
                    key = (INDEX[op.op], round(sign * (op.value or 0.0), 9))
                    expected[key] = expected.get(key, 0.0) + share * op.prob / len(signs)
                share *= 1.0 - op.prob
            expected[(-1, 0.0)] = expected.get((-1, 0.0), 0.0) + share
        found = dict.fromkeys(expected, 0)
        for op_, value in zip(draw.op[:, slot].tolist(), draw.value[:, slot].tolist(), strict=True):
            found[(op_, round(value, 9))] += 1  # a KeyError is something that the policy does not have
        keys = list(expected)
        counts, shares = (torch.tensor([float(table[key]) for key in keys]) for table in (found, expected))
        assert float(shares.sum()) == pytest.approx(1.0)
        assert agrees(counts, shares * DRAWS)
    for axis in (0, 1):
        counts = torch.histc(draw.center[:, 0, axis].float(), 50, 0.0, 1.0)
        assert agrees(counts, torch.full((50,), DRAWS / 50.0))


def test_the_chi_square_notices_a_small_bias() -> None:
    expected = torch.full((15,), DRAWS / 15.0)
    biased = expected.clone()
    biased[0] += 400
    biased[1] -= 400
    assert agrees(expected + torch.linspace(-50, 50, 15), expected)
    assert not agrees(biased, expected)


def test_signs_and_centres_differ_between_the_images_of_a_batch() -> None:
    policy = Policy("signs", "a test", (SubPolicy(1.0, (PolicyOp("Rotate", 1.0, 20.0),)),))
    draw = DAASPolicy(policy, granularity="batch").sample(1000, torch.Generator().manual_seed(2))
    positive = float((draw.value > 0).double().sum())
    assert agrees(torch.tensor([positive, 1000 - positive]), torch.tensor([500.0, 500.0]))
    assert len(draw.center.unique(dim=0)) == 1000
