"""``register_operation``: an operation is tried before it is taken."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from daas.augment import forms
from daas.augment.files import shown
from daas.augment.operation import Form, Operation, PillowForm, Setting, Where
from daas.augment.space import INDEX, add, as_form
from daas.errors import BadInput
from daas.ranges import is_number

_SIZES = ((7, 5), (1, 1))
_LARGEST = 1e4  # of any magnitude


def register_operation(operation: Operation) -> Operation:
    """Makes an operation usable in policies, their files, search spaces and drawings, on every backend.

    It is tried first, on small uint8 images of one and three channels and of 1 x 1 and 7 x 5 pixels, at its lowest,
    highest and identity magnitudes. A program registers it wherever it uses it: once, before it loads policies that
    name it, and in modules that worker processes import.

    Args:
        operation: Its row; ``byte_form``, or the ``matrix`` of a geometric one, is the least that it needs.

    Returns:
        The row.

    Raises:
        BadInput: A name that is taken or is none, a range that cannot be, or a form that fails, changes shape or type,
            changes its input or images at the identity, mixes the images of a batch, or differs from the others.

    Example:
        >>> import daas
        >>> mirror = daas.Operation("Swap", byte_form=lambda images, value: images.flip(1))
        >>> daas.register_operation(mirror).name  # doctest: +SKIP
        'Swap'
    """
    if not isinstance(operation, Operation):
        raise BadInput(f"register_operation takes a daas.Operation; found {type(operation).__name__}.")
    _check_name(operation.name)
    _check_range(operation)
    name, form = operation.name, as_form(operation, "bytes")
    if form is None:
        raise BadInput(f"{name} has no byte_form, so nothing could run it: a function of (images uint8 [b, C, H, W], "
                       "value [b]) that gives images; a geometric operation may have a matrix instead.")  # fmt: skip
    if operation.compiled_form == "fused":
        raise BadInput(f"{name}: compiled_form 'fused' is the package's own; give a function, or none.")
    changed = False
    values = _values(operation)
    for channels in (3, 1):
        for height, width in _SIZES:
            images = _images(len(values), channels, height, width)
            result = _tried(f"{name}: the byte form", form, images, values, operation.identity)
            changed = changed or not torch.equal(result, images)
            _same(f"{name}: the Pillow form", _by_pillow(operation), images, values, result)
            _same(f"{name}: the compiled form", _by_compiled(operation), images, values, result)
            floats = as_form(operation, "floats")
            if floats is not None:
                _tried(f"{name}: the float form", floats, images / 255.0, values, operation.identity)
    if not changed:
        raise BadInput(f"{name}: the byte form leaves every image as it is, at {_list(values)}.")
    add(operation)
    return operation


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
        raise BadInput(f"an operation is named by up to 40 letters, digits and _, a letter first; found {shown(name)}.")
    if name in INDEX:
        raise BadInput(f"there is an operation {name} already: choose another name. Known are {', '.join(INDEX)}.")


def _check_range(row: Operation) -> None:
    given = (row.low, row.high, row.identity)
    if all(value is None for value in given):
        if row.signed:
            raise BadInput(f"{row.name} is signed and has no magnitude: low, high and identity say which.")
        return
    bounds = (row.smallest, row.largest)
    low, high, identity, smallest, largest = (value if is_number(value) else math.nan for value in (*given, *bounds))
    inside = smallest <= low < high <= largest and smallest <= identity <= largest
    if not inside or max(abs(smallest), abs(largest)) > _LARGEST:
        raise BadInput(
            f"{row.name}: magnitudes need smallest <= low < high <= largest, the identity among them, none beyond "
            f"{_LARGEST:g}; found smallest {shown(row.smallest)}, low {shown(row.low)}, high {shown(row.high)}, "
            f"largest {shown(row.largest)}, identity {shown(row.identity)}."
        )
    if row.signed and (identity != 0 or smallest < 0):
        raise BadInput(f"{row.name} is signed: its identity is 0 and its smallest magnitude at least 0; found "
                       f"{identity:g} and {smallest:g}.")  # fmt: skip


def _values(row: Operation) -> list[float]:
    """Magnitudes to try: lowest, highest and identity, of the search space and of policies, to both sides."""
    found = {value for value in (row.low, row.high, row.identity, row.smallest, row.largest) if value is not None}
    if not row.has_magnitude:
        return [0.0, 0.0]
    return sorted(found | {-value for value in found} if row.signed else found)


def _images(count: int, channels: int, height: int, width: int) -> Tensor:
    random = torch.Generator().manual_seed(count + channels * height)
    return torch.randint(256, (count, channels, height, width), generator=random, dtype=torch.uint8, device="cpu")


def _tried(what: str, form: Form, images: Tensor, values: list[float], identity: float | None) -> Tensor:
    """The result of a form on a batch, if there is nothing wrong with it."""
    given = images.clone()
    result = _run(what, form, given, values)
    where = f"on {str(images.dtype).removeprefix('torch.')} {list(images.shape)} at {_list(values)}"
    if not isinstance(result, Tensor) or (result.shape, result.dtype) != (images.shape, images.dtype):
        found = f"{result.dtype} {list(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        raise BadInput(f"{what} gives {found} {where}; it gives the images' type and shape.")
    if not torch.equal(given, images):
        raise BadInput(f"{what} changes the images that it is given, {where}; it makes new ones.")
    if not torch.isfinite(result).all():
        raise BadInput(f"{what} gives values that are no numbers, {where}.")
    alone = torch.cat([_run(what, form, images[k : k + 1], values[k : k + 1]) for k in range(len(values))])
    if not torch.allclose(alone.double(), result.double(), rtol=0, atol=0 if result.dtype == torch.uint8 else 1e-5):
        raise BadInput(f"{what} gives an image in a batch other values than alone, {where}; each image and its value "
                       "stand for themselves, and all randomness is in the draw.")  # fmt: skip
    still = [index for index, value in enumerate(values) if value == identity]
    if not torch.allclose(result[still].double(), images[still].double(), rtol=0, atol=1e-5):
        raise BadInput(f"{what} changes images at the identity {identity}, {where}.")
    return result


def _run(what: str, form: Form, images: Tensor, values: list[float]) -> Tensor:
    colors = torch.zeros(2, images.shape[1], dtype=images.dtype, device="cpu")
    setting = replace(Setting.on_cpu(_size(images), colors), counts=(0,) * form.part + (len(images),))
    try:
        prepared = form.prepare(np.array(values), np.full((len(values), 2), 0.5), setting)
        return form.run(images, torch.from_numpy(prepared), setting)
    except Exception as error:  # a form is the caller's code and raises anything; said, never swallowed
        raise BadInput(
            f"{what} fails on {str(images.dtype).removeprefix('torch.')} {list(images.shape)} at {_list(values)}: "
            f"{type(error).__name__}: {error}"
        ) from error


_Images = Callable[[Tensor, list[float]], Tensor]


def _same(what: str, run: _Images | None, images: Tensor, values: list[float], expected: Tensor) -> None:
    if run is None:
        return
    where = f"on uint8 {list(images.shape)} at {_list(values)}"
    try:
        result = run(images, values)
        if result.shape != expected.shape:
            raise ValueError(f"it gives images {list(result.shape)}")
    except Exception as error:  # the same, of the Pillow and the compiled form
        raise BadInput(f"{what} fails {where}: {type(error).__name__}: {error}") from error
    if not torch.equal(result, expected):
        off = int((result.int() - expected.int()).abs().max())
        raise BadInput(f"{what} differs from the byte form by up to {off} levels, {where}; they are equal to the bit.")


def _by_pillow(row: Operation) -> _Images | None:
    form = row.pillow_form
    if form is None:
        return None
    from PIL import Image

    def run(images: Tensor, values: list[float]) -> Tensor:
        done = []
        for image, value in zip(images.permute(0, 2, 3, 1).contiguous().numpy(), values, strict=True):
            given = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0])
            found = form.run(given, value, Where()) if isinstance(form, PillowForm) else form(given, value)
            done.append(torch.from_numpy(np.array(found)).view(*images.shape[2:], -1))
        return torch.stack(done).permute(0, 3, 1, 2)

    return run


def _by_compiled(row: Operation) -> _Images | None:
    form = row.compiled_form
    if not callable(form):
        return None
    each = forms.each(form)

    def run(images: Tensor, values: list[float]) -> Tensor:
        setting = Setting.on_cpu(_size(images), torch.zeros(2, images.shape[1], dtype=torch.uint8, device="cpu"))
        return each.run(images, torch.tensor(values, dtype=torch.float64, device="cpu")[:, None], setting)

    return run


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


def _list(values: list[float]) -> str:
    return f"values {', '.join(f'{value:g}' for value in values)}"
