"""Look-up tables (AutoContrast, Equalize) and the blends (Contrast, Color, Sharpness) on bytes, in plain torch.

All functions map [b, C, H, W] uint8 to the same and truncate where Pillow truncates. Images of one kind are neighbours
in the batch and ``counts`` says how many there are of each. Whole numbers below 2 ** 24 are exact in float32: enough
for luma and blending. Every rounding is an operation of its own, so that no compiler fuses two into one.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BEYOND = 1e9  # no entry of a table that is used is as large; divisions by zero are


def look_up(images: Tensor, tables: Tensor, counts: tuple[int, ...], numbers: Tensor) -> Tensor:
    """Maps every level of an image by a table.

    Args:
        images: [b, C, H, W]: first those for Equalize, then AutoContrast, then the others.
        tables: [b, 256] uint8, of the others; the identity for Equalize and AutoContrast.
        counts: How many there are for Equalize, AutoContrast and of the others, as far as there are any.
        numbers: At least 256, from 0 on.
    """
    levels = images.flatten(2).long()  # [b, C, H W]
    equalized, stretched = (*counts, 0)[:2]
    whole = tables.unsqueeze(1).expand(-1, images.shape[1], -1)
    looking = equalized + stretched  # images whose table depends on what they show
    if looking:
        high = levels[:looking].amax(-1, keepdim=True)
        table = torch.empty(looking, images.shape[1], 256, dtype=torch.float64, device=images.device)
        if equalized:
            _equalize(levels[:equalized], high[:equalized], numbers, table[:equalized])
        if stretched:
            _autocontrast(levels[equalized:looking], high[equalized:], numbers, table[equalized:])
        # A channel that cannot be stretched or flattened stays as it is: there it was divided by zero.
        table = torch.where(table < _BEYOND, table, whole[:looking]).clamp_(0.0, 255.0).to(torch.uint8)
        whole = table if looking == len(images) else torch.cat([table, whole[looking:]])
    return whole.gather(2, levels).view_as(images)


def _autocontrast(levels: Tensor, high: Tensor, numbers: Tensor, table: Tensor) -> None:
    """Stretches each channel to the full range, in float64 as Pillow does: [b, C, 256], nan if it is constant."""
    low = levels.amin(-1, keepdim=True)
    # A division of tensors: 255.0 / tensor would multiply by a reciprocal, which is one unit in the last place off.
    scale = torch.div(torch.tensor(255.0, dtype=torch.float64, device="cpu"), high - low)
    torch.sub(numbers[:256] * scale, low * scale, out=table)


def _equalize(levels: Tensor, high: Tensor, numbers: Tensor, table: Tensor) -> None:
    """Flattens the histogram of each channel: [b, C, 256] float64, not finite where it is too small for that.

    Pillow's ``(before + step // 2) // step`` in whole numbers is the floor of ``(before + step / 2) / step``, and
    quotients of whole numbers below 2 ** 53 have the right floor in float64.
    """
    histogram = levels.new_zeros(*levels.shape[:2], 257)
    histogram[..., 1:].scatter_add_(2, levels, numbers[1].expand_as(levels))
    before = histogram.cumsum(2)[..., :256]
    wide = torch.tensor(255.0, dtype=torch.float64, device="cpu")
    step = torch.div(before.gather(2, high), wide, rounding_mode="floor")  # [b, C, 1]
    torch.div(torch.add(before, step, alpha=0.5), step, out=table)


def blend(images: Tensor, factors: Tensor, luma: Tensor, counts: tuple[int, ...]) -> Tensor:
    """``base + factor (x - base)``, clipped.

    Args:
        images: [b, C, H, W]: first those for Contrast, then Color, then Sharpness.
        factors: [b, 1].
        luma: [b, 6], ITU-R 601 in Pillow's 16-bit fixed point: a weight per channel, then what is added to each.
        counts: How many there are for each, as far as there are any.
    """
    flat, grey, sharp = (*counts, 0, 0)[:3]
    pixels = images.float()
    base = pixels + 0.5  # rounded down in the end: the pixel itself where nothing else is put
    if flat + grey:
        shades = _luma(pixels[: flat + grey], luma[: flat + grey])
        if flat:
            base[:flat] = _mean(shades[:flat])
        if grey:
            base[flat : flat + grey] = shades[flat:]
    if sharp and min(images.shape[2:]) >= 3:
        _smooth(base[flat + grey :])
    base.floor_()
    mixed = pixels.sub_(base).mul_(factors.view(-1, 1, 1, 1)).add_(base)
    return mixed.clamp_(0.0, 255.0).to(torch.uint8)


def _luma(pixels: Tensor, weights: Tensor) -> Tensor:
    """[b, C, H, W] -> [b, 1, H, W], whole numbers."""
    if pixels.shape[1] == 1:
        return pixels
    weight, addend = weights.view(-1, 2, 3, 1, 1).unbind(1)
    return torch.addcmul(addend, pixels, weight).sum(1, keepdim=True).div_(65536.0, rounding_mode="floor")


def _mean(shades: Tensor) -> Tensor:
    """Of each image, rounded to a whole number, half upwards: [b, 1, 1, 1] float64."""
    count = shades[0].numel()
    total = shades.sum((1, 2, 3), keepdim=True, dtype=torch.float64)
    return total.add_(count / 2.0).div_(count, rounding_mode="floor")


def _smooth(halves: Tensor) -> None:
    """Pillow's 3 x 3 filter (centre 5, neighbours 1, over 13), in place; the border stays.

    Args:
        halves: [b, C, H, W], levels plus 1 / 2. With n the weighted sum of levels it becomes (n + 13 / 2) / 13, never
            within rounding of a whole number, so that its floor is n / 13 rounded.
    """
    columns = (halves[..., :-2] + halves[..., 1:-1]).add_(halves[..., 2:])
    total = (columns[..., :-2, :] + columns[..., 1:-1, :]).add_(columns[..., 2:, :])
    total.add_(halves[..., 1:-1, 1:-1], alpha=4)
    torch.mul(total, 1.0 / 13.0, out=halves[..., 1:-1, 1:-1])
