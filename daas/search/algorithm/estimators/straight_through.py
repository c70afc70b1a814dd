"""DADA's estimator (Li et al., ECCV 2020), which section 4.1 of the paper rejects: the chain rule through pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.ops import apply
from daas.errors import BadInput
from daas.search.algorithm.estimators.base import Credit, Estimator, on_cpu
from daas.search.algorithm.estimators.per_image import first_line
from daas.search.algorithm.gradients import gate_sensitivity, pixel_gradient, straight_through_gradient
from daas.search.algorithm.model import Augmented, Model, Pass
from daas.search.algorithm.state import Batch, Key, State

RELAXATION_TEMPERATURE = 0.5  # of the relaxed policies; ours, the paper gives none


@dataclass(frozen=True)
class StraightThrough(Estimator):
    """One relaxed policy per batch, whose gates are differentiated through the augmented pixels.

    Attributes:
        policies: M, policies per architecture.
        baseline: Has no meaning here: there is no score to subtract it from.
    """

    name: ClassVar[str] = "straight-through"

    def draw(self, search: State, train: Batch, key: Key) -> Augmented:
        """One relaxed policy for the whole batch, and what each of its slots did."""
        assert search.augmentation is not None
        streams, (images, labels) = self.streams(search, key), train
        sample, gates = search.augmentation.sample_relaxed(streams.policy, RELAXATION_TEMPERATURE)
        every = search.augmentation.to_draw(sample.all_applied(), len(images), streams.signs)
        changed, slots = search.preparation.crop_flip(images, streams.crops), []
        for slot, applied in enumerate(sample.applied[0]):
            operated = apply(changed, Draw(every.op[:, [slot]], every.value[:, [slot]], every.center[:, [slot]]))
            slots.append((changed.float() / 255.0, operated.float() / 255.0, applied.to(changed.device)))
            changed = operated if applied else changed
        seen = search.preparation.normalize(changed)
        return Augmented(seen, labels, streams.dropout, images, key, gates=gates.unsqueeze(0), slots=tuple(slots))

    def credit(self, model: Model, passes: list[Pass], v: tuple[Tensor, ...]) -> Credit:
        """How ``<v, training gradient>`` changes with the gates of each policy."""
        gates = [one.batch.gates for one in passes if one.batch.gates is not None]
        return Credit(torch.cat(gates), torch.stack([_sensitivity(model, one.batch, v) for one in passes]))

    def objective(self, credits: Sequence[Credit], eta: float) -> list[Tensor]:
        """The chain rule of eq. 7, continued through the gates."""
        flat, sizes = on_cpu(credits)
        parts = flat.split(sizes) if credits else ()
        return [straight_through_gradient(part.graph, row, eta) for part, row in zip(credits, parts, strict=True)]


def _sensitivity(model: Model, batch: Augmented, v: tuple[Tensor, ...]) -> Tensor:
    def loss(images: Tensor) -> Tensor:
        return model.losses(batch, images)[0].mean()

    try:
        gradient = pixel_gradient(loss, batch.images, model.weights, v)
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise BadInput(
            f"This network cannot be differentiated twice in PyTorch ({first_line(error)}), as --aug-estimator "
            "straight-through has to. Use another --aug-estimator."
        ) from error
    return gate_sensitivity(gradient / model.search.preparation.scale(batch.images), batch.slots)
