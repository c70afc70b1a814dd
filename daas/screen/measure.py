"""A trained network under every operation: its confidence and its answers on the same images, again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from daas.augment.draw import Draw
from daas.augment.operation import Operation
from daas.augment.ops import Statistics, apply, normalized
from daas.augment.space import INDEX
from daas.calibration import confidence, fit_temperature, with_a_mistake
from daas.data import ImageData
from daas.screen.tries import Side, draw, sides

_CHUNK = 250  # images at a time
_ENOUGH = 400  # answers per stratum that few images are drawn up to
_MOST_DRAWS = 4


@dataclass(frozen=True)
class Answers:
    """What the network says of images.

    Attributes:
        confidence: [..., n] float64, the calibrated probability of what it says.
        predicted: [..., n] int64, what it says.
    """

    confidence: Tensor
    predicted: Tensor

    def right(self, labels: Tensor) -> Tensor:
        """[..., n] float64, 1 where it is right."""
        return (self.predicted == labels).double()

    def by_stratum(self, strata: int) -> Answers:
        """Rows [strata x draws, n], the draws of a stratum one after the other, as [strata, draws, n]."""
        return Answers(*(rows.view(strata, -1, rows.shape[-1]) for rows in (self.confidence, self.predicted)))


@dataclass(frozen=True)
class Measurement:
    """Everything that verdicts are made from.

    Attributes:
        labels: [n] int64, of the validation images.
        temperature: Fitted on the clean images.
        clean: Of the images as they are, [n].
        operations: What was tried.
        sides: Of each operation.
        answers: Of each operation, [strata of all sides, draws, n].
    """

    labels: Tensor
    temperature: float
    clean: Answers
    operations: tuple[Operation, ...]
    sides: tuple[tuple[Side, ...], ...]
    answers: tuple[Answers, ...]


def strata_of(found: Sequence[Side]) -> list[tuple[float, float]]:
    """The edges of all strata, side after side."""
    return [pair for side in found for pair in zip(side.edges, side.edges[1:], strict=False)]


def measure(
    model: nn.Module,
    val: ImageData,
    operations: Sequence[Operation],
    statistics: Statistics,
    *,
    seed: int,
    bar: bool = True,
) -> Measurement:
    """Asks a network about images as they are and under every operation.

    Every image meets every stratum of every operation; where images are few, up to four times. Operations without a
    magnitude are asked about once: they always do the same.

    Args:
        model: [B, 3, S, S] normalised -> [B, classes]; its mode is left as it was.
        val: Images that it was not trained on.
        operations: What is tried.
        statistics: Mean and standard deviation for normalisation.
        seed: Of the magnitudes.
        bar: Show a progress bar where there is a terminal.

    Raises:
        FloatingPointError: The network's answers are no numbers.
    """
    count = len(val)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    plans = [_plan(operation, count, index, seed) for index, operation in enumerate(operations)]
    answers = [_unanswered(len(plan), count) for plan in plans]
    training = model.training
    model.eval()
    chunks = torch.arange(count).split(_CHUNK)
    with torch.inference_mode(), tqdm(
        total=len(chunks) * (1 + len(plans)), unit="try", desc="trying", disable=None if bar else True, leave=False
    ) as shown:  # fmt: skip
        first = []
        for chunk in chunks:
            first.append(_logits(model, normalized(val.fetch(chunk).to(device), statistics), "as they are"))
            shown.update()
        clean = torch.cat(first)
        temperature = fit_temperature(*with_a_mistake(clean, val.labels))
        for chunk in chunks:
            images = val.fetch(chunk).to(device)
            for operation, plan, found in zip(operations, plans, answers, strict=True):
                for row, draws in enumerate(plan):
                    changed = apply(images, draws[chunk], normalize=statistics)
                    said = _logits(model, changed, f"under {operation.name}")  # not kept: there may be many classes
                    found.confidence[row, chunk], found.predicted[row, chunk] = confidence(said, temperature)
                shown.update()
    model.train(training)
    ranges = tuple(sides(operation) for operation in operations)
    return Measurement(
        val.labels, temperature, Answers(*confidence(clean, temperature)), tuple(operations), ranges,
        tuple(found.by_stratum(len(strata_of(own))) for own, found in zip(ranges, answers, strict=True)),
    )  # fmt: skip


def _unanswered(draws: int, count: int) -> Answers:
    """Room for answers, [draws, count]."""
    return Answers(torch.empty(draws, count, dtype=torch.float64), torch.empty(draws, count, dtype=torch.int64))


def _logits(model: nn.Module, images: Tensor, under: str) -> Tensor:
    """What a network says: [B, classes] float32, on the CPU.

    Args:
        model: In eval mode.
        images: [B, 3, S, S], normalised.
        under: What was done to them, for the message.

    Raises:
        FloatingPointError: Some of it is infinite, or not a number.
    """
    logits: Tensor = model(images).float().cpu()
    odd = int((~logits.isfinite()).any(1).sum())
    if odd:
        raise FloatingPointError(
            f"the trained network's answers to {odd} of {len(logits)} images {under} are infinite or not a number: its "
            "last steps diverged, or it divides by 0 in eval mode. Try a smaller --lr (where there is an --out, in "
            "another folder), or another network."
        )
    return logits


def _plan(operation: Operation, count: int, number: int, seed: int) -> list[Draw]:
    """The draws of every stratum, one after the other."""
    repeats = min(_MOST_DRAWS, math.ceil(_ENOUGH / count)) if operation.has_magnitude else 1
    return [
        draw(INDEX[operation.name], edges, count, (seed, number, stratum, repeat))
        for stratum, edges in enumerate(strata_of(sides(operation)))
        for repeat in range(repeats)
    ]


def repeated(measured: Measurement, number: int, stratum: int, repeat: int, seed: int) -> Draw:
    """The draw that was asked about, again.

    Args:
        measured: The answers.
        number: Of the operation among those that were tried.
        stratum: Of its range.
        repeat: Which of the draws there.
        seed: As ``measure`` had it.
    """
    edges = strata_of(measured.sides[number])[stratum]
    index = INDEX[measured.operations[number].name]
    return draw(index, edges, len(measured.labels), (seed, number, stratum, repeat))
