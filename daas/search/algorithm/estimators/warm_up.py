"""No policies at all: crop and flip alone, or a policy that is given."""

from __future__ import annotations

from dataclasses import dataclass

from daas.search.algorithm.estimators.base import Sampling
from daas.search.algorithm.model import Augmented
from daas.search.algorithm.state import Batch, Key, State


@dataclass(frozen=True)
class WarmUp(Sampling):
    """One pass per architecture without sampled policies: the warm-up, and the search of an architecture alone."""

    policies: int = 1

    def draw(self, search: State, train: Batch, key: Key) -> Augmented:
        """Cropped, flipped, and augmented by the given policy if there is one."""
        streams, (images, labels) = self.streams(search, key), train
        policy = search.given_policy
        draw = None if policy is None else policy.sample(len(images), streams.policy)
        augmented = search.preparation.augment(images, draw, streams.crops)
        return Augmented(augmented, labels, streams.dropout, images, key)


WARM_UP = WarmUp()
