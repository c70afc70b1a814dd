"""Intervals and numbers of repeats against textbook values and simulation."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import ttest_1samp

from benchmarks.tables.statistics import estimate, paired, repeats_needed


def test_interval_is_that_of_students_t() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert found.deviation == pytest.approx(math.sqrt(2.5))
    assert found.half_width == pytest.approx(2.7764451 * math.sqrt(2.5) / math.sqrt(5))
    assert str(found) == "3.00 +- 1.58 (n = 5, 95% CI +- 1.96)"


def test_one_repeat_has_no_spread() -> None:
    found = estimate([7.5])
    assert found.n == 1
    assert math.isnan(found.deviation)
    assert str(found) == "7.50 (n = 1)"


def test_pairs_are_those_seeds_that_both_have() -> None:
    difference = paired({0: 5.0, 1: 7.0, 2: 1.0}, {1: 4.0, 0: 3.0, 9: 0.0})
    assert difference is not None
    assert (difference.mean, difference.n) == (2.5, 2)
    assert paired({0: 1.0}, {1: 1.0}) is None


def test_power_of_the_number_of_repeats_is_80_percent() -> None:
    n = repeats_needed(deviation=1.0, difference=1.0)
    random = torch.Generator().manual_seed(0)
    samples = torch.randn(4000, n, generator=random, dtype=torch.float64) + 1.0
    power = (ttest_1samp(samples.numpy(), 0.0, axis=1).pvalue < 0.05).mean()
    assert 0.77 < power < 0.90  # at the smallest whole n; one fewer is below
    fewer = (ttest_1samp(samples[:, : n - 1].numpy(), 0.0, axis=1).pvalue < 0.05).mean()
    assert fewer < 0.82
    assert repeats_needed(1.0, 0.1) > 700
    with pytest.raises(ValueError, match="above 0"):
        repeats_needed(1.0, 0.0)
