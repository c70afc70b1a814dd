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
from daas.augment.operation import (
    BatchFunction,
    Doubles,
    Form,
    ImageFunction,
    Matrix,
    Numbers,
    PlacedMatrix,
    Setting,
    affine_map,
)


def affine(matrix: Matrix | PlacedMatrix) -> Form:
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


def _map(matrix: Matrix | PlacedMatrix, value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    maps = affine_map(matrix, value, center, setting.height, setting.width)
    return maps if setting.bilinear else geometry.look_up(maps)


def _warp(images: Tensor, matrix: Tensor, setting: Setting) -> Tensor:
    if not setting.bilinear:
        return geometry.warp(images, matrix, setting.fill, setting.numbers)
    warped = geometry.warp_bilinear(images.double(), matrix, setting.fill.double())
    return warped.to(torch.uint8)  # truncates, as Pillow does


def _stays(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return _tables(_LEVELS, value)


def _inverted(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return _tables(255 - _LEVELS, value)


def _solarized(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return _tables(np.where(value[:, None] <= _LEVELS, 255 - _LEVELS, _LEVELS), value)


def _posterized(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    kept = 256.0 - np.exp2(8 - np.trunc(value).clip(0, 8))
    return _tables(_LEVELS & kept.astype(np.int64)[:, None], value)


def _brightened(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return _tables((_LEVELS.astype(np.float32) * value.astype(np.float32)[:, None]).clip(0.0, 255.0), value)


def _tables(levels: Numbers, value: Doubles) -> Numbers:
    """What becomes of each level, truncated: [b, 256] uint8."""
    return np.broadcast_to(levels.astype(np.uint8), (len(value), 256))


def _look_up(images: Tensor, tables: Tensor, setting: Setting) -> Tensor:
    return enhance.look_up(images, tables, setting.counts, setting.numbers)


def _factor(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    """Of a blend, and beside it the weights of luma and what is added to round them: [b, 7]."""
    return np.concatenate([value[:, None], np.broadcast_to(_LUMA, (len(value), 6))], 1, dtype=np.float32)


def _no_factor(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return _factor(np.zeros_like(value), center, setting)


def _blend(images: Tensor, parameters: Tensor, setting: Setting) -> Tensor:
    return enhance.blend(images, parameters[:, :1], parameters[:, 1:], setting.counts)


def _box(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    """Which rows and columns Cutout's square has; one cut by the left or top border is moved inside: [b, H + W]."""
    side = value * setting.width
    size = np.array([setting.width, setting.height])
    start = np.trunc(np.maximum(center * size - side[:, None] / 2.0, 0.0))
    stop = np.where(side[:, None] > 0, np.trunc(np.minimum(start + side[:, None], size)), -1.0)
    along = [
        (np.arange(size[axis]) >= start[:, axis, None]) & (np.arange(size[axis]) <= stop[:, axis, None])
        for axis in (1, 0)
    ]
    return np.concatenate(along, 1).astype(np.uint8)


def _cutout(images: Tensor, box: Tensor, setting: Setting) -> Tensor:
    rows, columns = box[:, None, : setting.height, None], box[:, None, None, setting.height :]
    grey = setting.grey.view(1, -1, 1, 1)
    if images.is_floating_point():
        return torch.where((rows * columns).bool(), grey, images)
    # Bytes wrap around, so this is exact; torch.where is ten times slower on them.
    return torch.addcmul(images, grey - images, rows * columns)


_LEVELS = np.arange(256)[None]
_LUMA = np.array([19595.0, 38470.0, 7471.0, 32768.0, 0.0, 0.0])
EQUALIZE, AUTOCONTRAST = Form(_look_up, _stays, 0), Form(_look_up, _stays, 1)
INVERT, SOLARIZE, POSTERIZE = (
    Form(_look_up, _inverted, 2),
    Form(_look_up, _solarized, 2),
    Form(_look_up, _posterized, 2),
)
BRIGHTNESS = Form(_look_up, _brightened, 2)
CONTRAST, COLOR, GRAYSCALE = Form(_blend, _factor, 0), Form(_blend, _factor, 1), Form(_blend, _no_factor, 1)
SHARPNESS = Form(_blend, _factor, 2)
CUTOUT = Form(_cutout, _box)
