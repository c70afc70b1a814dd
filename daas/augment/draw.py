"""Draw: which operation, with what value, on which image. All randomness of an augmentation ends here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daas.augment.files import DRAW_FORMAT, check_keys, read_json, write_json
from daas.augment.space import BASE, INDEX, OPERATIONS, at, known, named, signs
from daas.errors import BadInput

_LARGEST_VALUE = 1e4
_SHOWN = 32  # images that print shows
_OWN = len(OPERATIONS) + len(BASE)  # operations whose index is the same in every process


@dataclass(frozen=True)
class Draw:
    """What happens to each image of a batch; applying it involves no randomness.

    Attributes:
        op: [B, K] int64, index of ``daas.augment.space.INDEX``, -1 where nothing is applied.
        value: [B, K] float64, physical and signed.
        center: [B, K, 2] float64 in [0, 1), x then y: where Cutout is centred and a crop lies.
    """

    op: Tensor
    value: Tensor
    center: Tensor

    def __post_init__(self) -> None:
        if self.op.ndim != 2 or self.value.shape != self.op.shape or self.center.shape != (*self.op.shape, 2):
            raise BadInput(
                f"a Draw needs op [B, K], value [B, K] and center [B, K, 2]; found {tuple(self.op.shape)}, "
                f"{tuple(self.value.shape)} and {tuple(self.center.shape)}"
            )

    @classmethod
    def from_choices(cls, op: Tensor, value: Tensor, applied: Tensor, generator: torch.Generator | None) -> Draw:
        """Draws what a policy leaves open: the signs of signed operations, where Cutout and crops lie.

        Args:
            op: [B, K] int64.
            value: [B, K] float64, magnitudes as policies have them: one-sided.
            applied: [B, K] bool.
            generator: Source of randomness, on the CPU.
        """
        return cls.from_arrays(op.cpu().numpy(), value.cpu().numpy(), applied.cpu().numpy(), generator)

    @classmethod
    def from_arrays(
        cls,
        op: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
        applied: npt.NDArray[np.bool_],
        generator: torch.Generator | None,
    ) -> Draw:
        """``from_choices`` on NumPy arrays, which for a batch's few numbers costs a third of torch's calls."""
        random = torch.rand(*op.shape, 3, generator=generator, dtype=torch.float64, device="cpu").numpy()
        kept = applied & (op >= 0)
        negative = (random[..., 0] < 0.5) & signs().numpy()[op]
        value = np.where(kept, np.where(negative, -value, value), 0.0)
        return cls(*map(torch.from_numpy, (np.where(kept, op, -1), value, random[..., 1:].copy())))

    @classmethod
    def concat(cls, draws: Sequence[Draw]) -> Draw:
        """Draws of several batches, one after the other."""
        return cls(*(torch.cat([getattr(draw, name) for draw in draws]) for name in ("op", "value", "center")))

    def __reduce__(self) -> tuple[Any, ...]:
        """Registered operations by name: another process may have registered them in another order."""
        names = tuple(row.name for row in known()[_OWN:])
        return _restored, (self.op, self.value, self.center, names)

    def __len__(self) -> int:
        return len(self.op)

    def __getitem__(self, images: slice | Tensor | list[int]) -> Draw:
        """The draw of some of the images."""
        return Draw(self.op[images], self.value[images], self.center[images])

    def to(self, device: torch.device | str) -> Draw:
        """The draw on another device."""
        return Draw(self.op.to(device), self.value.to(device), self.center.to(device))

    def check(self) -> None:
        """Refuses what cannot be applied; everything that applies draws asks this first.

        Raises:
            BadInput: An operation that does not exist, a value that is not a number or beyond all sense, or a centre
                outside of the image.
        """
        if self.op.numel() == 0:
            return
        op, value, center = self.op.numpy(), self.value.numpy(), self.center.numpy()
        if op.min() < -1 or op.max() >= len(INDEX):
            raise BadInput(
                f"the draw has operations from {op.min()} to {op.max()}; there are -1 (none) to {len(INDEX) - 1}."
            )
        if not np.abs(value).max() <= _LARGEST_VALUE:
            raise BadInput(f"the draw has the value {np.abs(value).max()}; magnitudes are at most {_LARGEST_VALUE:g}.")
        if not (center.min() >= 0.0 and center.max() < 1.0):
            raise BadInput(f"the draw has centres from {center.min()} to {center.max()}; they lie in [0, 1).")

    def to_dict(self) -> dict[str, Any]:
        """JSON values, exact (floats with all their digits), the operations by name; null is none."""
        op = [[at(o).name if o >= 0 else None for o in row] for row in self.op.tolist()]
        return {"format": DRAW_FORMAT, "op": op, "value": self.value.tolist(), "center": self.center.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Draw:
        """The inverse of ``to_dict``.

        Raises:
            BadInput: Another format, missing or unknown keys, lists of different sizes, or what ``check`` refuses.
        """
        if not isinstance(values, Mapping) or values.get("format") != DRAW_FORMAT:
            raise BadInput(f"a draw is a JSON object with the format {DRAW_FORMAT!r}; found {str(values)[:80]}.")
        check_keys("draw", values, ("format", "op", "value", "center"))
        try:
            op = [[-1 if name is None else INDEX[name] for name in row] for row in values["op"]]
            shape = (len(op), len(op[0]) if op else 0)
            value, center = (
                torch.tensor(values[key], dtype=torch.float64, device="cpu") for key in ("value", "center")
            )
            chosen = torch.tensor(op, dtype=torch.int64, device="cpu").view(shape)
            draw = cls(chosen, value.view(shape), center.view(*shape, 2))
        except KeyError as error:
            raise BadInput(f"draw: unknown operation {error}; known are {', '.join(INDEX)}.") from error
        except (TypeError, ValueError, RuntimeError) as error:
            raise BadInput(
                f"draw: op and value are [images, slots], center has two numbers for each ({error})."
            ) from error
        draw.check()
        return draw

    def save(self, path: str | Path) -> None:
        """Writes a JSON file, whole, or leaves what was there."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Draw:
        """Reads a file of ``save``.

        Raises:
            BadInput: No such file, no JSON, or no draw.
        """
        return cls.from_dict(read_json(path, "draw"))

    def describe(self, image: int) -> list[str]:
        """In words, what happens to one image: one entry per applied operation."""
        lines = []
        for op, value in zip(self.op[image].tolist(), self.value[image].tolist(), strict=True):
            if op >= 0:
                row = at(op)
                lines.append(f"{row.name} {value + 0.0:.3g}" if row.has_magnitude else row.name)
        return lines

    def __str__(self) -> str:
        """One line per image, as far as a screen goes."""
        shown = min(len(self), _SHOWN)
        lines = [f"{image:4d}  {', '.join(self.describe(image)) or '-'}" for image in range(shown)]
        more = [f"and {len(self) - shown} more"] if shown < len(self) else []
        return "\n".join([f"Draw of {self.op.shape[1]} operations for each of {len(self)} images", *lines, *more])


def _restored(op: Tensor, value: Tensor, center: Tensor, names: tuple[str, ...]) -> Draw:
    """A draw of another process, where these operations were registered."""
    if names and names != tuple(row.name for row in known()[_OWN:]):
        used = {index: INDEX[named(names[index - _OWN]).name] for index in op.unique().tolist() if index >= _OWN}
        there = op.clone()
        for index, here in used.items():
            op = torch.where(there == index, here, op)
    return Draw(op, value, center)
