"""AutoContrast, Equalize and the enhancements (Contrast, Brightness, Color, Sharpness) on a batch, in plain torch.

All functions map [b, C, H, W] on the scale 0 to 255 to the same; with ``exact`` they take uint8, truncate where Pillow
truncates and give uint8. Whole numbers below 2 ** 24 are exact in float32, so that is enough for luma and blending.
"""

from __future__ import annotations

import torch
from torch import Tensor


def autocontrast(images: Tensor, exact: bool) -> Tensor:
    """Stretches each channel to the full range, in float64 as Pillow does; a constant channel stays as it is."""
    flat = images.flatten(2)
    low, high = flat.amin(-1, keepdim=True).double(), flat.amax(-1, keepdim=True).double()  # aminmax: 15 times slower
    spread = high - low
    # A division of tensors: 255.0 / tensor would multiply by a reciprocal, which is one unit in the last place off.
    scale = torch.full_like(spread, 255.0) / torch.where(spread > 0, spread, 1.0)
    levels = torch.arange(256, device=images.device, dtype=torch.float64) if exact else flat
    stretched = _levels(levels * scale + -low * scale, exact).to(images.dtype)
    stretched = torch.where(spread > 0, stretched, levels.to(images.dtype))
    if not exact:
        return stretched.view_as(images)
    return stretched.gather(2, flat.long()).view_as(images)


def equalize(images: Tensor) -> Tensor:
    """Flattens the histogram of each channel by Pillow's look-up table of whole numbers; floats are cut to levels."""
    levels = images.detach().flatten(2).clamp(0, 255).long()  # [b, C, H W]
    histogram = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=images.device)
    histogram.scatter_add_(2, levels, torch.ones((), dtype=torch.int64, device=images.device).expand_as(levels))
    last = images.detach().flatten(2).amax(-1, keepdim=True).clamp(0, 255).long()
    step = (levels.shape[2] - histogram.gather(2, last)).div(255, rounding_mode="floor")  # [b, C, 1]
    before = histogram.cumsum(2) - histogram
    table = (before + step.div(2, rounding_mode="floor")).div(step.clamp_min(1), rounding_mode="floor").clamp_max(255)
    if images.dtype == torch.uint8:
        identity = torch.arange(256, device=images.device)
        return torch.where(step > 0, table, identity).to(torch.uint8).gather(2, levels).view_as(images)
    equalized = table.to(images.dtype).gather(2, levels).view_as(images)
    return torch.where((step > 0).unsqueeze(-1), equalized, images)


def brightness(images: Tensor, factor: Tensor, exact: bool) -> Tensor:
    """Interpolates between black and the image; ``factor`` is [b, 1]."""
    return _levels(_pixels(images, exact).mul_(factor.view(-1, 1, 1, 1)), exact)


def contrast(images: Tensor, factor: Tensor, exact: bool) -> Tensor:
    """Interpolates between the mean luma and the image; ``factor`` is [b, 1]."""
    pixels = _pixels(images, exact)
    grey = _luma(pixels, exact)
    if exact:  # the mean as a whole number: floor(mean + 1 / 2)
        count = grey[0].numel()
        total = grey.long().sum((1, 2, 3), keepdim=True)
        mean = (2 * total + count).div(2 * count, rounding_mode="floor").float()
    else:
        mean = grey.mean((1, 2, 3), keepdim=True)
    return _mixed(pixels, mean, factor, exact)


def color(images: Tensor, factor: Tensor, exact: bool) -> Tensor:
    """Interpolates between the grey image and the image; ``factor`` is [b, 1]."""
    pixels = _pixels(images, exact)
    return _mixed(pixels, _luma(pixels, exact), factor, exact)


def sharpness(images: Tensor, factor: Tensor, exact: bool) -> Tensor:
    """Interpolates between the image under Pillow's 3 x 3 smoothing filter (centre 5, neighbours 1, over 13) and it.

    The border stays as it is, and so do images of fewer than 3 x 3 pixels. ``factor`` is [b, 1].
    """
    if min(images.shape[2:]) < 3:
        return images
    pixels = images.to(torch.int16) if exact else images
    columns = (pixels[..., :-2] + pixels[..., 1:-1]).add_(pixels[..., 2:])
    total = (columns[..., :-2, :] + columns[..., 1:-1, :]).add_(columns[..., 2:, :])
    total = total.add_(pixels[..., 1:-1, 1:-1], alpha=4)
    # floor(total / 13 + 1 / 2) for whole totals up to 3315: the product is never within rounding of a whole number
    smooth = total.float().add_(6.5).mul_(1.0 / 13.0).floor_() if exact else total / 13.0
    inner = images[..., 1:-1, 1:-1]
    result = images.clone()
    result[..., 1:-1, 1:-1] = _mixed(inner.float() if exact else inner.clone(), smooth, factor, exact)
    return result


def _pixels(images: Tensor, exact: bool) -> Tensor:
    """As float, to be changed in place: large new tensors cost more than the arithmetic."""
    return images.float() if exact else images.clone()


def _luma(pixels: Tensor, exact: bool) -> Tensor:
    """ITU-R 601 in Pillow's 16-bit fixed point, in float: [b, C, H, W] -> [b, 1, H, W], a new tensor."""
    if pixels.shape[1] == 1:
        return pixels.clone()
    r, g, b = pixels.split(1, 1)
    total = (r * 19595.0).add_(g, alpha=38470.0).add_(b, alpha=7471.0)
    total = total.add_(32768.0 if exact else 0.0).mul_(1.0 / 65536.0)
    return torch.floor(total) if exact else total


def _mixed(pixels: Tensor, base: Tensor, factor: Tensor, exact: bool) -> Tensor:
    """``base + factor (x - base)``, clipped; ``factor`` is [b, 1]; changes ``pixels``."""
    return _levels(pixels.sub_(base).mul_(factor.view(-1, 1, 1, 1)).add_(base), exact)


def _levels(pixels: Tensor, exact: bool) -> Tensor:
    """Clips, and with ``exact`` truncates to uint8; changes ``pixels``."""
    clipped = pixels.clamp_(0.0, 255.0)
    return clipped.to(torch.uint8) if exact else clipped
