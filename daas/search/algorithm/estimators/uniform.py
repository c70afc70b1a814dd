"""No estimate: policies are drawn from gamma as it is, one per image, and gamma stays uniform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from daas.search.algorithm.estimators.base import Sampling, sampled
from daas.search.algorithm.model import Augmented
from daas.search.algorithm.state import Batch, Key, State


@dataclass(frozen=True)
class Uniform(Sampling):
    """Augments with uniformly random policies, which learn nothing: what a search has to beat."""

    name: ClassVar[str] = "uniform"

    def draw(self, search: State, train: Batch, key: Key) -> Augmented:
        """One policy per image."""
        return sampled(search, train, key, self.streams(search, key), count=len(train[0]), learns=False)
