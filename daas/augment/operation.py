"""Operation: one row carries everything that is known of an operation, its forms included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image

Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Setting:
    """What holds for the whole batch.

    Attributes:
        height: Of the images.
        width: Of the images.
        fill: [C], for geometric operations, of the images' dtype, range and device.
        grey: [C], for Cutout.
        bilinear: Interpolation of geometric operations, instead of the nearest neighbour.
        numbers: 0, 1, 2, ... int64 on the images' device, one for each level, row and column.
        counts: How many images each part of a ``Form``'s group has, in order.
    """

    height: int
    width: int
    fill: Tensor
    grey: Tensor
    bilinear: bool
    numbers: Tensor
    counts: tuple[int, ...] = ()

    @classmethod
    def on_cpu(cls, size: tuple[int, int], colors: Tensor, bilinear: bool = False) -> Setting:
        """For images on the CPU.

        Args:
            size: Height and width of the images.
            colors: [2, C], ``fill`` and ``grey``.
            bilinear: As the attribute.
        """
        return cls(*size, colors[0], colors[1], bilinear, torch.arange(max(256, *size), device="cpu"))


@dataclass(frozen=True)
class Form:
    """How an operation runs on a batch: what is known on the host first, then the images.

    Operations with the same ``run`` run together, as one group; those of the same ``part`` are neighbours in it.

    Attributes:
        run: (images [b, C, H, W], parameters [b, P] on their device, setting) -> [b, C, H, W]; the images stay as they
            are.
        prepare: (value [b], center [b, 2], setting) -> [b, P], what ``run`` needs to know of each image; on the host.
        part: From 0 on; ``setting.counts`` has the images of each.
    """

    run: Callable[[Tensor, Tensor, Setting], Tensor]
    prepare: Callable[[Doubles, Doubles, Setting], Numbers]
    part: int = 0


@dataclass(frozen=True)
class Where:
    """What the Pillow form of an operation may need beside its magnitude.

    Attributes:
        center: In [0, 1), x then y.
        fill: RGB, for pixels that geometric operations bring in.
        bilinear: Interpolation of geometric operations, instead of the nearest neighbour.
    """

    center: tuple[float, float] = (0.5, 0.5)
    fill: tuple[int, int, int] = (0, 0, 0)
    bilinear: bool = False


@dataclass(frozen=True)
class PillowForm:
    """A Pillow form that needs more than the image and the magnitude.

    Attributes:
        run: (image, value, where) -> image.
    """

    run: Callable[[Image.Image, float, Where], Image.Image]


BatchFunction = Callable[[Tensor, Tensor], Tensor]
"""(images [b, C, H, W], value [b] float64) -> [b, C, H, W]: each image by its own value, the input left as it is."""

ImageFunction = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.uint8], float], Any]
"""(source [C, H, W], target [C, H, W], value): fills the target."""

Matrix = Callable[[Doubles, int, int], Doubles]
"""(value [b], height, width) -> [b, 6]: target (x, y) shows source (a x + b y + c, d x + e y + f), in pixels."""


@dataclass(frozen=True)
class PlacedMatrix:
    """An affine map that also depends on where in the image it is.

    Attributes:
        run: (value [b], center [b, 2], height, width) -> [b, 6].
    """

    run: Callable[[Doubles, Doubles, int, int], Doubles]


def affine_map(matrix: Matrix | PlacedMatrix, value: Doubles, center: Doubles, height: int, width: int) -> Doubles:
    """The map of every image, [b, 6].

    Args:
        matrix: Of the operation.
        value: [b], signed.
        center: [b, 2] in [0, 1), x then y; most maps do not depend on it.
        height: Of the images.
        width: Of the images.
    """
    if isinstance(matrix, PlacedMatrix):
        return matrix.run(value, center, height, width)
    return matrix(value, height, width)


Kind = Literal["bytes", "floats", "compiled"]
"""Which form runs: on uint8, on floats, or on uint8 with numba."""


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: As in policy files.
        family: What kind of change it is, for people and tables.
        unit: Of its magnitude, for people; empty where it has none.
        low: First of the ten magnitudes of the search space; None where it has none.
        high: The last.
        signed: Whether the sign is drawn at random when it is applied.
        identity: Magnitude at which nothing changes; None where there is no magnitude.
        smallest: Smallest magnitude that a policy may use; published policies reach beyond the search space.
        largest: The largest.
        whole: Whether a fraction of a magnitude is cut off.
        matrix: Of a geometric operation, its affine map: enough on its own, and what masks, boxes and points follow.
        byte_form: On uint8 batches of any device: a function of (images, value), or a ``Form``.
        float_form: On float batches in [0, 1], with gradients (``quantize=False``); None where it has none.
        pillow_form: On one Pillow image: a function of (image, value), or a ``PillowForm``; the bytes must equal its.
        compiled_form: For numba, on one image: a function of (source [C, H, W], target [C, H, W], value) that fills
            the target; "fused" is the package's own. Without one numba leaves its images to the byte form.

    Example:
        >>> from daas.augment.operation import Operation
        >>> Operation("Invert", byte_form=lambda images, value: 255 - images).has_magnitude
        False
    """

    name: str
    family: str = "own"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    signed: bool = False
    identity: float | None = None
    smallest: float = 0.0
    largest: float = 0.0
    whole: bool = False
    matrix: Matrix | PlacedMatrix | None = None
    byte_form: BatchFunction | Form | None = None
    float_form: BatchFunction | Form | None = None
    pillow_form: Callable[[Image.Image, float], Image.Image] | PillowForm | None = None
    compiled_form: ImageFunction | Literal["fused"] | None = None

    @property
    def has_magnitude(self) -> bool:
        """Whether the operation has a strength at all."""
        return self.low is not None
