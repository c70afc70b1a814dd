"""Eq. 9 of the paper: one policy per batch, rewarded by gradients that exist already, or by a forward-mode pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from daas.search.algorithm.estimators.base import Credit, Estimator, bare_of, joined, log_probabilities, rates
from daas.search.algorithm.estimators.per_image import exactly
from daas.search.algorithm.gradients import gradients, inner_product
from daas.search.algorithm.model import Augmented, Model, Pass
from daas.search.algorithm.state import Batch, State

PolicyPasses = Literal["sequential", "batched"]
"""Values of ``--policy-passes``."""


@dataclass(frozen=True)
class PolicyGradient(Estimator):
    """The paper's estimator: the reward of a policy is ``<v, gradient of the training loss under it>``.

    Attributes:
        policies: M, policies per architecture.
        baseline: Whether the mean of the other N * M - 1 rewards is subtracted from each; eq. 9 as printed has none.
        batched: Whether the M policies of an architecture run as one batch of M * B images, in which batch norm takes
            its statistics policy by policy. All M rewards, which are the same up to rounding, then come from one more
            pass, in forward mode. Only for networks in which nothing else mixes images, and nothing draws at random.
    """

    batched: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "policy-gradient"

    def batches(self, search: State, train: Batch, step: int, i: int) -> Iterator[Augmented]:
        """M batches, or the one that they make."""
        apart = super().batches(search, train, step, i)
        return iter([joined(list(apart))]) if self.batched else apart

    def credit(self, model: Model, passes: list[Pass], v: tuple[Tensor, ...]) -> Credit:
        """``<v, g>`` of each policy; where the rate is learned, of a pass over the same images without a policy too."""
        rewards = self._rewards(model, passes, v)
        if self.confidence_penalty:
            rewards = rewards - torch.stack([penalty.mean() for penalty in self.penalties(model, passes, v)])
        rate = rates(passes)
        if rate is None:
            return Credit(log_probabilities(passes), rewards)
        batch = bare_of(model, passes, self)
        without = inner_product(v, gradients(model.losses(batch)[0].mean(), model.weights))
        return Credit(log_probabilities(passes), rewards, rate=rate, bare=without.expand(len(rewards)))

    def _rewards(self, model: Model, passes: Sequence[Pass], v: tuple[Tensor, ...]) -> Tensor:
        """[M], ``<v, g>``: from the M gradients, or as the derivatives of the M losses along v."""
        if not self.batched:
            return torch.stack([inner_product(v, one.gradient) for one in passes])
        (one,) = passes
        of_images = exactly(model, one.batch, v, "--policy-passes sequential")
        return of_images.view(self.policies, -1).mean(1)

    def options(self) -> dict[str, Any]:
        """The options of the search that say the same."""
        return super().options() | {"policy_passes": "batched" if self.batched else "sequential"}
