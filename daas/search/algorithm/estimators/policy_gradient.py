"""Eq. 9 of the paper: one policy per batch, rewarded by gradients that exist already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from daas.search.algorithm.estimators.base import Credit, Estimator, bare_of, log_probabilities, rates
from daas.search.algorithm.gradients import gradients, inner_product
from daas.search.algorithm.model import Model, Pass


@dataclass(frozen=True)
class PolicyGradient(Estimator):
    """The paper's estimator: the reward of a policy is <v, gradient of the training loss under it>.

    Attributes:
        policies: M, policies per architecture.
        baseline: Whether the mean of the other N * M - 1 rewards is subtracted from each; eq. 9 as printed has none.
    """

    name: ClassVar[str] = "policy-gradient"

    def credit(self, model: Model, passes: list[Pass], v: tuple[Tensor, ...]) -> Credit:
        """<v, g> of each pass; where the rate is learned, of a pass over the same images without a policy too."""
        rewards = torch.stack([inner_product(v, one.gradient) for one in passes])
        if self.confidence_penalty:
            rewards = rewards - torch.stack([penalty.mean() for penalty in self.penalties(model, passes, v)])
        rate = rates(passes)
        if rate is None:
            return Credit(log_probabilities(passes), rewards)
        batch = bare_of(model, passes, self)
        without = inner_product(v, gradients(model.losses(batch)[0].mean(), model.weights))
        return Credit(log_probabilities(passes), rewards, rate=rate, bare=without.expand(len(passes)))
