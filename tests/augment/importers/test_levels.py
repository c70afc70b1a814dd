"""Fast AutoAugment's and DADA's lists: the mirrored range, and a clear refusal of what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from daas.augment import PolicyOp, SubPolicy
from daas.augment.importers import from_fast_autoaugment
from daas.errors import BadInput

RANGES = {
    "ShearX": (-0.3, 0.3), "ShearY": (-0.3, 0.3), "TranslateX": (-0.45, 0.45), "TranslateY": (-0.45, 0.45),
    "Rotate": (-30, 30), "Solarize": (0, 256), "Contrast": (0.1, 1.9), "Color": (0.1, 1.9), "Brightness": (0.1, 1.9),
    "Sharpness": (0.1, 1.9), "Cutout": (0, 0.2),
}  # fmt: skip


@pytest.mark.parametrize("level", [0.0, 0.2, 0.5, 0.61, 1.0])
@pytest.mark.parametrize("name", RANGES)
def test_a_level_is_the_published_value_mirrored(name: str, level: float) -> None:
    low, high = RANGES[name]
    published = low + level * (high - low)
    [op] = from_fast_autoaugment([[(name, 0.4, level)]]).sub_policies[0].ops
    assert op.prob == 0.4
    assert op.value is not None
    # mirrored at random: the published value and its opposite, as a one-sided value with a random sign is
    assert op.value == pytest.approx(abs(published))
    if low < 0:
        [other] = from_fast_autoaugment([[(name, 0.4, 1.0 - level)]]).sub_policies[0].ops
        assert other.value == pytest.approx(op.value)


def test_a_list_becomes_equally_likely_sub_policies_and_equal_ones_are_merged() -> None:
    published = [
        [("Posterize", 0.5, 0.9), ("Invert", 0.25, 0.3)],
        [["Equalize", 1.0, 0.0], ["AutoContrast", 0.0, 1.0]],
        [("Posterize", 0.5, 0.8), ("Invert", 0.25, 0.7)],
    ]
    policy = from_fast_autoaugment(published, "tiny", "a test")
    assert (policy.name, policy.source, policy.fill) == ("tiny", "a test", (0, 0, 0))
    assert policy.sub_policies == (
        SubPolicy(2.0, (PolicyOp("Posterize", 0.5, 7.0), PolicyOp("Invert", 0.25, None))),
        SubPolicy(1.0, (PolicyOp("Equalize", 1.0, None), PolicyOp("AutoContrast", 0.0, None))),
    )


def test_operations_left_out_do_nothing_at_the_right_rate() -> None:
    published = [[("Flip", 0.5, 0.1), ("Invert", 0.5, 0.1)], [("Flip", 1.0, 0.1)], [("Invert", 0.5, 0.0)]]
    policy = from_fast_autoaugment(published, leave_out=["Flip"])
    assert policy.operation_share()["Invert"] == pytest.approx(2 / 3 * 0.5)
    assert sum(policy.operation_share().values()) == pytest.approx(1 / 3)
    assert policy.source.endswith("without Flip")


@pytest.mark.parametrize(
    ("published", "left_out", "message"),
    [
        ([], (), "expected a list of sub-policies"),
        ({"a": 1}, (), "expected a list of sub-policies"),
        ([[]], (), "sub-policy 0: expected a list of operations"),
        ([[("Rotate", 0.5)]], (), r"sub-policy 0: expected \(operation, probability, level\)"),
        ([[("Rotate", 0.5, 5)]], (), r"sub-policy 0 \(Rotate\): level is 5"),
        ([[("Rotate", 1.5, 0.5)]], (), "probability is 1.5"),
        ([[("Flip", 0.5, 0.5)]], (), "'Flip' is not among the 15 operations"),
        ([[("Rotate", 0.5, 0.5)]], ("Flip",), "leave out Flip: it does not occur"),
    ],
)
def test_what_cannot_be_is_refused(published: Any, left_out: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        from_fast_autoaugment(published, leave_out=left_out)
