"""A draw on a batch in plain torch: images that run alike are taken together, any device.

What runs on which images is planned on the host from the draw and sent to the device at once; after that nothing
waits for the device.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.operation import Doubles, Form, Kind, Setting
from daas.augment.space import form_of


def run(images: Tensor, draw: Draw, colors: Tensor, bilinear: bool, kind: Kind) -> Tensor:
    """Applies a draw.

    Args:
        images: [B, C, H, W] uint8, or float in [0, 1].
        draw: One row per image, on the CPU.
        colors: [2, C] uint8, what geometric operations and Cutout fill with.
        bilinear: Interpolation of geometric operations, instead of the nearest neighbour.
        kind: Which forms run.

    Returns:
        A new batch of the same shape and dtype, contiguous.

    Raises:
        BadInput: An operation has no such form.
    """
    colors = colors.to(images.device, images.dtype)
    fill, grey = (colors / 255.0 if kind == "floats" else colors).unbind(0)
    setting = Setting(images.shape[2], images.shape[3], fill, grey, bilinear)
    result = images.clone(memory_format=torch.contiguous_format)
    for form, chosen, parameters in _plan(draw, setting, images.device, kind):
        part = form.run(result.index_select(0, chosen), parameters, setting)
        _put(result, chosen, part)
    return result


def _put(images: Tensor, chosen: Tensor, part: Tensor) -> None:
    """``images[chosen] = part``; bytes are moved eight at a time where they can be, as torch moves them one by one."""
    flat, rows = images.flatten(1), part.flatten(1)
    if images.dtype == torch.uint8 and flat.shape[1] % 8 == 0:
        flat, rows = flat.view(torch.int64), rows.contiguous().view(torch.int64)
    flat.index_copy_(0, chosen, rows)


def _plan(draw: Draw, setting: Setting, device: torch.device, kind: Kind) -> list[tuple[Form, Tensor, Tensor]]:
    """Which form runs on which images, in order, with their parameters: one upload per type of number."""
    ops, values, centers = draw.op.numpy(), draw.value.numpy(), draw.center.numpy()
    steps: list[tuple[Form, npt.NDArray[np.int64], Tensor]] = []
    for slot in range(ops.shape[1]):
        steps.extend(_slot(ops[:, slot], values[:, slot], centers[:, slot], setting, kind))
    indices = _upload([torch.from_numpy(rows) for _, rows, _ in steps], device)
    sent: dict[int, Tensor] = {}
    for dtype in {parameters.dtype for *_, parameters in steps}:
        places = [place for place, step in enumerate(steps) if step[2].dtype == dtype]
        sent.update(zip(places, _upload([steps[place][2] for place in places], device), strict=True))
    return [(form, indices[place], sent[place]) for place, (form, *_) in enumerate(steps)]


def _slot(
    op: npt.NDArray[np.int64], value: Doubles, center: Doubles, setting: Setting, kind: Kind
) -> list[tuple[Form, npt.NDArray[np.int64], Tensor]]:
    """One slot: the images of operations that run alike, with their parameters."""
    order = np.argsort(op, kind="stable")
    chosen, starts = np.unique(op[order], return_index=True)
    together: dict[object, list[tuple[Form, npt.NDArray[np.int64]]]] = {}
    for index, rows in zip(chosen.tolist(), np.split(order, starts[1:]), strict=True):
        if index >= 0:
            form = form_of(index, kind)
            together.setdefault(form.run, []).append((form, rows))
    steps = []
    for parts in together.values():
        parameters = np.concatenate([form.prepare(value[rows], center[rows], setting) for form, rows in parts])
        steps.append((parts[0][0], np.concatenate([rows for _, rows in parts]), torch.from_numpy(parameters)))
    return steps


def _upload(parts: list[Tensor], device: torch.device) -> list[Tensor]:
    """Tensors of one type in one transfer."""
    if device.type == "cpu" or not parts:
        return parts
    together = torch.cat([part.flatten() for part in parts]).to(device, non_blocking=True)
    return [flat.view(part.shape) for flat, part in zip(together.split([p.numel() for p in parts]), parts, strict=True)]
