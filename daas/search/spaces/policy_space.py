"""The policies that are searched, as an object: how many operations in a row, and which."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from daas.augment.space import INDEX, NUM_MAGNITUDES, OPERATION_NAMES, has_magnitude, magnitude_table, named
from daas.augment.uniform import magnitudes
from daas.errors import BadInput, names_checked
from daas.ranges import plain
from daas.search.spaces.policies import IDENTITY, AugmentationDistribution

_MOST = 20_000  # policies, each with probabilities and magnitudes of its own


@names_checked
@dataclass(frozen=True)
class PolicySpace:
    """Policies of a number of slots, each with one of some operations.

    Attributes:
        slots: K, operations that are applied one after the other.
        operations: Their names; the paper's fifteen by default. Base transforms (``HFlip``, ...) and operations that
            ``daas.register_operation`` made are as good, and so is ``Identity``, which changes nothing.
        limits: By name, a magnitude beyond which an operation is not searched, on either side of its identity: a
            factor of 1.5 leaves 0.5 to 1.5. Its ten magnitudes are spaced evenly within.

    Raises:
        BadInput: An unknown operation, one named twice, fewer than two, limits of others or out of range, or more than
            20,000 policies.

    >>> len(PolicySpace(slots=1, operations=["Rotate", "Color", "Cutout"]).distribution().derive().sub_policies)
    3
    """

    slots: int = 2
    operations: Sequence[str] = OPERATION_NAMES
    limits: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = (self.operations,) if isinstance(self.operations, str) else tuple(self.operations)
        object.__setattr__(self, "operations", names)
        object.__setattr__(self, "slots", plain(self.slots))
        object.__setattr__(self, "limits", {name: plain(value) for name, value in self.limits.items()})
        for name in names:
            if name not in (*INDEX, IDENTITY):
                near = difflib.get_close_matches(str(name), (*INDEX, IDENTITY), 1)
                meant = f" Did you mean {near[0]}?" if near else ""
                raise BadInput(f"There is no operation {name!r}.{meant} Known are {', '.join(INDEX)}, and {IDENTITY}.")
        if len(set(names)) < len(names) or len(names) < 2:
            raise BadInput(f"operations is {', '.join(names)}; name at least two operations, each once.")
        if not isinstance(self.slots, int) or self.slots < 1 or len(names) ** self.slots > _MOST:
            raise BadInput(
                f"slots is {self.slots}: {len(names)} operations make {len(names)} to that power policies; there can "
                f"be 1 to {_MOST:,}. Take fewer slots or operations."
            )
        if others := [name for name in self.limits if name not in names]:
            raise BadInput(f"there are limits for {', '.join(others)}; the operations are {', '.join(names)}.")
        self.table()  # raises where a limit cannot be

    def table(self) -> Tensor:
        """The magnitudes of every operation, [O, 10] float64; zeros where it has none."""
        table = torch.zeros(len(self.operations), NUM_MAGNITUDES, dtype=torch.float64)
        for row, name in enumerate(self.operations):
            if name in self.limits:
                values = magnitudes(named(name), self.limits[name], NUM_MAGNITUDES)
                table[row] = torch.tensor(values, dtype=torch.float64)
            elif name != IDENTITY:
                table[row] = magnitude_table([name])[0]
        return table

    def distribution(
        self, generator: torch.Generator | None = None, shared: bool = False, rate: float | None = None
    ) -> AugmentationDistribution:
        """Gamma at its start.

        Args:
            generator: Draws the start of the magnitudes.
            shared: Whether policies with the same operation in a slot share its probability and magnitudes.
            rate: Where the probability with which an image gets its policy at all starts; None for always.
        """
        names = self.operations
        with_magnitude = torch.tensor([name != IDENTITY and bool(has_magnitude([name])) for name in names])
        return AugmentationDistribution(self.slots, self.table(), with_magnitude, generator, shared, names, rate)
