"""Excess confidence with its error, and the null: what operations that leave the label alone give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daas.seeds import generator

Doubles = npt.NDArray[np.float64]
_BOOTSTRAP = 402  # what a random stream is for


@dataclass(frozen=True)
class Figures:
    """What an operation does to confidence and accuracy, against the same images as they are; in points (percent).

    Attributes:
        excess: Confidence minus accuracy under the operation, minus the same on clean images.
        excess_error: Standard error of ``excess``.
        interval: Of ``excess``, 95 percent.
        loss: Accuracy on clean images minus that under the operation.
        loss_error: Standard error of ``loss``.
        covariance: Of the errors of ``excess`` and ``loss``.
    """

    excess: float
    excess_error: float
    interval: tuple[float, float]
    loss: float
    loss_error: float
    covariance: float


def bootstrap_weights(count: int, samples: int, seed: int) -> Tensor:
    """How often each image is drawn in each bootstrap sample, the same for all operations: [samples, count] float64."""
    drawn = torch.randint(count, (samples, count), generator=generator(_BOOTSTRAP, seed))
    return torch.zeros(samples, count, dtype=torch.float64).scatter_add_(1, drawn, torch.ones_like(drawn).double())


def figures(gap: Tensor, clean_gap: Tensor, right: Tensor, clean_right: Tensor, drawn: Tensor) -> Figures:
    """Excess and loss with the bootstrap over images, paired with the clean ones.

    Args:
        gap: [n] confidence minus correctness of each image under the operation, averaged over its draws.
        clean_gap: [n] the same of the clean image.
        right: [n] share of the draws that are right.
        clean_right: [n] whether the clean image is right.
        drawn: [samples, n] of ``bootstrap_weights``.
    """
    both = torch.stack([gap - clean_gap, clean_right - right], 1).double() * 100.0
    center = both.mean(0)
    samples = drawn @ both / len(both)
    covariance = torch.cov(samples.T)
    low, high = torch.quantile(samples[:, 0], torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Figures(
        excess=float(center[0]),
        excess_error=math.sqrt(float(covariance[0, 0])),
        interval=(low, high),
        loss=float(center[1]),
        loss_error=math.sqrt(float(covariance[1, 1])),
        covariance=float(covariance[0, 1]),
    )


def shortest_half(values: Sequence[float]) -> tuple[float, float]:
    """Centre and spread of the bulk: the shortest interval that holds half of the values (the shorth).

    Up to half of the values may lie anywhere else; those are the operations that do change labels.

    Args:
        values: At least 2.

    Returns:
        The mean of the values in that interval, and the standard deviation that a normal distribution with such a
        half would have.

    >>> shortest_half([0.0, 1.0, 2.0, 50.0, 60.0])[0]
    1.0
    """
    ordered = sorted(values)
    half = len(ordered) // 2 + 1
    widths = [ordered[start + half - 1] - ordered[start] for start in range(len(ordered) - half + 1)]
    start = widths.index(min(widths))
    inside = ordered[start : start + half]
    return sum(inside) / half, widths[start] / (2 * 0.6745)


def isotonic(values: Sequence[float], weight: Sequence[float] | None = None) -> list[float]:
    """The nearest sequence that never falls (pool adjacent violators), by weighted squares.

    >>> isotonic([1.0, 3.0, 2.0, 4.0])
    [1.0, 2.5, 2.5, 4.0]
    """
    weight = [1.0] * len(values) if weight is None else weight
    blocks: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, own in zip(values, weight, strict=True):
        blocks.append((value, own, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (a, u, i), (b, v, j) = blocks[-2:]
            blocks[-2:] = [((a * u + b * v) / (u + v), u + v, i + j)]
    return [mean for mean, _, length in blocks for _ in range(length)]
