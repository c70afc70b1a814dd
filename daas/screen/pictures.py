"""The images of which the network was sure and wrong under an operation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from daas.augment.ops import apply
from daas.data import ImageData
from daas.screen.measure import Measurement, repeated
from daas.screen.result import Picture, Seen
from daas.screen.using import worth_showing

PER_OPERATION = 6


def sure_and_wrong(
    measured: Measurement, val: ImageData, rows: Sequence[Seen], seed: int, most: int = PER_OPERATION
) -> tuple[Picture, ...]:
    """The surest mistakes about images that are recognised as they are, one per image.

    Args:
        measured: All answers.
        val: The images that were asked about.
        rows: What was seen; only operations that are worth showing get pictures.
        seed: Of the magnitudes, as ``measure`` had it.
        most: Pictures of an operation.
    """
    numbers = {operation.name: number for number, operation in enumerate(measured.operations)}
    known = measured.clean.predicted == measured.labels
    found: list[Picture] = []
    for row in rows:
        if not worth_showing(row):
            continue
        number = numbers[row.op]
        under = measured.answers[number]
        sure = torch.where((under.predicted != measured.labels) & known, under.confidence, -1.0)
        best = sure.flatten(0, 1).max(0)  # of each image its surest mistake
        for image in best.values.argsort(descending=True, stable=True)[:most].tolist():
            if best.values[image] < 0:
                break
            stratum, repeat = divmod(int(best.indices[image]), under.predicted.shape[1])
            draw = repeated(measured, number, stratum, repeat, seed)[[image]]
            before = val.fetch(torch.tensor([image])).cpu()
            said = int(under.predicted[stratum, repeat, image])
            found.append(
                Picture(
                    op=row.op,
                    said=", ".join(draw.describe(0)),
                    before=before[0],
                    after=apply(before, draw)[0],
                    label=val.class_names[int(measured.labels[image])],
                    taken_for=val.class_names[said],
                    confidence=100 * float(best.values[image]),
                )
            )
    return tuple(found)
