"""The operations and whole draws in Pillow's own functions, one image at a time: the reference."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.operation import PillowForm, Where
from daas.augment.ops import CUTOUT_FILL
from daas.augment.space import OPERATION_NAMES, at, named

AFFINE = Image.Transform.AFFINE
RESAMPLING = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}


def pillow(
    image: Image.Image, name: str, v: float, center: tuple[float, float], interpolation: str = "nearest"
) -> Image.Image:
    """One operation: ``v`` is physical and signed."""
    w, h = image.size
    if name in ("ShearX", "ShearY", "TranslateX", "TranslateY"):
        matrix = {
            "ShearX": (1, v, 0, 0, 1, 0),
            "ShearY": (1, 0, 0, v, 1, 0),
            "TranslateX": (1, 0, v * w, 0, 1, 0),
            "TranslateY": (1, 0, 0, 0, 1, v * h),
        }[name]
        return image.transform(image.size, AFFINE, matrix, RESAMPLING[interpolation])
    if name in ("Rotate", "Rot90"):
        return image.rotate(
            v if name == "Rotate" else 90 * int(v + (0.5 if v > 0 else -0.5)), RESAMPLING[interpolation]
        )
    if name == "Crop":
        return _crop(image, v, center, interpolation)
    if name == "AutoContrast":
        return ImageOps.autocontrast(image)
    if name == "Invert":
        return ImageOps.invert(image)
    if name == "Equalize":
        return ImageOps.equalize(image)
    if name == "Solarize":
        return ImageOps.solarize(image, v)
    if name == "Posterize":
        return ImageOps.posterize(image, int(v))
    if name == "Cutout":
        return _cutout(image, v, center)
    if name in ("HFlip", "VFlip"):
        return image.transpose(Image.Transpose[f"FLIP_{'LEFT_RIGHT' if name == 'HFlip' else 'TOP_BOTTOM'}"])
    if name == "Grayscale":
        return ImageOps.grayscale(image).convert(image.mode)
    if name not in OPERATION_NAMES:
        return _registered(image, name, v, Where(center, bilinear=interpolation == "bilinear"))
    return getattr(ImageEnhance, name)(image).enhance(v)


def _crop(image: Image.Image, v: float, center: tuple[float, float], interpolation: str) -> Image.Image:
    """The part that is left, enlarged; both of whole steps, 1/32768 of the size and 1/65536 of a pixel."""
    w, h = image.size
    zoom = int((1 - v) * 32768 + 0.5) / 32768
    left, top = (int(at * (1 - zoom) * size * 65536) / 65536 for at, size in zip(center, (w, h), strict=True))
    if interpolation == "nearest":
        return image.resize((w, h), RESAMPLING["nearest"], box=(left, top, left + zoom * w, top + zoom * h))
    return image.transform((w, h), AFFINE, (zoom, 0, left, 0, zoom, top), RESAMPLING[interpolation])


def _registered(image: Image.Image, name: str, v: float, where: Where) -> Image.Image:
    form = named(name).pillow_form
    assert form is not None, f"{name} has no Pillow form to compare with"
    return form.run(image, v, where) if isinstance(form, PillowForm) else form(image, v)


def _cutout(image: Image.Image, v: float, center: tuple[float, float]) -> Image.Image:
    w, h = image.size
    side = v * w
    if side <= 0:
        return image
    x0, y0 = int(max(0, center[0] * w - side / 2)), int(max(0, center[1] * h - side / 2))
    image = image.copy()
    color: tuple[int, ...] | int = CUTOUT_FILL if image.mode == "RGB" else 123
    ImageDraw.Draw(image).rectangle((x0, y0, min(w, x0 + side), min(h, y0 + side)), color)
    return image


def apply_one(image: Image.Image, draw: Draw, index: int, interpolation: str = "nearest") -> Image.Image:
    """All operations that a draw has for image ``index``."""
    for op, value, center in zip(*(t[index].tolist() for t in (draw.op, draw.value, draw.center)), strict=True):
        if op >= 0:
            image = pillow(image, at(op).name, value, tuple(center), interpolation)
    return image


def to_images(images: Tensor) -> list[Image.Image]:
    """[B, C, H, W] uint8 -> Pillow images."""
    arrays = images.permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(a if a.shape[2] == 3 else a[..., 0]) for a in np.ascontiguousarray(arrays)]


def to_batch(images: list[Image.Image]) -> Tensor:
    """The inverse of ``to_images``."""
    arrays = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(arrays if arrays.ndim == 4 else arrays[..., None]).permute(0, 3, 1, 2)


def reference(images: Tensor, draw: Draw, interpolation: str = "nearest") -> Tensor:
    """A draw on a batch, by Pillow: [B, C, H, W] uint8 -> the same."""
    return to_batch([apply_one(image, draw, i, interpolation) for i, image in enumerate(to_images(images))])
