"""One policy per image, each rewarded by a directional derivative of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from daas.errors import BadInput
from daas.search.algorithm.estimators.base import (
    Credit,
    Estimator,
    bare_of,
    log_probabilities,
    on_cpu,
    rates,
    sampled,
    samples,
    with_rate,
)
from daas.search.algorithm.gradients import (
    directional_derivative,
    finite_difference,
    leave_one_out_of_image,
)
from daas.search.algorithm.influence import influence_rewards
from daas.search.algorithm.model import Augmented, Model, Pass
from daas.search.algorithm.state import Batch, Key, State

RewardRule = Literal["jvp", "fd", "influence"]


@dataclass(frozen=True)
class PerImage(Estimator):
    """A policy for every image; one pass along v rewards all of them.

    Attributes:
        policies: M, batches of policies per architecture.
        baseline: Whether the mean of other rewards, of the batch and of the image's other draws, is subtracted.
        reward: The derivative along v of the image's own loss, exactly by forward-mode derivatives (jvp) or by a finite
            difference (fd), or of its influence on the loss of the batch, by a finite difference.
        reward_batches: R, batches of policies per architecture that only serve for rewards.
    """

    reward: RewardRule = "jvp"
    reward_batches: int = 0

    name: ClassVar[str] = "per-image"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reward not in ("jvp", "fd", "influence") or self.reward_batches < 0:
            raise BadInput(
                f"reward is {self.reward!r} and reward_batches {self.reward_batches}; a reward is jvp, fd or influence."
            )

    def draw(self, search: State, train: Batch, key: Key) -> Augmented:
        """One policy per image."""
        batch = sampled(search, train, key, self.streams(search, key), count=len(train[0]))
        return _weighed(batch) if self.reward == "influence" else batch

    def credit(self, model: Model, passes: list[Pass], v: tuple[Tensor, ...]) -> Credit:
        """The derivative of every image's loss (or influence) along v."""
        first = passes[0].batch
        step, i, _ = first.key
        extra = [
            self.draw(model.search, (first.source, first.labels), (step, i, self.policies + r))
            for r in range(self.reward_batches)
        ]
        batches = [one.batch for one in passes] + extra
        known = [one.influence if self.reward == "influence" else one.losses for one in passes] + [None] * len(extra)
        rows = [self._reward(model, b, v, at_theta) for b, at_theta in zip(batches, known, strict=True)]
        if self.confidence_penalty:
            rows = [row - part for row, part in zip(rows, self.penalties(model, passes, v, extra), strict=True)]
        rate = rates(batches)
        without = None
        if rate is not None:
            without = self._reward(model, bare_of(model, passes, self), v, None).repeat(len(batches))
        return Credit(log_probabilities(batches), torch.cat(rows), samples(batches), rate, without)

    def _reward(self, model: Model, batch: Augmented, v: tuple[Tensor, ...], at_theta: Tensor | None) -> Tensor:
        """Rewards of single images, [B]; losses or influences at theta may be known already."""
        if self.reward == "jvp":
            return exactly(model, batch, v, "--reward fd, or --aug-estimator policy-gradient")
        if self.reward == "influence":
            return influence_rewards(partial(_losses, model, batch), batch.images, model.weights, v, at_theta)
        return _nearly(model, batch, v, at_theta)

    def objective(self, credits: Sequence[Credit], eta: float) -> list[Tensor]:
        """Eq. 9 over single images, whose baseline also knows the image's other draws."""
        flat, sizes = on_cpu(credits)
        parts = list(flat.split(sizes)) if credits else []
        if self.baseline:
            draws = self.policies + self.reward_batches
            parts = [leave_one_out_of_image(part.view(draws, -1)).flatten() for part in parts]
        return [with_rate(part, reward, eta) for part, reward in zip(credits, parts, strict=True)]

    def options(self) -> dict[str, Any]:
        """The options of the search that say the same."""
        return super().options() | {"reward": self.reward, "reward_batches": self.reward_batches}


def _weighed(batch: Augmented) -> Augmented:
    return replace(batch, weighed=True)


def _losses(model: Model, batch: Augmented, weights: Mapping[str, Tensor] | None = None) -> Tensor:
    return model.losses(batch, weights=weights)[0]


def exactly(model: Model, batch: Augmented, v: tuple[Tensor, ...], instead: str) -> Tensor:
    """Rewards of single images by forward-mode differentiation.

    Args:
        model: The network.
        batch: The images.
        v: The direction.
        instead: What a network takes that cannot do it, for the message.

    Raises:
        BadInput: It has an operation that PyTorch cannot differentiate so.
    """
    try:
        return directional_derivative(partial(_losses, model, batch), model.theta, v)
    except NotImplementedError as error:
        raise BadInput(
            f"This network has an operation without a forward-mode rule in PyTorch ({first_line(error)}). "
            f"Use {instead}."
        ) from error


@torch.no_grad()
def _nearly(model: Model, batch: Augmented, v: tuple[Tensor, ...], at_theta: Tensor | None) -> Tensor:
    """Rewards of single images by a finite difference; losses at theta may be known already."""
    losses = partial(_losses, model, batch)
    return finite_difference(losses, model.weights, v, losses() if at_theta is None else at_theta)


def first_line(error: Exception) -> str:
    """The first line of an error, for a message."""
    return str(error).splitlines()[0][:160]
