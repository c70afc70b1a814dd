"""The 15 operations on a batch in plain torch, grouped by family, one value per image: any device.

What runs on which images is planned on the host from the draw and sent to the device at once; after that nothing
waits for the device. Kornia's functional operations are not used: its equalize and posterize gather in int64, its
sharpness is a grouped convolution, its warp rounds differently, its normalize_min_max turns constant images black, its
contrast, brightness and saturation are other operations or do not truncate where Pillow does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daas.augment import enhance, geometry
from daas.augment.draw import Draw
from daas.augment.space import INDEX, OPERATION_NAMES

_Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Setting:
    """What holds for the whole batch.

    Attributes:
        height: Of the images.
        width: Of the images.
        fill: [C], for geometric operations, of the images' dtype and device.
        grey: [C], for Cutout.
        bilinear: Interpolation of geometric operations, instead of the nearest neighbour.
        exact: 256 levels, truncated where Pillow truncates; otherwise floats on the scale 0 to 255.
    """

    height: int
    width: int
    fill: Tensor
    grey: Tensor
    bilinear: bool
    exact: bool


_Prepare = Callable[[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64], Setting], _Array]
_Run = Callable[[Tensor, Tensor, Setting], Tensor]


@dataclass(frozen=True)
class Family:
    """Operations that run together.

    Attributes:
        members: Their names.
        prepare: (op [b], value [b], center [b, 2], setting) -> [b, P], what ``run`` needs to know of each image; on the
            host.
        run: (images [b, C, H, W], those parameters on the device, setting) -> [b, C, H, W].
    """

    members: tuple[str, ...]
    prepare: _Prepare
    run: _Run


def run(images: Tensor, draw: Draw, colors: Tensor, bilinear: bool, exact: bool) -> Tensor:
    """Applies a draw.

    Args:
        images: [B, C, H, W] uint8, or float on the scale 0 to 255.
        draw: One row per image, on the CPU.
        colors: [2, C] uint8, what geometric operations and Cutout fill with.
        bilinear: Interpolation of geometric operations, instead of the nearest neighbour.
        exact: True for uint8.

    Returns:
        A new batch of the same shape and dtype, contiguous.
    """
    fill, grey = colors.to(images.device, images.dtype).unbind(0)
    setting = Setting(images.shape[2], images.shape[3], fill, grey, bilinear, exact)
    result = images.clone(memory_format=torch.contiguous_format)
    for family, chosen, parameters in _plan(draw, setting, images.device):
        part = family.run(result.index_select(0, chosen), parameters, setting)
        _put(result, chosen, part)
    return result


def _put(images: Tensor, chosen: Tensor, part: Tensor) -> None:
    """``images[chosen] = part``; bytes are moved eight at a time where they can be, as torch moves them one by one."""
    flat, rows = images.flatten(1), part.flatten(1)
    if images.dtype == torch.uint8 and flat.shape[1] % 8 == 0:
        flat, rows = flat.view(torch.int64), rows.contiguous().view(torch.int64)
    flat.index_copy_(0, chosen, rows)


def _plan(draw: Draw, setting: Setting, device: torch.device) -> list[tuple[Family, Tensor, Tensor]]:
    """Which family runs on which images, in order, with their parameters: one upload per type of number."""
    ops, values, centers = draw.op.numpy(), draw.value.numpy(), draw.center.numpy()
    steps: list[tuple[Family, npt.NDArray[np.int64], Tensor]] = []
    for slot in range(ops.shape[1]):
        op, value, center = ops[:, slot], values[:, slot], centers[:, slot]
        numbers = _FAMILY_OF[op]
        order = np.argsort(numbers, kind="stable")
        ends = np.searchsorted(numbers[order], np.arange(len(FAMILIES) + 1))
        for number, family in enumerate(FAMILIES):
            rows = order[ends[number] : ends[number + 1]]
            if len(rows):
                parameters = family.prepare(op[rows], value[rows], center[rows], setting)
                steps.append((family, rows, torch.from_numpy(parameters)))
    indices = _upload([torch.from_numpy(rows) for _, rows, _ in steps], device)
    sent: dict[int, Tensor] = {}
    for dtype in {parameters.dtype for *_, parameters in steps}:
        places = [place for place, step in enumerate(steps) if step[2].dtype == dtype]
        sent.update(zip(places, _upload([steps[place][2] for place in places], device), strict=True))
    return [(family, indices[place], sent[place]) for place, (family, *_) in enumerate(steps)]


def _upload(parts: list[Tensor], device: torch.device) -> list[Tensor]:
    """Tensors of one type in one transfer."""
    if device.type == "cpu" or not parts:
        return parts
    together = torch.cat([part.flatten() for part in parts]).to(device, non_blocking=True)
    return [flat.view(part.shape) for flat, part in zip(together.split([p.numel() for p in parts]), parts, strict=True)]


def _no_parameters(op: _Array, value: _Array, center: _Array, setting: Setting) -> _Array:
    return np.empty((len(op), 0), np.float32)


def _factor(op: _Array, value: npt.NDArray[np.float64], center: _Array, setting: Setting) -> _Array:
    return value.astype(np.float32)[:, None]


def _map(op: npt.NDArray[np.int64], value: npt.NDArray[np.float64], center: _Array, setting: Setting) -> _Array:
    matrix = geometry.matrices(op, value, setting.height, setting.width)
    if setting.bilinear:
        return matrix if setting.exact or setting.fill.dtype == torch.float64 else matrix.astype(np.float32)
    fixed = geometry.fixed_point(matrix)
    reach = np.abs(fixed) @ np.array([setting.width, setting.height, 1, setting.width, setting.height, 1])
    return fixed if reach.max() >= 2**31 else fixed.astype(np.int32)


def _geometric(images: Tensor, matrix: Tensor, setting: Setting) -> Tensor:
    if not setting.bilinear:
        return geometry.warp(images, matrix, setting.fill)
    warped = geometry.warp_bilinear(images.to(matrix.dtype), matrix, setting.fill.to(matrix.dtype))
    return warped.to(images.dtype)  # uint8 truncates, as Pillow does


def _threshold(op: npt.NDArray[np.int64], value: npt.NDArray[np.float64], center: _Array, setting: Setting) -> _Array:
    """Threshold and step: Invert is Solarize with the threshold 0, and neither has steps."""
    threshold = np.select([op == INDEX["Solarize"], op == INDEX["Invert"]], [np.ceil(value).clip(0, 256), 0.0], 256.0)
    step = np.exp2(8 - np.where(op == INDEX["Posterize"], np.trunc(value).clip(0, 8), 8))
    if not setting.exact:
        return np.stack([threshold, step], 1).astype(np.float32)
    return np.stack([np.maximum(threshold - 1, 0), 255.0 * (threshold == 0), 256.0 - step], 1).astype(np.uint8)


def _point(images: Tensor, parameters: Tensor, setting: Setting) -> Tensor:
    """Invert, Solarize and Posterize; on bytes without a comparison, which costs more than all the rest together."""
    if setting.exact:
        below, always, kept = parameters.view(-1, 3, 1, 1, 1).unbind(1)
        flip = torch.maximum(images, below).sub_(below).clamp_max_(1).mul_(255) | always  # 255 from the threshold on
        return images.bitwise_xor(flip).bitwise_and_(kept)
    threshold, step = parameters.view(-1, 2, 1, 1, 1).unbind(1)
    inverted = torch.where(images < threshold, images, 255 - images)
    return torch.where(step > 1, torch.floor(inverted / step) * step, inverted)


def _box(op: _Array, value: npt.NDArray[np.float64], center: npt.NDArray[np.float64], setting: Setting) -> _Array:
    """First and last column and row of Cutout's square; one cut by the left or top border is moved inside."""
    side = value * setting.width
    size = np.array([setting.width, setting.height])
    start = np.trunc(np.maximum(center * size - side[:, None] / 2.0, 0.0))
    stop = np.where(side[:, None] > 0, np.trunc(np.minimum(start + side[:, None], size)), -1.0)
    return np.concatenate([start, stop], 1).astype(np.int32)


def _cutout(images: Tensor, box: Tensor, setting: Setting) -> Tensor:
    left, top, right, bottom = box.view(-1, 4, 1).unbind(1)
    x = torch.arange(setting.width, device=images.device, dtype=box.dtype)
    y = torch.arange(setting.height, device=images.device, dtype=box.dtype)
    inside = ((y >= top) & (y <= bottom)).unsqueeze(2) & ((x >= left) & (x <= right)).unsqueeze(1)
    inside = inside.unsqueeze(1).to(images.dtype)
    return images * (1 - inside) + setting.grey.view(1, -1, 1, 1) * inside  # torch.where is 40 times slower on bytes


FAMILIES = (
    Family(("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"), _map, _geometric),
    Family(("Invert", "Solarize", "Posterize"), _threshold, _point),
    Family(("AutoContrast",), _no_parameters, lambda images, _, s: enhance.autocontrast(images, s.exact)),
    Family(("Equalize",), _no_parameters, lambda images, _, s: enhance.equalize(images)),
    Family(("Contrast",), _factor, lambda images, p, s: enhance.contrast(images, p, s.exact)),
    Family(("Brightness",), _factor, lambda images, p, s: enhance.brightness(images, p, s.exact)),
    Family(("Color",), _factor, lambda images, p, s: enhance.color(images, p, s.exact)),
    Family(("Sharpness",), _factor, lambda images, p, s: enhance.sharpness(images, p, s.exact)),
    Family(("Cutout",), _box, _cutout),
)

_FAMILY_OF = np.full(len(OPERATION_NAMES) + 1, -1)  # the last entry is that of -1, nothing
for _number, _family in enumerate(FAMILIES):
    for _name in _family.members:
        _FAMILY_OF[INDEX[_name]] = _number
