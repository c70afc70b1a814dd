"""The search space of augmentation as data: 15 operations, their physical ranges, ten magnitudes each.

Order, ranges and count follow Fast AutoAugment (Lim et al., NeurIPS 2019) and DADA (Li et al., 2020); magnitudes are
one-sided and in physical units, and a random sign is a property of the operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

NUM_MAGNITUDES = 10
Family = Literal["geometric", "point", "histogram", "color", "sharpness", "cutout"]


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: As in policy files.
        family: Operations of a family are applied together.
        unit: Of its magnitude, for people; empty where it has none.
        low: First of the ten magnitudes of the search space; None where it has none.
        high: The last.
        signed: Whether the sign is drawn at random when it is applied.
        identity: Magnitude at which nothing changes; None where there is no magnitude.
        smallest: Smallest magnitude that a policy may use; published policies reach beyond the search space.
        largest: The largest.
    """

    name: str
    family: Family
    unit: str = ""
    low: float | None = None
    high: float | None = None
    signed: bool = False
    identity: float | None = None
    smallest: float = 0.0
    largest: float = 0.0

    @property
    def has_magnitude(self) -> bool:
        """Whether the operation has a strength at all."""
        return self.low is not None


def _signed(name: str, unit: str, high: float, largest: float) -> Operation:
    return Operation(name, "geometric", unit, 0.0, high, signed=True, identity=0.0, largest=largest)


def _factor(name: str, family: Family) -> Operation:
    return Operation(name, family, "factor", 0.1, 1.9, identity=1.0, largest=10.0)


OPERATIONS: tuple[Operation, ...] = (
    _signed("ShearX", "share of the height", 0.3, 2.0),
    _signed("ShearY", "share of the width", 0.3, 2.0),
    _signed("TranslateX", "share of the width", 0.45, 1.0),
    _signed("TranslateY", "share of the height", 0.45, 1.0),
    _signed("Rotate", "degrees", 30.0, 180.0),
    Operation("AutoContrast", "histogram"),
    Operation("Invert", "point"),
    Operation("Equalize", "histogram"),
    Operation("Solarize", "point", "threshold", 0.0, 256.0, identity=256.0, largest=256.0),
    Operation("Posterize", "point", "bits", 4.0, 8.0, identity=8.0, largest=8.0),
    _factor("Contrast", "color"),
    _factor("Color", "color"),
    _factor("Brightness", "color"),
    _factor("Sharpness", "sharpness"),
    Operation("Cutout", "cutout", "share of the size", 0.0, 0.2, identity=0.0, largest=1.0),
)
"""The operations in the order of their index."""

OPERATION_NAMES = tuple(operation.name for operation in OPERATIONS)
INDEX = {name: index for index, name in enumerate(OPERATION_NAMES)}


def magnitude_table() -> Tensor:
    """The ten magnitudes of every operation, uniformly spaced: [15, 10] float64, zeros where there is none."""
    table = torch.zeros(len(OPERATIONS), NUM_MAGNITUDES, dtype=torch.float64)
    for index, operation in enumerate(OPERATIONS):
        if operation.low is not None and operation.high is not None:
            table[index] = torch.linspace(operation.low, operation.high, NUM_MAGNITUDES, dtype=torch.float64)
    return table


def has_magnitude() -> Tensor:
    """[15] bool."""
    return torch.tensor([operation.has_magnitude for operation in OPERATIONS])


def is_signed() -> Tensor:
    """[15] bool, whether the sign is drawn at random when the operation is applied."""
    return torch.tensor([operation.signed for operation in OPERATIONS])
