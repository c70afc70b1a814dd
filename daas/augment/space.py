"""The operations as data: the 15 of the search space, the base transforms, and those that a program registers.

Order, ranges and count of the 15 follow Fast AutoAugment (Lim et al., NeurIPS 2019) and DADA (Li et al., 2020);
magnitudes are one-sided and in physical units, and a random sign is a property of the operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from daas.augment import affine
from daas.augment import differentiable as soft
from daas.augment import forms as own
from daas.augment.files import shown
from daas.augment.operation import (
    Doubles,
    Form,
    Kind,
    Matrix,
    Operation,
    PillowForm,
    PlacedMatrix,
    Where,
    affine_map,
)
from daas.errors import BadInput

if TYPE_CHECKING:
    from PIL import Image

NUM_MAGNITUDES = 10


def _pillow(name: str) -> PillowForm:
    def run(image: Image.Image, value: float, where: Where) -> Image.Image:
        from daas.augment.standalone import apply_one  # at need: it brings torchvision's transforms

        return apply_one(image, name, value, where.center, where.fill, where.bilinear)

    return PillowForm(run)


def _own(row: Operation, byte: Form, floats: Form) -> Operation:
    """A row of the package's own, compiled together with the others."""
    return replace(row, byte_form=byte, float_form=floats, pillow_form=_pillow(row.name), compiled_form="fused")


def _geometric(row: Operation, matrix: Matrix | PlacedMatrix) -> Operation:
    return replace(_own(row, own.affine(matrix), soft.affine(matrix)), matrix=matrix)


def _moved(name: str, matrix: Matrix) -> Operation:
    return _geometric(Operation(name, "geometric"), matrix)


def _signed(name: str, unit: str, high: float, largest: float, matrix: Matrix) -> Operation:
    return _geometric(Operation(name, "geometric", unit, 0.0, high, signed=True, identity=0.0, largest=largest), matrix)


def _factor(name: str, family: str, byte: Form, floats: Form) -> Operation:
    return _own(Operation(name, family, "factor", 0.1, 1.9, identity=1.0, largest=10.0), byte, floats)


def _levels(name: str, unit: str, low: float, high: float, forms: tuple[Form, Form], whole: bool = False) -> Operation:
    return _own(Operation(name, "point", unit, low, high, identity=high, largest=high, whole=whole), *forms)


OPERATIONS: tuple[Operation, ...] = (
    _signed("ShearX", "share of the height", 0.3, 2.0, affine.shear_x),
    _signed("ShearY", "share of the width", 0.3, 2.0, affine.shear_y),
    _signed("TranslateX", "share of the width", 0.45, 1.0, affine.translate_x),
    _signed("TranslateY", "share of the height", 0.45, 1.0, affine.translate_y),
    _signed("Rotate", "degrees", 30.0, 180.0, affine.rotate),
    _own(Operation("AutoContrast", "histogram"), own.AUTOCONTRAST, soft.AUTOCONTRAST),
    _own(Operation("Invert", "point"), own.INVERT, soft.INVERT),
    _own(Operation("Equalize", "histogram"), own.EQUALIZE, soft.EQUALIZE),
    _levels("Solarize", "threshold", 0.0, 256.0, (own.SOLARIZE, soft.SOLARIZE)),
    _levels("Posterize", "bits", 4.0, 8.0, (own.POSTERIZE, soft.POSTERIZE), whole=True),
    _factor("Contrast", "color", own.CONTRAST, soft.CONTRAST),
    _factor("Color", "color", own.COLOR, soft.COLOR),
    _factor("Brightness", "color", own.BRIGHTNESS, soft.BRIGHTNESS),
    _factor("Sharpness", "sharpness", own.SHARPNESS, soft.SHARPNESS),
    _own(
        Operation("Cutout", "cutout", "share of the size", 0.0, 0.2, identity=0.0, largest=1.0), own.CUTOUT, own.CUTOUT
    ),
)
"""The search space, in the order of the index."""

BASE: tuple[Operation, ...] = (
    _moved("HFlip", affine.flip_x),
    _moved("VFlip", affine.flip_y),
    _signed("Rot90", "quarter turns", 2.0, 2.0, affine.quarter_turns),
    _own(Operation("Grayscale", "color"), own.GRAYSCALE, soft.GRAYSCALE),
    _geometric(
        Operation("Crop", "geometric", "share of the size", 0.0, 0.7, identity=0.0, largest=0.9),
        PlacedMatrix(affine.crop),
    ),
)
"""Base transforms: usable in any policy, and not in the search space unless it names them."""

OPERATION_NAMES = tuple(operation.name for operation in OPERATIONS)
"""The names of the search space."""

_all: list[Operation] = []  # by index
_forms: dict[Kind, list[Form | None]] = {"bytes": [], "floats": [], "compiled": []}
_signs = _fused = torch.zeros(1, dtype=torch.bool, device="cpu")  # by index; the last entry is that of -1, nothing

INDEX: dict[str, int] = {}
"""Index of every known operation: the search space, the base transforms, then registered ones, in this order."""


def add(operation: Operation) -> None:
    """Appends a row that is known to work; ``daas.register_operation`` tries one first."""
    INDEX[operation.name] = len(_all)
    _all.append(operation)
    _forms["bytes"].append(as_form(operation, "bytes"))
    _forms["floats"].append(as_form(operation, "floats"))
    compiled = operation.compiled_form
    _forms["compiled"].append(own.each(compiled) if callable(compiled) else _forms["bytes"][-1])
    _refresh()


def _refresh() -> None:
    global _signs, _fused
    _signs = torch.tensor([*(row.signed for row in _all), False], device="cpu")
    _fused = torch.tensor([*(row.compiled_form == "fused" for row in _all), True], device="cpu")


def as_form(operation: Operation, kind: Literal["bytes", "floats"]) -> Form | None:
    """How an operation runs on bytes or floats, a function as a form; where there is none, the affine map."""
    form = operation.byte_form if kind == "bytes" else operation.float_form
    if form is None:
        if operation.matrix is None:
            return None
        return own.affine(operation.matrix) if kind == "bytes" else soft.affine(operation.matrix)
    return form if isinstance(form, Form) else own.plain(form)


for _row in (*OPERATIONS, *BASE):
    add(_row)


def known() -> tuple[Operation, ...]:
    """Every operation there is, by index."""
    return tuple(_all)


def named(name: str) -> Operation:
    """The operation of a name.

    Raises:
        BadInput: There is none of that name; the known ones are listed.
    """
    if not isinstance(name, str) or name not in INDEX:
        raise BadInput(f"unknown operation {shown(name)}; known are {', '.join(INDEX)}.")
    return _all[INDEX[name]]


def at(index: int) -> Operation:
    """The operation of an index."""
    return _all[index]


def form_of(index: int, kind: Kind) -> Form:
    """How an operation runs on a batch; without a compiled form of its own numba takes that of bytes.

    Raises:
        BadInput: It has no float form.
    """
    form = _forms[kind][index]
    if form is None:
        raise BadInput(
            f"{_all[index].name} has no float form, which quantize=False needs. quantize=True rounds to 256 levels and "
            "takes its byte form; Operation(..., float_form=...) gives it one."
        )
    return form


def operations(names: Sequence[str] | None = None) -> tuple[Operation, ...]:
    """The operations of names, in their order; the search space by default.

    Raises:
        BadInput: No names, an unknown one, or one that occurs twice.
    """
    if names is None:
        return OPERATIONS
    if isinstance(names, str) or not names or len(set(names)) < len(names):
        raise BadInput(f"operations are a list of different names, at least one; found {shown(names)}.")
    return tuple(named(name) for name in names)


def indices(names: Sequence[str] | None = None) -> Tensor:
    """Index of each operation as a ``Draw`` has it: [O] int64."""
    return torch.tensor([INDEX[row.name] for row in operations(names)], device="cpu")


def magnitude_table(names: Sequence[str] | None = None) -> Tensor:
    """The ten magnitudes of operations, uniformly spaced: [O, 10] float64, zeros where there is none.

    Args:
        names: Of the operations; the search space by default.
    """
    rows = operations(names)
    table = torch.zeros(len(rows), NUM_MAGNITUDES, dtype=torch.float64, device="cpu")
    for index, row in enumerate(rows):
        if row.low is not None and row.high is not None:
            table[index] = torch.linspace(row.low, row.high, NUM_MAGNITUDES, dtype=torch.float64, device="cpu")
    return table


def has_magnitude(names: Sequence[str] | None = None) -> Tensor:
    """Whether operations have a strength: [O] bool."""
    return torch.tensor([row.has_magnitude for row in operations(names)], device="cpu")


def is_signed(names: Sequence[str] | None = None) -> Tensor:
    """Whether the sign of operations is drawn at random when they are applied: [O] bool."""
    return torch.tensor([row.signed for row in operations(names)], device="cpu")


def signs() -> Tensor:
    """Whether the sign is drawn, by index: [all + 1] bool; the last entry is that of -1, nothing."""
    return _signs


def all_fused(op: Tensor) -> Tensor:
    """Whether the compiled code has every operation of an image: [B, K] -> [B] bool."""
    return _fused[op].all(1)


def only_fused() -> bool:
    """Whether the compiled code has every operation that there is."""
    return bool(_fused.all())


def matrices(
    op: np.ndarray[tuple[int], np.dtype[np.int64]], value: Doubles, center: Doubles, height: int, width: int
) -> Doubles:
    """Affine maps of geometric operations: target (x, y) shows source (a x + b y + c, d x + e y + f).

    Args:
        op: [b], indices of operations with a ``matrix``.
        value: [b], signed.
        center: [b, 2] in [0, 1), x then y.
        height: Of the images.
        width: Of the images.

    Returns:
        [b, 6]: a, b, c, d, e, f, in pixels from the images' corner.
    """
    result = np.empty((len(op), 6))
    for index in np.unique(op).tolist():
        matrix, chosen = _all[index].matrix, op == index
        assert matrix is not None, f"{_all[index].name} is not geometric"
        result[chosen] = affine_map(matrix, value[chosen], center[chosen], height, width)
    return result
