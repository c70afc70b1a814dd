"""The policies that are searched, as an object: how many operations in a row, and which."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from daas.augment.space import INDEX, OPERATION_NAMES, has_magnitude, magnitude_table
from daas.errors import BadInput, names_checked
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

    Raises:
        BadInput: An unknown operation, one named twice, fewer than two, or more than 20,000 policies.

    >>> len(PolicySpace(slots=1, operations=["Rotate", "Color", "Cutout"]).distribution().derive().sub_policies)
    3
    """

    slots: int = 2
    operations: Sequence[str] = OPERATION_NAMES

    def __post_init__(self) -> None:
        names = (self.operations,) if isinstance(self.operations, str) else tuple(self.operations)
        object.__setattr__(self, "operations", names)
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
        real = [name for name in names if name != IDENTITY]
        changes = torch.tensor([name != IDENTITY for name in names])
        known = magnitude_table(real)
        table = torch.zeros(len(names), known.shape[1], dtype=known.dtype)
        with_magnitude = torch.zeros(len(names), dtype=torch.bool)
        table[changes], with_magnitude[changes] = known, has_magnitude(real)
        return AugmentationDistribution(self.slots, table, with_magnitude, generator, shared, names, rate)
