"""PBA: the exact distribution of its shuffled lists, its magnitudes, and the schedule in its logs."""

from __future__ import annotations

import ast
import itertools
import json
import math
from collections.abc import Sequence

import pytest

from daas.augment import PolicyOp
from daas.augment.importers import from_pba, pba_policy
from daas.augment.importers.pba import sequences
from daas.errors import BadInput


def enumerated(tenths: Sequence[int]) -> dict[tuple[int, ...], float]:
    """Over all orders, counts, and outcomes of trying each operation."""
    found: dict[tuple[int, ...], float] = {}
    orders = list(itertools.permutations(range(len(tenths))))
    for order in orders:
        for count, chance in enumerate((0.2, 0.3, 0.5)):
            for outcome in itertools.product((False, True), repeat=len(order)):
                tried = list(zip(order, outcome, strict=True))
                share = math.prod(tenths[i] / 10 if hit else 1 - tenths[i] / 10 for i, hit in tried)
                applied = tuple(i for i, hit in tried if hit)[:count]
                found[applied] = found.get(applied, 0.0) + share * chance / len(orders)
    return {applied: share for applied, share in found.items() if share > 0}


@pytest.mark.parametrize("tenths", [(3, 7, 0, 10, 5), (10, 10, 10), (1,), (0, 0)])
def test_sequences_have_the_probabilities_of_all_orders(tenths: tuple[int, ...]) -> None:
    exact = {applied: share for share, applied in sequences(tenths) if share > 1e-15}
    expected = enumerated(tenths)
    assert exact.keys() == expected.keys()
    for applied, share in expected.items():
        assert exact[applied] == pytest.approx(share, abs=1e-12)


def test_sixty_numbers_are_a_distribution() -> None:
    embedding = [(7 * i) % 11 if i % 2 == 0 else i % 10 for i in range(60)]
    policy = pba_policy(embedding)
    assert sum(sub.weight for sub in policy.sub_policies) == pytest.approx(1.0)
    assert all(op.prob == 1.0 for sub in policy.sub_policies for op in sub.ops if op.value is not None)
    assert policy.fill == (125, 123, 114)


def embedding_of(**ops: tuple[int, int]) -> list[int]:
    names = ["Rotate", "TranslateX", "TranslateY", "Brightness", "Color", "Invert", "Sharpness", "Posterize", "ShearX",
             "Solarize", "ShearY", "Equalize", "AutoContrast", "Cutout", "Contrast"]  # fmt: skip
    return [number for name in names for number in ops.get(name, (0, 0))]


@pytest.mark.parametrize(
    ("name", "level", "value"),
    [
        ("Rotate", 7, 21.0),  # int(7 * 30 / 10) degrees
        ("Posterize", 7, 2.0),  # 4 - int(7 * 4 / 10) bits
        ("Solarize", 3, 180.0),  # 256 - int(3 * 256 / 10)
        ("Color", 4, 0.82),  # 4 * 1.8 / 10 + 0.1
        ("ShearY", 5, 0.15),
        ("TranslateX", 9, 9 / 32),  # pixels of 32
        ("Cutout", 8, 15 / 32),  # 16 pixels: ours reaches from a pixel to a pixel, both included
        ("Cutout", 0, 0.0),
        ("Invert", 9, None),
    ],
)
def test_levels_are_pbas_values(name: str, level: int, value: float | None) -> None:
    policy = pba_policy(embedding_of(**{name: (10, level)}))
    assert {sub.ops for sub in policy.sub_policies} == {
        (PolicyOp("Invert", 0.0, None),),
        (PolicyOp(name, 1.0, value),),
    }
    assert policy.operation_share()[name] == pytest.approx(0.8)  # all draws but "none"


A, B, C = (embedding_of(**{name: (10, 5)}) * 2 for name in ("Rotate", "Invert", "Color"))
NONE = embedding_of() * 2
LOG = "\n".join(
    str(line)
    for line in (
        ["3", "4", 2, 2, NONE, C],  # a trial that was dropped later
        ["7", "9", 5, 4, NONE, {"hp_policy": A, "lr": 0.1}],
        ["2", "7", 8, 7, A, B],
        ["1", "2", 11, 12, B, C],
    )
)


def test_a_log_becomes_a_schedule() -> None:
    schedule = from_pba(LOG, 20)
    assert [(segment.start, segment.policy) for segment in schedule.segments] == [
        (start, pba_policy(embedding, f"pba, from epoch {start}", schedule.source))
        for start, embedding in ((0, NONE), (4, A), (7, B), (12, C))
    ]
    assert schedule.epochs == 20
    assert schedule.at(3).operation_share()["Rotate"] == 0
    assert schedule.at(4).operation_share()["Rotate"] > 0.8


def test_a_log_as_the_search_writes_it_is_json() -> None:
    lines = [ast.literal_eval(line) for line in LOG.splitlines()]
    lines[1][5] |= {"no_aug": False, "checkpoint": None}
    assert from_pba("\n".join(map(json.dumps, lines)), 20) == from_pba(LOG, 20)


@pytest.mark.parametrize(
    ("log", "epochs", "message"),
    [
        ("", 20, "the log is empty"),
        ("hello", 20, "line 1: no list"),
        ("[1, 2]", 20, "line 1: expected"),
        (LOG, 12, r"policies begin at the epochs \[0, 4, 7, 12\] of 12"),
        (str(["7", "9", 5, 4, A, B[:-1]]), 20, "a list of 30 or 60 numbers"),
        (str(["7", "9", 5, 4, A, [*B[:-1], 11]]), 20, "found 11; probabilities and levels are whole numbers"),
    ],
)
def test_what_cannot_be_is_refused(log: str, epochs: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        from_pba(log, epochs)
