"""What one writes on top of Kornia: group the batch by operation, call one of its functions per group."""

from __future__ import annotations

import kornia.enhance as enhance
import kornia.geometry.transform as geometry
import torch
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.space import OPERATION_NAMES


def apply(images: Tensor, draw: Draw) -> Tensor:
    """[B, 3, H, W] float in [0, 1] -> the same; per image, in float arithmetic, as Kornia does it."""
    images = images.clone()
    for slot in range(draw.op.shape[1]):
        for op in draw.op[:, slot].unique().tolist():
            if op >= 0:
                chosen = (draw.op[:, slot] == op).nonzero().squeeze(1)
                part = _operation(
                    images[chosen], OPERATION_NAMES[op], draw.value[chosen, slot], draw.center[chosen, slot]
                )
                images[chosen] = part
    return images


def _operation(x: Tensor, name: str, value: Tensor, center: Tensor) -> Tensor:
    v = value.float()
    if name in ("ShearX", "ShearY"):
        zero = torch.zeros_like(v)
        shear = torch.stack([v, zero] if name == "ShearX" else [zero, v], 1)
        return geometry.shear(x, shear, mode="nearest", align_corners=True)
    if name in ("TranslateX", "TranslateY"):
        zero = torch.zeros_like(v)
        shift = torch.stack([v * x.shape[3], zero] if name == "TranslateX" else [zero, v * x.shape[2]], 1)
        return geometry.translate(x, -shift, mode="nearest", align_corners=True)
    if name == "Rotate":
        return geometry.rotate(x, v, mode="nearest", align_corners=True)
    if name == "AutoContrast":
        return enhance.normalize_min_max(x)
    if name == "Cutout":
        return _cutout(x, v, center.float())
    functions = {
        "Invert": lambda: enhance.invert(x),
        "Equalize": lambda: enhance.equalize(x),
        "Solarize": lambda: enhance.solarize(x, (v / 255.0).clamp(0, 1)),
        "Posterize": lambda: enhance.posterize(x, v.int()),
        "Contrast": lambda: enhance.adjust_contrast_with_mean_subtraction(x, v),
        "Color": lambda: enhance.adjust_saturation_with_gray_subtraction(x, v),
        "Brightness": lambda: enhance.adjust_brightness_accumulative(x, v),
        "Sharpness": lambda: enhance.sharpness(x, v),
    }
    return functions[name]()


def _cutout(x: Tensor, v: Tensor, center: Tensor) -> Tensor:
    size = x.shape[3]
    start = (center * size - (v * size / 2).unsqueeze(1)).clamp_min(0)
    stop = start + (v * size).unsqueeze(1)
    position = torch.arange(size)
    column, row = ((position >= start[:, k : k + 1]) & (position <= stop[:, k : k + 1]) for k in (0, 1))
    return torch.where((row.unsqueeze(2) & column.unsqueeze(1)).unsqueeze(1), 0.48, x)
