"""AutoContrast, Equalize and the enhancements (Contrast, Brightness, Color, Sharpness) on bytes, in plain torch.

All functions map [b, C, H, W] uint8 to the same and truncate where Pillow truncates. Whole numbers below 2 ** 24 are
exact in float32, so that is enough for luma and blending.
"""

from __future__ import annotations

import torch
from torch import Tensor


def autocontrast(images: Tensor) -> Tensor:
    """Stretches each channel to the full range, in float64 as Pillow does; a constant channel stays as it is."""
    flat = images.flatten(2)
    low, high = flat.amin(-1, keepdim=True).double(), flat.amax(-1, keepdim=True).double()  # aminmax: 15 times slower
    spread = high - low
    # A division of tensors: 255.0 / tensor would multiply by a reciprocal, which is one unit in the last place off.
    scale = torch.full_like(spread, 255.0) / torch.where(spread > 0, spread, 1.0)
    levels = torch.arange(256, device=images.device, dtype=torch.float64)
    stretched = _levels(levels * scale + -low * scale)
    stretched = torch.where(spread > 0, stretched, levels.to(torch.uint8))
    return stretched.gather(2, flat.long()).view_as(images)


def equalize(images: Tensor) -> Tensor:
    """Flattens the histogram of each channel by Pillow's look-up table of whole numbers."""
    levels = images.flatten(2).long()  # [b, C, H W]
    histogram = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=images.device)
    histogram.scatter_add_(2, levels, torch.ones((), dtype=torch.int64, device=images.device).expand_as(levels))
    last = images.flatten(2).amax(-1, keepdim=True).long()
    step = (levels.shape[2] - histogram.gather(2, last)).div(255, rounding_mode="floor")  # [b, C, 1]
    before = histogram.cumsum(2) - histogram
    table = (before + step.div(2, rounding_mode="floor")).div(step.clamp_min(1), rounding_mode="floor").clamp_max(255)
    identity = torch.arange(256, device=images.device)
    return torch.where(step > 0, table, identity).to(torch.uint8).gather(2, levels).view_as(images)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Interpolates between black and the image; ``factor`` is [b, 1]."""
    return _levels(images.float().mul_(factor.view(-1, 1, 1, 1)))


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Interpolates between the mean luma and the image; ``factor`` is [b, 1]."""
    pixels = images.float()
    grey = _luma(pixels)
    count = grey[0].numel()
    total = grey.long().sum((1, 2, 3), keepdim=True)
    mean = (2 * total + count).div(2 * count, rounding_mode="floor").float()  # a whole number: floor(mean + 1 / 2)
    return _mixed(pixels, mean, factor)


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Interpolates between the grey image and the image; ``factor`` is [b, 1]."""
    pixels = images.float()
    return _mixed(pixels, _luma(pixels), factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Interpolates between the image under Pillow's 3 x 3 smoothing filter (centre 5, neighbours 1, over 13) and it.

    The border stays as it is, and so do images of fewer than 3 x 3 pixels. ``factor`` is [b, 1].
    """
    if min(images.shape[2:]) < 3:
        return images
    pixels = images.to(torch.int16)
    columns = (pixels[..., :-2] + pixels[..., 1:-1]).add_(pixels[..., 2:])
    total = (columns[..., :-2, :] + columns[..., 1:-1, :]).add_(columns[..., 2:, :])
    total = total.add_(pixels[..., 1:-1, 1:-1], alpha=4)
    # floor(total / 13 + 1 / 2) for whole totals up to 3315: the product is never within rounding of a whole number
    smooth = total.float().add_(6.5).mul_(1.0 / 13.0).floor_()
    inner = images[..., 1:-1, 1:-1]
    result = images.clone()
    result[..., 1:-1, 1:-1] = _mixed(inner.float(), smooth, factor)
    return result


def _luma(pixels: Tensor) -> Tensor:
    """ITU-R 601 in Pillow's 16-bit fixed point, in float: [b, C, H, W] -> [b, 1, H, W], a new tensor."""
    if pixels.shape[1] == 1:
        return pixels.clone()
    r, g, b = pixels.split(1, 1)
    total: Tensor = (r * 19595.0).add_(g, alpha=38470.0).add_(b, alpha=7471.0)
    return total.add_(32768.0).mul_(1.0 / 65536.0).floor_()


def _mixed(pixels: Tensor, base: Tensor, factor: Tensor) -> Tensor:
    """``base + factor (x - base)``, clipped; ``factor`` is [b, 1]; changes ``pixels``."""
    return _levels(pixels.sub_(base).mul_(factor.view(-1, 1, 1, 1)).add_(base))


def _levels(pixels: Tensor) -> Tensor:
    """Clips and truncates; changes ``pixels``."""
    return pixels.clamp_(0.0, 255.0).to(torch.uint8)
