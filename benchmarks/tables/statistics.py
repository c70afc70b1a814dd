"""Means with intervals, paired differences, and how many repeats a difference of a given size needs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import t

CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Estimate:
    """A mean over n repeats.

    Attributes:
        mean: Their mean.
        deviation: Their standard deviation (n - 1 in the denominator); nan for n = 1.
        n: How many.
        half_width: Half of the 95% confidence interval of the mean (Student's t); nan for n = 1.
    """

    mean: float
    deviation: float
    n: int
    half_width: float

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.mean:.2f} (n = 1)"
        return f"{self.mean:.2f} +- {self.deviation:.2f} (n = {self.n}, 95% CI +- {self.half_width:.2f})"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, standard deviation and confidence interval of repeats.

    Args:
        values: At least one.
    """
    n = len(values)
    if n == 1:
        return Estimate(float(values[0]), math.nan, 1, math.nan)
    deviation = statistics.stdev(values)
    quantile = float(t.ppf(0.5 + CONFIDENCE / 2, n - 1))
    return Estimate(statistics.fmean(values), deviation, n, quantile * deviation / math.sqrt(n))


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Estimate | None:
    """The differences a - b over the seeds that both have; None where there are none.

    Args:
        a: Value by seed.
        b: The same.
    """
    seeds = sorted(set(a) & set(b))
    return estimate([a[seed] - b[seed] for seed in seeds]) if seeds else None


def repeats_needed(deviation: float, difference: float) -> int:
    """Pairs needed to tell a mean difference from zero: two-sided t-test at 5%, power 80%.

    Args:
        deviation: Standard deviation of the paired differences.
        difference: Size of the difference, in the same unit, above 0.

    Returns:
        The smallest n with ``n >= ((t(0.975, n - 1) + t(0.8, n - 1)) deviation / difference)^2``, at least 2.
    """
    if not difference > 0:
        raise ValueError(f"the difference is {difference}; it must be above 0")
    n = 2
    while n < 10_000:
        quantiles = float(t.ppf(0.5 + CONFIDENCE / 2, n - 1) + t.ppf(POWER, n - 1))
        if n >= (quantiles * deviation / difference) ** 2:
            break
        n += 1
    return n
