"""What trainings say: a calibrated score of each, and differences between candidates that ran the same ones.

A table of scores [C, R] has a row per candidate and a column per run, a run being a (fold, seed) that all of them have.
Its model is the two-way layout score = candidate + run + residual. Runs of a cross-validation share images, so that
their residuals are correlated; with a correlation of 1 / K between runs (K folds) the variance of a candidate's mean is
the mean square of the residuals times 1 / R + 1 / (K - 1) (Nadeau and Bengio, Inference for the generalization error,
Machine Learning 2003).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from daas.calibration import fit_temperature


@dataclass(frozen=True)
class Score:
    """What one training reached on its validation images.

    Attributes:
        accuracy: In percent.
        score: Cross-entropy at the fitted temperature, in nats; lower is better.
        temperature: By which logits are divided.
    """

    accuracy: float
    score: float
    temperature: float


@dataclass(frozen=True)
class Difference:
    """How far two candidates are apart over the runs that both have.

    Attributes:
        mean: First minus second.
        error: Standard error, None where there is only one run.
        interval: Of the confidence that was asked for, None where there is only one run.
        runs: How many.
    """

    mean: float
    error: float | None
    interval: tuple[float, float] | None
    runs: int


def score(logits: Tensor, labels: Tensor) -> Score:
    """Accuracy, and cross-entropy at the temperature that fits these images best.

    Args:
        logits: [N, classes].
        labels: [N] int64.

    >>> logits = torch.tensor([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    >>> found = score(logits, torch.tensor([0, 0, 1, 1]))  # three of four: sure of 75% is right
    >>> found.accuracy, round(found.score, 4)
    (75.0, 0.5623)
    """
    logits = logits.detach().cpu().double()
    labels = labels.detach().cpu()
    temperature = fit_temperature(logits, labels)
    loss = torch.nn.functional.cross_entropy(logits / temperature, labels)
    accuracy = 100.0 * float((logits.argmax(1) == labels).double().mean())
    return Score(accuracy, float(loss), temperature)


def residual(scores: Tensor) -> tuple[float, int]:
    """Mean square of the residuals of the two-way layout and its degrees of freedom.

    Args:
        scores: [C, R], at least 2 x 2.
    """
    count, runs = scores.shape
    scores = scores.double()
    rest = scores - scores.mean(1, keepdim=True) - scores.mean(0, keepdim=True) + scores.mean()
    freedom = (count - 1) * (runs - 1)
    return float(rest.square().sum()) / freedom, freedom


def variance_share(runs: int, folds: int) -> float:
    """Variance of a candidate's mean over its runs, as a multiple of the residuals' mean square."""
    return 1.0 / runs + 1.0 / (folds - 1)


def difference(scores: Tensor, first: int, second: int, folds: int, confidence: float = 0.95) -> Difference:
    """Paired difference of two rows; the spread of the residuals is pooled over the whole table.

    Args:
        scores: [C, R], candidates that have all R runs.
        first: A row.
        second: Another.
        folds: K of the cross-validation.
        confidence: Of the interval (Student's t).
    """
    runs = scores.shape[1]
    mean = float((scores[first].double() - scores[second].double()).mean())
    if runs < 2:
        return Difference(mean, None, None, runs)
    from scipy import stats  # an extra, at need

    square, freedom = residual(scores)
    error = math.sqrt(2.0 * square * variance_share(runs, folds))
    reach = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    return Difference(mean, error, (mean - reach, mean + reach), runs)


def clearly_worse(scores: Tensor, folds: int, level: float) -> list[bool]:
    """Which rows are worse than the best one: Tukey's test of all pairs by the studentised range.

    Where all candidates are equally good, the chance that any is called worse is ``level``, as the pairs are so many as
    they are and the best is the best by chance.

    Args:
        scores: [C, R]; lower is better. With one run, or one candidate, nothing is worse.
        folds: K of the cross-validation.
        level: Of the whole table.
    """
    count, runs = scores.shape
    if runs < 2 or count < 2:
        return [False] * count
    square, freedom = residual(scores)
    reach = _range_quantile(count, freedom, level) * math.sqrt(square * variance_share(runs, folds))
    means = scores.double().mean(1)
    return [bool(value) for value in (means - means.min() > reach).tolist()]


def level_of(run: int, level: float) -> float:
    """The share of an error level that the test after ``run`` runs may spend: level / (r (r - 1)), r = 2, 3, ...

    The shares of all runs add up to ``level``, however many there will be.
    """
    return level / (run * (run - 1))


_quantiles: dict[tuple[int, int, float], float] = {}


def _range_quantile(count: int, freedom: int, level: float) -> float:
    from scipy import stats  # an extra, at need

    key = (count, freedom, level)
    if key not in _quantiles:
        _quantiles[key] = float(stats.studentized_range.isf(level, count, freedom))
    return _quantiles[key]


def mean_and_error(values: Sequence[float], folds: int) -> tuple[float, float | None]:
    """Mean of a figure over runs and its standard error (``variance_share``); no error of a single one.

    Args:
        values: One per run.
        folds: K of the cross-validation.

    >>> mean_and_error([75.0, 77.0], folds=3)  # of independent runs it would be 1.0
    (76.0, 1.4142135623730951)
    """
    count, mean = len(values), sum(values) / len(values)
    if count < 2:
        return mean, None
    square = sum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, math.sqrt(square * variance_share(count, folds))
