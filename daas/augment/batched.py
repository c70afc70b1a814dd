"""A draw on a batch in plain torch: images that run alike are neighbours and run together, any device.

What runs on which images is planned on the host from the draw and sent to the device at once; after that nothing
waits for the device. Per slot there is one launch that puts the images in order, what each group of operations
launches, and one that puts the groups together: how many sub-policies and images there are makes no difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.operation import Doubles, Form, Kind, Numbers, Setting
from daas.augment.space import form_of
from daas.sending import sent

_Whole = npt.NDArray[np.int64]
_WORD = 8  # bytes: where each array of an upload starts, so that any type can be seen there


@dataclass(frozen=True)
class _Group:
    """Neighbours that run together.

    Attributes:
        form: What runs; None: nothing does.
        counts: Images of each of its parts.
        parameters: [b, P], of the form.
    """

    form: Form | None
    counts: tuple[int, ...]
    parameters: Numbers


def run(images: Tensor, draw: Draw, colors: Tensor, bilinear: bool, kind: Kind) -> Tensor:
    """Applies a draw.

    Args:
        images: [B, C, H, W] uint8, or float in [0, 1].
        draw: One row per image, on the CPU.
        colors: [2, C] uint8, on the CPU: what geometric operations and Cutout fill with.
        bilinear: Interpolation of geometric operations, instead of the nearest neighbour.
        kind: Which forms run.

    Returns:
        A new batch of the same shape and dtype, contiguous.

    Raises:
        BadInput: An operation has no such form.
    """
    colors = colors.to(images.dtype)
    size = (images.shape[2], images.shape[3])
    here = Setting.on_cpu(size, colors / 255.0 if kind == "floats" else colors, bilinear)
    slots, moves = _plan(draw, here, kind)
    parameters = [group.parameters for groups in slots for group in groups]
    fill, grey, numbers, *sent = _upload(
        [here.fill.numpy(), here.grey.numpy(), here.numbers.numpy(), *moves, *parameters], images.device
    )
    setting = replace(here, fill=fill, grey=grey, numbers=numbers)
    *moves_there, back = sent[: len(moves)]
    waiting = iter(sent[len(moves) :])
    result = images
    for groups, move in zip(slots, moves_there, strict=True):
        result = _slot(result.index_select(0, move), [(group, next(waiting)) for group in groups], setting)
    return result.index_select(0, back).contiguous()


def _slot(images: Tensor, groups: list[tuple[_Group, Tensor]], setting: Setting) -> Tensor:
    """One slot on images in the order of its groups."""
    parts = images.split([sum(group.counts) for group, _ in groups])
    done = [
        part if group.form is None else group.form.run(part, parameters, replace(setting, counts=group.counts))
        for part, (group, parameters) in zip(parts, groups, strict=True)
    ]
    return done[0] if len(done) == 1 else torch.cat(done)


def _plan(draw: Draw, setting: Setting, kind: Kind) -> tuple[list[list[_Group]], list[_Whole]]:
    """Which groups each slot has, and how the images move between them: one move before each slot, one at the end."""
    ops, values, centers = draw.op.numpy(), draw.value.numpy(), draw.center.numpy()
    place = np.arange(len(ops))  # of each image of the batch
    slots: list[list[_Group]] = []
    moves: list[_Whole] = []
    for slot in range(ops.shape[1]):
        if (ops[:, slot] < 0).all():
            continue
        groups, order = _order(ops[:, slot], kind)
        moves.append(place[order])
        place = np.argsort(order)
        value, center = values[order, slot], centers[order, slot]
        starts = np.cumsum([0, *(sum(count for _, count in members) for members in groups)])
        slots.append(
            [
                _group(members, value[start:stop], center[start:stop], setting)
                for members, start, stop in zip(groups, starts, starts[1:], strict=False)
            ]
        )
    return slots, [*moves, place]


def _group(members: list[tuple[Form | None, int]], value: Doubles, center: Doubles, setting: Setting) -> _Group:
    """Forms that run together, each with how many images it has; their values and centres one after the other."""
    if members[0][0] is None:
        return _Group(None, (len(value),), np.empty((0, 0), np.uint8))
    counts = [0] * (1 + max(form.part for form, _ in members if form))
    prepared, start = [], 0
    for form, count in members:
        assert form is not None, "nothing runs with something"
        counts[form.part] += count
        prepared.append(form.prepare(value[start : start + count], center[start : start + count], setting))
        start += count
    return _Group(members[0][0], tuple(counts), np.concatenate(prepared))


def _order(op: _Whole, kind: Kind) -> tuple[list[list[tuple[Form | None, int]]], _Whole]:
    """The groups of one slot, each as its forms and how many images they have; the images in this order."""
    present, counts = np.unique(op, return_counts=True)
    together: dict[object, list[tuple[int, int, Form | None, int]]] = {}
    for index, count in zip(present.tolist(), counts.tolist(), strict=True):
        form = form_of(index, kind) if index >= 0 else None
        part = form.part if form else 0
        together.setdefault(form and form.run, []).append((part, index, form, count))
    groups = [sorted(members, key=lambda member: member[:2]) for members in together.values()]
    rank = np.empty(int(present[-1]) + 2, np.int64)  # the last entry is that of -1, nothing
    for position, (_, index, _, _) in enumerate(member for members in groups for member in members):
        rank[index] = position
    return [[member[2:] for member in members] for members in groups], np.argsort(rank[op], kind="stable")


def _upload(arrays: list[Numbers], device: torch.device) -> list[Tensor]:
    """Arrays of any types in one transfer."""
    if device.type == "cpu":
        return [torch.from_numpy(array) for array in arrays]
    starts = np.cumsum([0, *(-(-array.nbytes // _WORD) * _WORD for array in arrays)]).tolist()
    packed = np.zeros(starts[-1], np.uint8)
    for start, array in zip(starts, arrays, strict=False):
        packed[start : start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    there = sent(torch.from_numpy(packed), device)
    return [
        there[start : start + array.nbytes].view(torch.from_numpy(array[:0]).dtype).view(array.shape)
        for start, array in zip(starts, arrays, strict=False)
    ]
