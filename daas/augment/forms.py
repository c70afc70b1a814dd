"""The forms of the package's own operations on bytes, in plain torch, one value per image: any device.

Kornia's functional operations carry the floats (``differentiable``) and not the bytes: they do not truncate where
Pillow does, equalize and posterize gather in int64, sharpness is a grouped convolution, and the warp rounds otherwise.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from daas.augment import enhance, geometry
from daas.augment.operation import BatchFunction, Doubles, Form, ImageFunction, Matrix, Numbers, Setting


def affine(matrix: Matrix) -> Form:
    """The form of an operation with an affine map, in Pillow's arithmetic."""
    return Form(_warp, partial(_map, matrix))


def plain(function: BatchFunction) -> Form:
    """The form of a function of (images, value), for bytes or for floats in [0, 1]."""
    return Form(lambda images, value, setting: function(images, value.squeeze(1)), _value)


def each(function: ImageFunction) -> Form:
    """The form of a compiled function of one uint8 image on the CPU."""

    def run(images: Tensor, value: Tensor, setting: Setting) -> Tensor:
        result = torch.empty_like(images)
        for source, target, v in zip(images.numpy(), result.numpy(), value.squeeze(1).tolist(), strict=True):
            function(source, target, v)
        return result

    return Form(run, _value)


def _value(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return value[:, None]


def _map(matrix: Matrix, value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    maps = matrix(value, setting.height, setting.width)
    return maps if setting.bilinear else geometry.look_up(maps, setting.height, setting.width)


def _warp(images: Tensor, matrix: Tensor, setting: Setting) -> Tensor:
    if not setting.bilinear:
        return geometry.warp(images, matrix, setting.fill)
    warped = geometry.warp_bilinear(images.double(), matrix, setting.fill.double())
    return warped.to(torch.uint8)  # truncates, as Pillow does


def _no_parameters(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return np.empty((len(value), 0), np.float32)


def _factor(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return value.astype(np.float32)[:, None]


def _no_factor(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return np.zeros((len(value), 1), np.float32)


def _threshold(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return _levels(np.ceil(value).clip(0, 256), np.full(len(value), 8.0))


def _always(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return _levels(np.zeros(len(value)), np.full(len(value), 8.0))


def _bits(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return _levels(np.full(len(value), 256.0), np.trunc(value).clip(0, 8))


def _levels(threshold: Doubles, bits: Doubles) -> Numbers:
    """What ``_point`` needs: levels from the threshold on are inverted, then the highest bits are kept."""
    kept = 256.0 - np.exp2(8 - bits)
    return np.stack([np.maximum(threshold - 1, 0), 255.0 * (threshold == 0), kept], 1).astype(np.uint8)


def _point(images: Tensor, parameters: Tensor, setting: Setting) -> Tensor:
    """Invert, Solarize and Posterize, without a comparison, which costs more than all the rest together."""
    below, always, kept = parameters.view(-1, 3, 1, 1, 1).unbind(1)
    flip = torch.maximum(images, below).sub_(below).clamp_max_(1).mul_(255) | always  # 255 from the threshold on
    return images.bitwise_xor(flip).bitwise_and_(kept)


def _box(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
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


def _autocontrast(images: Tensor, parameters: Tensor, setting: Setting) -> Tensor:
    return enhance.autocontrast(images)


def _equalize(images: Tensor, parameters: Tensor, setting: Setting) -> Tensor:
    return enhance.equalize(images)


def _contrast(images: Tensor, factor: Tensor, setting: Setting) -> Tensor:
    return enhance.contrast(images, factor)


def _color(images: Tensor, factor: Tensor, setting: Setting) -> Tensor:
    return enhance.color(images, factor)


def _brightness(images: Tensor, factor: Tensor, setting: Setting) -> Tensor:
    return enhance.brightness(images, factor)


def _sharpness(images: Tensor, factor: Tensor, setting: Setting) -> Tensor:
    return enhance.sharpness(images, factor)


AUTOCONTRAST, EQUALIZE = Form(_autocontrast, _no_parameters), Form(_equalize, _no_parameters)
INVERT, SOLARIZE, POSTERIZE = Form(_point, _always), Form(_point, _threshold), Form(_point, _bits)
CONTRAST, COLOR, GRAYSCALE = Form(_contrast, _factor), Form(_color, _factor), Form(_color, _no_factor)
BRIGHTNESS, SHARPNESS = Form(_brightness, _factor), Form(_sharpness, _factor)
CUTOUT = Form(_cutout, _box)
