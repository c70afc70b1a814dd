"""What the rewards of a search have said of operations and magnitudes so far, as sums that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from daas import processes
from daas.search.algorithm.gradients import leave_one_out
from daas.search.spaces.policies import PolicySample

if TYPE_CHECKING:
    from daas.search.algorithm.estimators.base import Credit


@dataclass(frozen=True)
class Means:
    """Means over the iterations, one per operation.

    Attributes:
        mean: [O].
        error: Standard error, [O]; infinite where fewer than two iterations say something.
        iterations: How many do, [O].
    """

    mean: Tensor
    error: Tensor
    iterations: Tensor

    def __getitem__(self, rows: slice) -> Means:
        """Some of them."""
        return Means(self.mean[rows], self.error[rows], self.iterations[rows])


class History:
    """Sums over the iterations: of rewards' contrasts by operation, and of what their standard errors need.

    A contrast is a reward minus the mean of the other policies' rewards: those of the same architecture, or, where an
    architecture has one policy, of all. Where rewards do not depend on the policy its mean is zero whatever gamma was
    at the time, so that sums over iterations are martingales. The standard error takes an iteration as one observation
    (linearised ratio of sums to counts; Cochran, Sampling Techniques, 1977, section 6.3), so that neither a shared
    baseline nor rewards that grow or shrink with the weights spoil it.

    Args:
        operations: O.
        levels: L, magnitudes per operation; the first L // 2 are the lower half.

    Attributes:
        first: [O + 1, 4] float64, sums of an iteration's (contrasts of the lower half, of the upper half, number of
            applications of the lower half, of the upper half); what has no magnitude counts in the lower half. The last
            row is of all policies that images got, less the same images without one, where a search learns their rate.
        second: [O + 1, 4, 4], sums of the products of these four.
        iterations: [O + 1, 3], those with any application, with one of the lower half, with one of the upper half.
    """

    def __init__(self, operations: int, levels: int) -> None:
        self.levels = levels
        self.first = torch.zeros(operations + 1, 4, dtype=torch.float64)
        self.second = torch.zeros(operations + 1, 4, 4, dtype=torch.float64)
        self.iterations = torch.zeros(operations + 1, 3, dtype=torch.float64)

    @property
    def applied(self) -> Tensor:
        """How often each operation was applied, [O]."""
        return self.first[:-1, 2:].sum(1)

    def tensors(self) -> dict[str, Tensor]:
        """The state, for a checkpoint."""
        return {"first": self.first, "second": self.second, "iterations": self.iterations}

    def add(self, credits: Sequence[Credit]) -> None:
        """Counts one iteration, of all processes.

        Args:
            credits: Of the architectures of this process, with rewards [n] on the CPU; those without samples only stand
                in the contrasts of the others.
        """
        rewards = [credit.rewards.double() for credit in credits]
        own = [sum(float(part.sum()) for part in rewards), sum(map(len, rewards)), len(rewards)]
        total, count, architectures = processes.total(torch.tensor(own, dtype=torch.float64)).unbind()
        if count < 2:
            return  # a single reward says nothing of what another policy would have had
        others = torch.stack([total, count]) if count == architectures else None
        seen = torch.zeros_like(self.first)
        for credit, part in zip(credits, rewards, strict=True):
            if credit.sample is not None:
                seen += self._by_operation(credit.sample, leave_one_out(part, others))
                if credit.bare is not None and credit.sample.on is not None:
                    got = (part - credit.bare)[credit.sample.on]
                    seen[-1, ::2] += torch.stack([got.sum(), got.new_tensor(len(got))])
        self.note(processes.total(seen))

    def note(self, seen: Tensor) -> None:
        """Counts one iteration's four sums, [O + 1, 4]."""
        self.first += seen
        self.second += seen.unsqueeze(2) * seen.unsqueeze(1)
        lower, upper = (seen[:, 2:] > 0).unbind(1)
        self.iterations += torch.stack([lower | upper, lower, upper], 1)

    def _by_operation(self, sample: PolicySample, contrast: Tensor) -> Tensor:
        """[O + 1, 4]: the four sums over the slots in which an operation was applied."""
        rows, slots = sample.effective.nonzero(as_tuple=True)
        op = sample.op[rows, slots]
        upper = (sample.magnitude[rows, slots] >= self.levels // 2).long()
        found = torch.zeros_like(self.first)
        found.index_put_((op, upper), contrast[rows], accumulate=True)
        found.index_put_((op, upper + 2), torch.ones_like(contrast[rows]), accumulate=True)
        return found

    def operations(self) -> Means:
        """Mean contrast of each operation, over all its applications."""
        return self._totals()[:-1]

    def anything(self) -> Means:
        """Mean reward of the policies that images got less that of the same images without one, [1]."""
        return self._totals()[-1:]

    def _totals(self) -> Means:
        count = self.first[:, 2:].sum(1).clamp_min(1)
        mean = self.first[:, :2].sum(1) / count
        one = torch.ones_like(mean)
        residual = torch.stack([one, one, -mean, -mean], 1) / count[:, None]
        return self._means(mean, residual, self.iterations[:, 0])

    def halves(self) -> Means:
        """Mean contrast in the upper half of the magnitudes minus that in the lower, of each operation."""
        count = self.first[:, 2:].clamp_min(1)
        mean = self.first[:, :2] / count
        scale = torch.tensor([-1.0, 1.0], dtype=torch.float64) / count
        residual = torch.cat([scale, -scale * mean], 1)
        return self._means(mean[:, 1] - mean[:, 0], residual, self.iterations[:, 1:].min(1).values)[:-1]

    def _means(self, mean: Tensor, residual: Tensor, iterations: Tensor) -> Means:
        """With the standard error of a mean whose residual in each iteration is this combination of the four sums."""
        variance = torch.einsum("oi,oij,oj->o", residual, self.second, residual).clamp_min(0)
        error = (variance * iterations / (iterations - 1).clamp_min(1)).sqrt()
        return Means(mean, error.where(iterations > 1, torch.inf), iterations)
