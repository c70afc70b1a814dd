"""AutoContrast, Equalize and the enhancements (Contrast, Brightness, Color, Sharpness) on a batch, in plain torch.

All functions map [b, C, H, W] on the scale 0 to 255 to the same; with ``exact`` they take uint8, truncate where Pillow
truncates and give uint8. Whole numbers below 2 ** 24 are exact in float32, so that is enough for luma and blending.
"""

from __future__ import annotations

import torch
from torch import Tensor


def autocontrast(images: Tensor, exact: bool) -> Tensor:
    """Stretches each channel to the full range, in float64 as Pillow does; a constant channel stays as it is."""
    low, high = (level.double()[..., None, None] for level in images.flatten(2).aminmax(dim=-1))
    spread = high - low
    # A division of tensors: 255.0 / tensor would multiply by a reciprocal, which is one unit in the last place off.
    scale = torch.full_like(spread, 255.0) / torch.where(spread > 0, spread, 1.0)
    stretched = _levels(images * scale + -low * scale, images, exact)
    return torch.where(spread > 0, stretched, images)


def equalize(images: Tensor) -> Tensor:
    """Flattens the histogram of each channel by Pillow's look-up table of whole numbers; floats are cut to levels."""
    count, channels, height, width = images.shape
    rows = count * channels
    levels = images.detach().clamp(0, 255).to(torch.int32).view(rows, -1)
    place = (levels + 256 * torch.arange(rows, device=images.device, dtype=torch.int32).unsqueeze(1)).flatten()
    histogram = torch.zeros(rows * 256, dtype=torch.int32, device=images.device)
    histogram = histogram.index_add_(0, place, torch.ones_like(place)).view(rows, 256)
    last = levels.amax(1, keepdim=True).long()
    step = (height * width - histogram.gather(1, last)).div(255, rounding_mode="floor")  # [rows, 1]
    before = histogram.cumsum(1) - histogram
    table = (before + step.div(2, rounding_mode="floor")).div(step.clamp_min(1), rounding_mode="floor").clamp_max(255)
    equalized = table.to(images.dtype).flatten().index_select(0, place).view_as(images)
    return torch.where((step > 0).view(count, channels, 1, 1), equalized, images)


def blend(images: Tensor, parameters: Tensor, exact: bool) -> Tensor:
    """Brightness (from black) and Contrast (from the mean luma).

    Args:
        images: [b, C, H, W].
        parameters: [b, 2]: the factor, and 1 for Contrast or 0 for Brightness.
        exact: See the module.
    """
    factor, is_contrast = parameters.view(-1, 2, 1, 1, 1).unbind(1)
    grey = _luma(images, exact)
    if exact:  # the mean as a whole number: floor(mean + 1 / 2)
        count = grey[0].numel()
        total = grey.long().sum((1, 2, 3), keepdim=True)
        mean = (2 * total + count).div(2 * count, rounding_mode="floor").float()
    else:
        mean = grey.mean((1, 2, 3), keepdim=True)
    return _mixed(images, mean * is_contrast, factor, exact)


def color(images: Tensor, factor: Tensor, exact: bool) -> Tensor:
    """Interpolates between the grey image and the image; ``factor`` is [b, 1]."""
    return _mixed(images, _luma(images, exact), factor.view(-1, 1, 1, 1), exact)


def sharpness(images: Tensor, factor: Tensor, exact: bool) -> Tensor:
    """Interpolates between the image under Pillow's 3 x 3 smoothing filter (centre 5, neighbours 1, over 13) and it.

    The border stays as it is, and so do images of fewer than 3 x 3 pixels. ``factor`` is [b, 1].
    """
    if min(images.shape[2:]) < 3:
        return images
    pixels = images.to(torch.int16) if exact else images
    columns = pixels[..., :-2] + pixels[..., 1:-1] + pixels[..., 2:]
    total = columns[..., :-2, :] + columns[..., 1:-1, :] + columns[..., 2:, :] + 4 * pixels[..., 1:-1, 1:-1]
    # floor(total / 13 + 1 / 2) for whole totals up to 3315: the product is never within rounding of a whole number
    smooth = torch.floor((total.float() + 6.5) * (1.0 / 13.0)) if exact else total / 13.0
    result = images.clone()
    result[..., 1:-1, 1:-1] = _mixed(images[..., 1:-1, 1:-1], smooth, factor.view(-1, 1, 1, 1), exact)
    return result


def _luma(images: Tensor, exact: bool) -> Tensor:
    """ITU-R 601 in Pillow's 16-bit fixed point, in float: [b, C, H, W] -> [b, 1, H, W]."""
    pixels = images.float() if exact else images
    if images.shape[1] == 1:
        return pixels
    r, g, b = pixels.split(1, 1)
    total = r * 19595.0 + g * 38470.0 + b * 7471.0
    return torch.floor((total + 32768.0) * (1.0 / 65536.0)) if exact else total * (1.0 / 65536.0)


def _mixed(images: Tensor, base: Tensor, factor: Tensor, exact: bool) -> Tensor:
    """``base + factor (x - base)``, clipped."""
    return _levels(base + factor * (images - base), images, exact)


def _levels(pixels: Tensor, like: Tensor, exact: bool) -> Tensor:
    """Clips, and with ``exact`` truncates to uint8."""
    clipped = pixels.clamp(0.0, 255.0)
    return clipped.to(torch.uint8) if exact else clipped.to(like.dtype)
