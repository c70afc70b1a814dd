"""The forms of the package's own operations on float batches in [0, 1] (``quantize=False``): Kornia's functions.

One value per image, gradients where there are any, any device. Own code stands where Kornia has nothing that does the
same: AutoContrast leaves constant planes as they are, small images have no Sharpness, Cutout is Pillow's rectangle, and
geometry with the nearest neighbour looks up the pixels that bytes and masks look up. ``docs/augment.md`` has the table.
Kornia is imported where it is called, so that ``import daas`` does not wait for it.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from daas.augment import geometry
from daas.augment.operation import Doubles, Form, Matrix, Numbers, PlacedMatrix, Setting, affine_map

_SMALLEST = 1e-12  # what AutoContrast divides constant planes by, whose result is not used


def affine(matrix: Matrix | PlacedMatrix) -> Form:
    """The form of an operation with an affine map."""
    return Form(_warp, partial(_map, matrix))


def _value(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    """In the precision of the images."""
    return value.astype(np.float64 if setting.fill.dtype == torch.float64 else np.float32)[:, None]


def _none(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return np.empty((len(value), 0), np.float32)


def _grey(value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    return np.zeros((len(value), 1), np.float32)


def _map(matrix: Matrix | PlacedMatrix, value: Doubles, center: Doubles, setting: Setting) -> Numbers:
    """For the nearest neighbour where a pixel looks, in fixed point; for Kornia where it goes."""
    maps = affine_map(matrix, value, center, setting.height, setting.width)
    if not setting.bilinear:
        return geometry.look_up(maps)
    return _value(geometry.forward(maps)[:, :2].reshape(-1), center, setting).reshape(-1, 6)


def _warp(images: Tensor, matrix: Tensor, setting: Setting) -> Tensor:
    if not setting.bilinear:
        return geometry.warp(images, matrix, setting.fill, setting.numbers)
    from kornia.geometry.transform import warp_affine

    size = (setting.height, setting.width)
    return warp_affine(images, matrix.view(-1, 2, 3), size, padding_mode="fill", fill_value=setting.fill)


def _autocontrast(images: Tensor, parameters: Tensor, setting: Setting) -> Tensor:
    from kornia.enhance import normalize_min_max

    flat = images.detach().flatten(2)
    varied = (flat.amax(-1) > flat.amin(-1)).view(*images.shape[:2], 1, 1)
    return torch.where(varied, normalize_min_max(images, eps=_SMALLEST), images)


def _equalize(images: Tensor, parameters: Tensor, setting: Setting) -> Tensor:
    from kornia.enhance import equalize

    return equalize(images.clamp(0.0, 1.0))


def _invert(images: Tensor, parameters: Tensor, setting: Setting) -> Tensor:
    from kornia.enhance import invert

    return invert(images, torch.ones((), dtype=images.dtype, device=images.device))


def _solarize(images: Tensor, value: Tensor, setting: Setting) -> Tensor:
    from kornia.enhance import solarize

    return solarize(images, value.squeeze(1).ceil() / 255.0)  # levels are whole numbers


def _posterize(images: Tensor, value: Tensor, setting: Setting) -> Tensor:
    from kornia.enhance import posterize

    return posterize(images.clamp(0.0, 1.0), value.squeeze(1).clamp(0, 8).int())


def _contrast(images: Tensor, factor: Tensor, setting: Setting) -> Tensor:
    from kornia.enhance import adjust_contrast_with_mean_subtraction

    return adjust_contrast_with_mean_subtraction(images, factor.squeeze(1))


def _color(images: Tensor, factor: Tensor, setting: Setting) -> Tensor:
    from kornia.enhance import adjust_saturation_with_gray_subtraction

    return adjust_saturation_with_gray_subtraction(images, factor.squeeze(1))


def _brightness(images: Tensor, factor: Tensor, setting: Setting) -> Tensor:
    from kornia.enhance import adjust_brightness_accumulative

    return adjust_brightness_accumulative(images, factor.squeeze(1))


def _sharpness(images: Tensor, factor: Tensor, setting: Setting) -> Tensor:
    from kornia.enhance import sharpness

    return images if min(images.shape[2:]) < 3 else sharpness(images, factor.squeeze(1))


AUTOCONTRAST, EQUALIZE = Form(_autocontrast, _none), Form(_equalize, _none)
INVERT, SOLARIZE, POSTERIZE = Form(_invert, _none), Form(_solarize, _value), Form(_posterize, _value)
CONTRAST, COLOR, GRAYSCALE = Form(_contrast, _value), Form(_color, _value), Form(_color, _grey)
BRIGHTNESS, SHARPNESS = Form(_brightness, _value), Form(_sharpness, _value)
