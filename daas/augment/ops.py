"""The 15 operations on a batch, one value per image, grouped by family: any device.

Reference semantics are Pillow's on uint8: on uint8 (and on quantised float) batches the result is Pillow's to the bit.
Everything is computed on the scale 0 to 255; with ``exact`` each operation truncates where Pillow truncates. Where
Kornia's functional operations differ from Pillow or cost more than a few tensor expressions, the code is our own: its
equalize and posterize gather in int64, its sharpness is a grouped convolution, its geometric warp rounds differently,
its normalize_min_max turns constant images black, and none of them truncates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from daas.augment import geometry
from daas.augment.draw import Draw
from daas.augment.space import INDEX, OPERATION_NAMES, OPERATIONS

CUTOUT_FILL = (125, 123, 114)
"""The grey that Cutout fills with (Fast AutoAugment, DADA)."""


def apply(images: Tensor, draw: Draw, fill: Sequence[int] = (0, 0, 0), quantize: bool = True) -> Tensor:
    """Applies a draw to a batch: slot 0 of every image first, then slot 1, and so on.

    Args:
        images: [B, C, H, W] with 1 or 3 channels: uint8, or float in [0, 1].
        draw: One row per image.
        fill: RGB in 0..255, for pixels that geometric operations bring in.
        quantize: Float images: True rounds to the 256 levels first and gives what uint8 would give; False truncates
            nowhere, and gradients pass (Equalize and Posterize are flat, as they must be).

    Returns:
        A batch of the same shape and dtype; the input is not changed.

    Raises:
        ValueError: Another shape or dtype, or a draw for another number of images.
    """
    _check(images, draw)
    if images.numel() == 0:
        return images.clone()
    draw = draw.to(images.device)
    if images.dtype == torch.uint8:
        return _run(images, draw, fill, exact=True)
    if quantize:
        levels = (images.float() * 255.0).round().clamp(0, 255).to(torch.uint8)
        return (_run(levels, draw, fill, exact=True).float() / 255.0).to(images.dtype)
    return (_run(images.float() * 255.0, draw, fill, exact=False) / 255.0).to(images.dtype)


def _run(images: Tensor, draw: Draw, fill: Sequence[int], exact: bool) -> Tensor:
    images = images.clone(memory_format=torch.contiguous_format)
    for slot in range(draw.op.shape[1]):
        op, value, center = draw.op[:, slot], draw.value[:, slot], draw.center[:, slot]
        for names, function in _families(fill):
            chosen = (
                torch.isin(op, torch.tensor([INDEX[name] for name in names], device=op.device)).nonzero().squeeze(1)
            )
            if len(chosen):
                part = function(images[chosen], op[chosen], value[chosen], center[chosen], exact)
                images = images.index_copy(0, chosen, part.to(images.dtype))
    return images


_Function = Callable[[Tensor, Tensor, Tensor, Tensor, bool], Tensor]


def _families(fill: Sequence[int]) -> list[tuple[tuple[str, ...], _Function]]:
    """Which operations run together; every function maps [b, C, H, W] and one op, value and centre per image."""

    def geometric(images: Tensor, op: Tensor, value: Tensor, center: Tensor, exact: bool) -> Tensor:
        return geometry.warp(
            images, geometry.coefficients(op, value, images.shape[2], images.shape[3]), _channel_fill(images, fill)
        )

    groups: list[tuple[tuple[str, ...], _Function]] = [
        (tuple(name for name in OPERATION_NAMES if OPERATIONS[INDEX[name]].family == "geometric"), geometric),
        (("AutoContrast",), _autocontrast),
        (("Invert", "Solarize"), _solarize),
        (("Equalize",), _equalize),
        (("Posterize",), _posterize),
        (("Contrast", "Color", "Brightness", "Sharpness"), _enhance),
        (("Cutout",), _cutout),
    ]
    return groups


def _solarize(images: Tensor, op: Tensor, value: Tensor, center: Tensor, exact: bool) -> Tensor:
    """Inverts what reaches the threshold; Invert is the threshold 0."""
    threshold = torch.where(op == INDEX["Invert"], 0.0, value).view(-1, 1, 1, 1)
    return torch.where(images < threshold, images, 255 - images)


def _posterize(images: Tensor, op: Tensor, value: Tensor, center: Tensor, exact: bool) -> Tensor:
    """Keeps the highest bits; a fraction of a bit is cut off."""
    step = torch.exp2(8.0 - value.trunc()).float().view(-1, 1, 1, 1)
    return torch.floor(images.float() / step) * step


def _autocontrast(images: Tensor, op: Tensor, value: Tensor, center: Tensor, exact: bool) -> Tensor:
    """Stretches each channel to the full range; a constant channel stays as it is."""
    low, high = _range(images)
    spread = high - low
    scale = torch.full_like(spread, 255.0) / torch.where(spread > 0, spread, 1.0)
    stretched = images.double() * scale - low * scale
    return torch.where(spread > 0, _truncated(stretched, exact), images.double())


def _range(images: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value per image and channel, [b, C, 1, 1] float64."""
    low, high = images.flatten(2).aminmax(dim=-1)
    return low.double()[..., None, None], high.double()[..., None, None]


def _equalize(images: Tensor, op: Tensor, value: Tensor, center: Tensor, exact: bool) -> Tensor:
    """Flattens the histogram of each channel by Pillow's integer look-up table."""
    count, channels, height, width = images.shape
    levels = images.detach().flatten(2).clamp(0, 255).long()  # [b, C, H W]
    histogram = torch.zeros(count, channels, 256, dtype=torch.int64, device=images.device)
    histogram.scatter_add_(2, levels, torch.ones_like(levels))
    last = levels.amax(-1, keepdim=True)
    step = (height * width - histogram.gather(2, last)).div(255, rounding_mode="floor")  # [b, C, 1]
    before = histogram.cumsum(2) - histogram
    table = (before + step.div(2, rounding_mode="floor")).div(step.clamp_min(1), rounding_mode="floor").clamp_max(255)
    equalized = table.gather(2, levels).view_as(images)
    return torch.where((step > 0).unsqueeze(-1), equalized.to(images.dtype), images)


def _enhance(images: Tensor, op: Tensor, value: Tensor, center: Tensor, exact: bool) -> Tensor:
    """Interpolates from a degenerate image (grey level, grey image, black, blurred) to the image and beyond."""
    pixels = images.float()
    degenerate = torch.zeros_like(pixels)  # Brightness
    for name, function in (("Contrast", _mean_grey), ("Color", _grey), ("Sharpness", _smooth)):
        chosen = (op == INDEX[name]).nonzero().squeeze(1)
        if len(chosen):
            part = function(pixels[chosen], exact).expand(-1, pixels.shape[1], -1, -1)
            degenerate = degenerate.index_copy(0, chosen, part.expand_as(pixels[chosen]))
    factor = value.float().view(-1, 1, 1, 1)
    return _truncated(degenerate + factor * (pixels - degenerate), exact)


def _grey(pixels: Tensor, exact: bool) -> Tensor:
    """Luma (ITU-R 601), in Pillow's 16-bit fixed point: [b, C, H, W] -> [b, 1, H, W]."""
    if pixels.shape[1] == 1:
        return pixels
    weights = torch.tensor([19595.0, 38470.0, 7471.0], device=pixels.device, dtype=torch.float64).view(3, 1, 1)
    luma = (pixels.double() * weights).sum(1, keepdim=True)
    return (torch.floor((luma + 32768.0) / 65536.0) if exact else luma / 65536.0).float()


def _mean_grey(pixels: Tensor, exact: bool) -> Tensor:
    """The mean luma of each image, rounded: [b, C, H, W] -> [b, 1, 1, 1]."""
    mean = _grey(pixels, exact).double().mean((1, 2, 3), keepdim=True)
    return (torch.floor(mean + 0.5) if exact else mean).float()


def _smooth(pixels: Tensor, exact: bool) -> Tensor:
    """Pillow's 3 x 3 smoothing filter (centre 5, neighbours 1, over 13); the border stays as it is."""
    height, width = pixels.shape[2:]
    if height < 3 or width < 3:
        return pixels
    columns = pixels[..., :-2] + pixels[..., 1:-1] + pixels[..., 2:]
    total = columns[..., :-2, :] + columns[..., 1:-1, :] + columns[..., 2:, :] + 4.0 * pixels[..., 1:-1, 1:-1]
    inner = torch.floor((2.0 * total + 13.0) / 26.0) if exact else total / 13.0
    smooth = pixels.clone()
    smooth[..., 1:-1, 1:-1] = inner
    return smooth


def _cutout(images: Tensor, op: Tensor, value: Tensor, center: Tensor, exact: bool) -> Tensor:
    """Fills a square of ``value`` times the width; one that the left or top border would cut is moved inside."""
    height, width = images.shape[2:]
    side = value * width
    inside = []
    for axis, size in ((0, width), (1, height)):
        start = (center[:, axis] * size - side / 2.0).clamp_min(0.0).trunc()
        end = torch.minimum(start + side, torch.full_like(side, float(size))).trunc()
        position = torch.arange(size, device=images.device)
        inside.append((position >= start.unsqueeze(1)) & (position <= end.unsqueeze(1)))
    box = inside[1].unsqueeze(2) & inside[0].unsqueeze(1) & (value > 0).view(-1, 1, 1)  # [b, H, W]
    return torch.where(box.unsqueeze(1), _channel_fill(images, CUTOUT_FILL).view(1, -1, 1, 1), images)


def _truncated(pixels: Tensor, exact: bool) -> Tensor:
    clipped = pixels.clamp(0.0, 255.0)
    return clipped.trunc() if exact else clipped


def _channel_fill(images: Tensor, rgb: Sequence[int]) -> Tensor:
    """An RGB colour in the images' channels and dtype, [C]."""
    colour = torch.tensor(rgb, dtype=torch.float32, device=images.device)
    if images.shape[1] == 1:
        colour = _grey(colour.view(1, 3, 1, 1), exact=True).flatten()
    return colour.to(images.dtype)


def _check(images: Tensor, draw: Draw) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images are [B, C, H, W] with 1 or 3 channels; found {tuple(images.shape)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images are uint8, or float in [0, 1]; found {images.dtype}")
    if len(draw) != len(images):
        raise ValueError(f"the draw is for {len(draw)} images and the batch has {len(images)}")
