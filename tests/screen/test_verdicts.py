from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from daas.screen.statistics import Figures
from daas.screen.verdicts import (
    CHANGES,
    HARD,
    HARDER,
    HARMLESS,
    LEAST,
    SAFE,
    SURE,
    TOLERATED,
    UNCLEAR,
    Null,
    images_needed,
    judge,
    null_of,
    safe_strata,
)  # fmt: skip

NULL = Null(center=0.0, spread=1.0, readable=80.0)


def seen(excess: float, loss: float, error: float = 1.5) -> Figures:
    return Figures(excess, error, (excess - 2 * error, excess + 2 * error), loss, error, error**2)


@pytest.mark.parametrize(
    ("excess", "loss", "verdict"),
    [(60, 60, CHANGES), (14, 14, CHANGES), (10, 30, HARDER), (0, 0, HARMLESS), (-4, 2, HARMLESS), (6, 6, HARMLESS)],
)
def test_a_well_measured_operation_gets_its_verdict(excess: float, loss: float, verdict: str) -> None:
    assert judge(seen(excess, loss, 0.3), NULL).verdict == verdict


def test_what_few_images_cannot_say_is_unclear() -> None:
    assert judge(seen(14, 14, 6.0), NULL).verdict == UNCLEAR
    assert judge(seen(14, 14, 0.5), NULL).verdict == CHANGES


def test_sure_and_wrong_and_merely_hard_lose_the_same_accuracy() -> None:
    changed, hard = judge(seen(30, 30), NULL), judge(seen(15, 30), NULL)
    assert changed.verdict == CHANGES
    assert hard.verdict == HARDER
    assert hard.share == pytest.approx(0.0)
    assert changed.share == pytest.approx(30 * (1 - HARD) / ((1 - HARD) * 80))


def test_an_operation_that_changes_every_readable_label_has_the_share_one() -> None:
    assert judge(seen(80, 80), NULL).share == pytest.approx(1.0)


def test_an_operation_that_costs_no_accuracy_changes_no_label() -> None:
    # its excess is too uncertain to exclude a change, but a change would have cost accuracy
    wide = Figures(2.0, 20.0, (-38, 42), 0.0, 1.0, 0.0)
    assert judge(wide, NULL).verdict == HARMLESS


def test_nothing_is_said_where_the_network_has_learned_nothing() -> None:
    judged = judge(seen(3, 3), replace(NULL, readable=3.0))
    assert judged.verdict == UNCLEAR
    assert judged.share is None
    assert safe_strata([seen(0, 0)], replace(NULL, readable=3.0)) == [False]


def test_the_null_is_that_of_the_bulk_and_not_of_what_changes_labels() -> None:
    bulk = [seen(2.0 + 0.2 * k, 0.0, 0.1) for k in range(-4, 5)]
    null = null_of([*bulk, *(seen(60, 60, 0.1) for _ in range(6))], 90.0, 10.0, 500)
    assert null.center == pytest.approx(2.0, abs=0.5)
    assert null.spread < 2.0
    assert null.readable == pytest.approx(80.0)


def test_a_null_is_never_below_zero_nor_narrower_than_a_point() -> None:
    null = null_of([seen(-3, 0, 0.1) for _ in range(8)], 90.0, 10.0, 500)
    assert (null.center, null.spread) == (0.0, 1.0)


def test_what_scatters_between_harmless_operations_is_not_called_a_change() -> None:
    wild = [seen(value, 0.0, 0.5) for value in (-9, -7, -5, -3, -1, 1, 3, 5, 7, 9)]
    null = null_of(wild, 90.0, 10.0, 500)
    assert null.spread > 3.0
    assert judge(seen(9, 0.0, 0.5), null).verdict != CHANGES


def test_the_safe_range_ends_where_labels_change() -> None:
    rows = [seen(0, 1), seen(2, 3), seen(30, 33), seen(60, 60)]
    assert safe_strata(rows, NULL) == [True, True, False, False]


def test_beyond_an_unsafe_stratum_nothing_is_safe() -> None:
    rows = [seen(0, 0), seen(60, 60, 0.5), seen(0, 0, 0.5), seen(60, 60, 0.5)]
    assert safe_strata(rows, NULL) == [True, False, False, False]


def test_noise_does_not_end_the_safe_range() -> None:
    assert safe_strata([seen(5, 4, 4.0), seen(-2, 0, 4.0), seen(4, 3, 4.0)], NULL) == [True, True, True]


def test_how_many_images_would_do() -> None:
    unclear = seen(18, 20, 6.0)
    assert judge(unclear, NULL).verdict == UNCLEAR
    needed = images_needed(unclear, NULL, 100)
    assert needed is not None
    assert needed > 100
    better = 6.0 * (100 / needed) ** 0.5
    assert judge(seen(18, 20, better), NULL).verdict != UNCLEAR


def test_more_images_do_not_help_a_network_that_reads_nothing() -> None:
    assert images_needed(seen(3, 3), replace(NULL, readable=1.0), 100) is None


def test_the_constants_are_the_documented_ones() -> None:
    assert (HARD, SURE, LEAST, TOLERATED) == (0.5, 2.5, 0.1, 0.25)


def few(images: int) -> Null:
    """The null of a network that is right on nine of ten of so many images, under operations that change nothing."""
    return null_of([seen(0, 0, 0.0) for _ in range(20)], 90.0, 50.0, images)


def test_nothing_lost_on_a_few_images_is_no_promise_for_the_next() -> None:
    """Of nine recognised images none is lost: the exact bound of the share that may be lost is 28%."""
    nothing = seen(0, 0, 0.0)
    assert judge(nothing, few(10)).verdict == UNCLEAR
    assert judge(nothing, few(100)).verdict == HARMLESS
    assert few(10).unseen * SAFE == pytest.approx(30.0)  # 1 - 0.05 ** (1 / 10) is 26%, the rule of three 30%
    needed = images_needed(nothing, few(10), 10)
    assert needed is not None
    assert judge(nothing, few(needed)).verdict == HARMLESS


def test_a_network_that_guesses_says_nothing_however_lucky_it_was() -> None:
    """Answers that have nothing to do with the labels, of two classes alike: at most one screen in 20 goes by them."""
    random = torch.Generator().manual_seed(7)
    for images in (10, 20, 50, 100, 200):
        right = torch.rand(400, images, generator=random).lt(0.5).double().mean(1)
        spoken = [judge(seen(0, 0), null_of([seen(0, 0)] * 20, 100 * float(p), 50.0, images)).share for p in right]
        assert sum(share is not None for share in spoken) <= 0.05 * 400
