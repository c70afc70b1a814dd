"""``--derive decided``: what rewards decide against is removed, and the rest stays as the search began."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from daas.augment import Policy
from daas.search.algorithm.history import History, Means
from daas.search.algorithm.state import State
from daas.search.spaces.policies import RATE, AugmentationDistribution
from daas.search.spaces.spread import spread

Derive = Literal["printed", "decided"]
ERROR = 0.05
"""Probability with which anything at all is decided where rewards depend on nothing."""
FEWEST = 10
"""Iterations that have to have an operation before anything is said of it."""


@dataclass(frozen=True)
class Decision:
    """What the rewards of a search tell apart.

    Attributes:
        names: Of the O operations.
        removed: Operations whose rewards lie below the others'.
        better: Operations whose rewards lie above the others'; they stay as frequent as the rest.
        halves: By operation, the half of its magnitudes that is kept, where the other's rewards lie below it.
        rate: Probability with which an image gets its policy: the learned one where it was decided, else the start's.
        rate_decided: Whether rewards with and without a policy differ; None where the rate is not learned.
        means: Mean reward of each operation, less that of the policies drawn with it.
        applied: How often each operation was applied, [O].
    """

    names: tuple[str, ...]
    removed: tuple[str, ...]
    better: tuple[str, ...]
    halves: dict[str, Literal["lower", "upper"]]
    rate: float | None
    rate_decided: bool | None
    means: Means
    applied: Tensor

    @property
    def anything(self) -> bool:
        """Whether the policy is narrowed at all."""
        return bool(self.removed or self.halves or self.rate_decided)

    def distribution(self, start: AugmentationDistribution) -> AugmentationDistribution:
        """The uniform distribution over what is left.

        Args:
            start: A distribution over the operations that were searched.
        """
        found = start.uniform(self.rate)
        half = found.levels // 2
        with torch.no_grad():
            for index, name in enumerate(self.names):
                if name in self.removed:
                    found.pi[:, index] = -math.inf
                if name in self.halves:
                    found.delta[index, :, half:] = -math.inf if self.halves[name] == "lower" else 0.0
                    found.delta[index, :, :half] = -math.inf if self.halves[name] == "upper" else 0.0
        return found

    def in_words(self, distribution: AugmentationDistribution) -> str:
        """What was decided, and that nothing else was."""
        said = []
        if self.removed:
            said.append(f"{_count(len(self.removed))} removed: {', '.join(self.removed)}.")
        for name, half in self.halves.items():
            row = distribution.table[distribution.names.index(name)].tolist()
            kept = row[: len(row) // 2] if half == "lower" else row[len(row) // 2 :]
            said.append(f"{name} is kept at {kept[0]:.3g} to {kept[-1]:.3g}.")
        if self.better:
            said.append(f"Rewards above the others', equally frequent all the same: {', '.join(self.better)}.")
        if self.rate_decided and self.rate is not None:
            said.append(f"An image gets its policy with probability {self.rate:.2f}.")
        said.append("Nothing else was decided." if said else "Nothing was decided: the policy is uniform.")
        if not bool((self.means.iterations >= FEWEST).any()):
            said.append("Too few policies were compared with others of their iteration.")
        return " ".join(said)

    def facts(self, distribution: AugmentationDistribution) -> dict[str, Any]:
        """The same for summary.json: what was decided, and each operation's mean with its standard error."""
        rows = zip(self.names, self.means.mean.tolist(), self.means.error.tolist(), self.applied.tolist(), strict=True)
        return {
            "said": self.in_words(distribution),
            "removed": list(self.removed),
            "better": list(self.better),
            "halves": self.halves,
            "rate": self.rate,
            "rate_decided": self.rate_decided,
            "error_rate": ERROR,
            "rewards": {
                name: {
                    "mean": mean,
                    "standard_error": error if math.isfinite(error) else None,
                    "applied": int(applied),
                }
                for name, mean, error, applied in rows
            },
        }


def decision_of(search: State) -> Decision | None:
    """What the rewards of a search tell apart by now; None where the derivation is the printed one."""
    if search.augmentation is None or search.history is None:
        return None
    return decide(search.history, search.augmentation)


def policy_of(search: State, decision: Decision | None, source: str) -> Policy | None:
    """The policy that a search has found by now; None where it looks for an architecture alone."""
    if search.augmentation is None:
        return None
    if decision is None:
        return search.augmentation.derive("searched", source)
    return spread(decision.distribution(search.augmentation), "searched", source)


def decide(history: History, distribution: AugmentationDistribution) -> Decision:
    """What the rewards tell apart.

    Where the rate is learned, whether policies have other rewards than the same images without one. And two tests per
    operation, both two-sided: its mean reward against the precision-weighted median of all operations'
    (a median, so that one operation that is far off does not move what all are compared with), and the upper half of
    its magnitudes against the lower. Statistics are Student's, by iterations; the p-values of all of them are
    corrected together (Holm, Scand. J. Statist. 1979), so that with a probability of at most ``ERROR`` anything is
    decided where there is nothing.

    Args:
        history: Of the rewards.
        distribution: Over the operations.
    """
    operations, halves, rate = history.operations(), history.halves(), history.anything()
    usable = operations.iterations >= FEWEST
    centre, variance = _median(operations.mean[usable], operations.error[usable])
    above = operations.mean - centre
    error = (operations.error.square() + variance).sqrt()
    judged = usable & (operations.error > 0)
    graded = (halves.iterations >= FEWEST) & (halves.error > 0) & distribution.with_magnitude.cpu()
    learned = (rate.iterations >= FEWEST) & (rate.error > 0)
    tests = [
        (above / error, operations.iterations, judged),
        (halves.mean / halves.error, halves.iterations, graded),
        (rate.mean / rate.error, rate.iterations, learned),
    ]
    rejected = holm(torch.cat([p_values(t, count)[which] for t, count, which in tests]), ERROR)
    different, unequal, paid = (torch.zeros_like(which) for _, _, which in tests)
    parts = rejected.split([int(which.sum()) for _, _, which in tests])
    different[judged], unequal[graded], paid[learned] = parts
    names = distribution.names
    removed = tuple(name for i, name in enumerate(names) if different[i] and above[i] < 0)
    return Decision(
        names=names,
        removed=removed,
        better=tuple(name for i, name in enumerate(names) if different[i] and above[i] > 0),
        halves={
            name: "lower" if halves.mean[i] < 0 else "upper"
            for i, name in enumerate(names)
            if unequal[i] and name not in removed
        },
        rate=None if distribution.rate_logit is None else distribution.rate if bool(paid) else RATE,
        rate_decided=None if distribution.rate_logit is None else bool(paid),
        means=operations,
        applied=history.applied,
    )


def p_values(t: Tensor, observations: Tensor) -> Tensor:
    """Two-sided p-values of Student's t with so many observations less one degrees of freedom.

    By Wallace's transformation to a normal deviate (Annals of Mathematical Statistics 1959), which is off by less than
    0.02 from nine degrees of freedom on.

    Args:
        t: Statistics.
        observations: Their numbers, at least 2.
    """
    freedom = (observations - 1).clamp_min(1)
    z = (8 * freedom + 1) / (8 * freedom + 3) * (freedom * torch.log1p(t.square() / freedom)).sqrt()
    found: Tensor = torch.special.erfc(z / math.sqrt(2))
    return found


def holm(p: Tensor, error: float) -> Tensor:
    """Which of n hypotheses are rejected, [n] bool, with a family-wise error rate of at most ``error``.

    >>> holm(torch.tensor([0.04, 0.001, 0.02]), 0.05).tolist()
    [True, True, True]
    >>> holm(torch.tensor([0.04, 0.03, 0.02]), 0.05).tolist()
    [False, False, False]
    """
    order = p.argsort(stable=True)
    passed = p[order] * torch.arange(len(p), 0, -1) <= error
    found = torch.zeros(len(p), dtype=torch.bool)
    found[order] = passed.long().cumprod(0).bool()
    return found


def _median(values: Tensor, errors: Tensor) -> tuple[float, float]:
    """The median weighted by precision, and its variance under a normal law; 0 and 0 of nothing."""
    precision = 1 / errors.square().clamp_min(1e-300)
    if not len(values):
        return 0.0, 0.0
    order = values.argsort(stable=True)
    share = precision[order].cumsum(0) / precision.sum()
    middle = int((share >= 0.5).nonzero()[0])
    return float(values[order][middle]), math.pi / 2 / float(precision.sum())


def _count(number: int) -> str:
    return "1 operation is" if number == 1 else f"{number} operations are"
