"""Draw: which operation, with what value, on which image. All randomness of an augmentation ends here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from daas.augment.space import OPERATIONS, is_signed


@dataclass(frozen=True)
class Draw:
    """What happens to each image of a batch; applying it involves no randomness.

    Attributes:
        op: [B, K] int64, index in ``OPERATION_NAMES``, -1 where nothing is applied.
        value: [B, K] float64, physical and signed.
        center: [B, K, 2] float64 in [0, 1), x then y: where Cutout is centred.
    """

    op: Tensor
    value: Tensor
    center: Tensor

    def __post_init__(self) -> None:
        if self.op.ndim != 2 or self.value.shape != self.op.shape or self.center.shape != (*self.op.shape, 2):
            raise ValueError(
                f"a Draw needs op [B, K], value [B, K] and center [B, K, 2]; found {tuple(self.op.shape)}, "
                f"{tuple(self.value.shape)} and {tuple(self.center.shape)}"
            )

    @classmethod
    def from_choices(cls, op: Tensor, value: Tensor, applied: Tensor, generator: torch.Generator | None) -> Draw:
        """Draws what a policy leaves open: the signs of signed operations and the centres of Cutout.

        Args:
            op: [B, K] int64.
            value: [B, K] float64, magnitudes as policies have them: one-sided.
            applied: [B, K] bool.
            generator: Source of randomness, on the device of ``op``.
        """
        rows, slots = op.shape
        random = torch.rand(rows, slots, 3, generator=generator, dtype=torch.float64, device=op.device)
        negative = (random[..., 0] < 0.5) & is_signed().to(op.device)[op.clamp_min(0)]
        value = torch.where(negative, -value, value)
        nothing = ~applied | (op < 0)
        return cls(
            torch.where(nothing, -1, op), torch.where(nothing, torch.zeros_like(value), value), random[..., 1:].clone()
        )

    @classmethod
    def concat(cls, draws: Sequence[Draw]) -> Draw:
        """Draws of several batches, one after the other."""
        return cls(*(torch.cat([getattr(draw, name) for draw in draws]) for name in ("op", "value", "center")))

    def __len__(self) -> int:
        return len(self.op)

    def __getitem__(self, images: slice | Tensor | list[int]) -> Draw:
        """The draw of some of the images."""
        return Draw(self.op[images], self.value[images], self.center[images])

    def to(self, device: torch.device | str) -> Draw:
        """The draw on another device."""
        return Draw(self.op.to(device), self.value.to(device), self.center.to(device))

    def to_dict(self) -> dict[str, Any]:
        """JSON values, exact: floats are written with all their digits."""
        return {"op": self.op.tolist(), "value": self.value.tolist(), "center": self.center.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Draw:
        """The inverse of ``to_dict``."""
        op = torch.tensor(values["op"], dtype=torch.int64)
        value, center = (torch.tensor(values[key], dtype=torch.float64) for key in ("value", "center"))
        return cls(op, value, center)

    def describe(self, image: int) -> list[str]:
        """In words, what happens to one image: one entry per applied operation."""
        lines = []
        for op, value in zip(self.op[image].tolist(), self.value[image].tolist(), strict=True):
            if op >= 0:
                lines.append(
                    f"{OPERATIONS[op].name} {value:.3g}" if OPERATIONS[op].has_magnitude else OPERATIONS[op].name
                )
        return lines
