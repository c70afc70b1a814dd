"""Float images by Kornia's functions, against float64 formulas of the same operations without truncation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from daas import DAASPolicy
from daas.augment import Draw
from daas.augment.ops import apply
from daas.augment.space import INDEX, matrices
from tests.augment.inputs import pictures

FILL = (10, 200, 30)
GREY = (125, 123, 114)
VALUES = {"ShearX": 0.21, "ShearY": -0.17, "TranslateX": 0.13, "TranslateY": -0.22, "Rotate": 23.0, "AutoContrast": 0.0,
          "Invert": 0.0, "Equalize": 0.0, "Solarize": 100.3, "Posterize": 5.7, "Contrast": 1.6, "Color": 0.3,
          "Brightness": 1.4, "Sharpness": 1.8, "Cutout": 0.3, "HFlip": 0.0, "VFlip": 0.0, "Rot90": 1.0,
          "Grayscale": 0.0, "Crop": 0.37}  # fmt: skip
MOVING = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "HFlip", "VFlip", "Rot90", "Crop")

# The largest difference in value and in gradient, in float64, of what is written below (the float path that there was
# before Kornia's functions), for images in [0, 1]. Where nothing is said the two differ by rounding.
ROUNDING = (1e-13, 1e-13)
DIFFERENCES = {
    "AutoContrast": (1e-11, 1e-9),  # divides by the spread plus 1e-12
    "Contrast": (2e-7, 1e-5),  # luma 0.299, 0.587, 0.114 instead of Pillow's 16-bit fractions; the mean evens them out
    "Color": (5e-6, 2e-5),  # the same luma, for each pixel
    "Grayscale": (5e-6, 2e-5),  # the same luma
}


def luma(x: Tensor) -> Tensor:
    return (x * torch.tensor([19595.0, 38470.0, 7471.0]).double().view(3, 1, 1) / 65536).sum(1, keepdim=True)


def mixed(base: Tensor, x: Tensor, v: float) -> Tensor:
    return (base + v * (x - base)).clamp(0, 1)


def autocontrast(x: Tensor, v: float) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / torch.where(high > low, high - low, 1.0), x)


def equalize(x: Tensor, v: float) -> Tensor:
    """Pillow's look-up table for each plane; flat."""
    result = x.clone()
    for plane in result.flatten(0, 1):
        levels = (plane * 255).long()
        counts = torch.bincount(levels.flatten(), minlength=256)
        step = (counts.sum() - counts[levels.max()]) // 255
        if step:
            before = counts.cumsum(0) - counts
            plane.copy_(((before + step // 2) // step).clamp_max(255)[levels].double() / 255)
    return result


def sharpness(x: Tensor, v: float) -> Tensor:
    kernel = torch.ones(3, 1, 3, 3).double()
    kernel[:, :, 1, 1] = 5
    smooth = x.clone()
    smooth[..., 1:-1, 1:-1] = torch.nn.functional.conv2d(x, kernel / 13, groups=3)
    return mixed(smooth, x, v)


def cutout(x: Tensor, v: float) -> Tensor:
    """Centred at (0.3, 0.3) of 24 x 20 pixels, 7.2 wide."""
    result = x.clone()
    result[:, :, 2:10, 3:11] = torch.tensor(GREY).double().view(3, 1, 1) / 255
    return result


FORMULAS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "AutoContrast": autocontrast,
    "Invert": lambda x, v: 1 - x,
    "Equalize": equalize,
    "Solarize": lambda x, v: torch.where(x < 101 / 255, x, 1 - x),
    "Posterize": lambda x, v: (x * 255 / 8).floor() * 8 / 255,
    "Contrast": lambda x, v: mixed(luma(x).mean((2, 3), keepdim=True), x, v),
    "Color": lambda x, v: mixed(luma(x), x, v),
    "Grayscale": lambda x, v: mixed(luma(x), x, v),
    "Brightness": lambda x, v: (x * v).clamp(0, 1),
    "Sharpness": sharpness,
    "Cutout": cutout,
}


def moved(name: str, x: Tensor, v: float, interpolation: str) -> tuple[Tensor, Tensor]:
    """The image on an endless plane of the fill, looked up; and how many of the four neighbours are in the image."""
    height, width = x.shape[2:]
    a, b, c, d, e, f = matrices(np.array([INDEX[name]]), np.array([v]), np.full((1, 2), 0.3), height, width)[0]
    rows, columns = torch.arange(height).double() + 0.5, torch.arange(width).double() + 0.5
    grid_y, grid_x = torch.meshgrid(rows, columns, indexing="ij")
    source_x, source_y = a * grid_x + b * grid_y + c, d * grid_x + e * grid_y + f
    if name.startswith("Translate") and interpolation == "nearest":  # by whole pixels
        source_x, source_y = grid_x + round(c), grid_y + round(f)
    plane = (torch.tensor(FILL).double().view(3, 1, 1) / 255).expand(len(x), 3, 3 * height, 3 * width).clone()
    plane[..., height : 2 * height, width : 2 * width] = x
    inside = torch.zeros(3 * height, 3 * width)
    inside[height : 2 * height, width : 2 * width] = 1.0

    def at(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        row, column = (row.long() + height).clamp(0, 3 * height - 1), (column.long() + width).clamp(0, 3 * width - 1)
        return plane[..., row, column], inside[row, column]

    if interpolation == "nearest":
        return at(source_y.floor(), source_x.floor())
    left, top = (source_x - 0.5).floor(), (source_y - 0.5).floor()
    x_part, y_part = source_x - 0.5 - left, source_y - 0.5 - top
    corners = [at(top + j, left + i) for j in (0, 1) for i in (0, 1)]
    shares = [(y_part if j else 1 - y_part) * (x_part if i else 1 - x_part) for j in (0, 1) for i in (0, 1)]
    value = torch.stack([share * value for share, (value, _) in zip(shares, corners, strict=True)]).sum(0)
    return value, torch.stack([known for _, known in corners]).amin(0)


def images() -> Tensor:
    x = torch.rand(4, 3, 20, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.8 + 0.1
    x[1] = 0.3  # constant planes
    return x


def draws(name: str, count: int) -> Draw:
    op = torch.full((count, 1), INDEX[name])
    value = torch.full((count, 1), VALUES[name], dtype=torch.float64)
    return Draw(op, value, torch.full((count, 1, 2), 0.3, dtype=torch.float64))


def with_gradient(run: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    y = run(x)
    weight = torch.rand(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gradient = torch.autograd.grad((y * weight).sum(), x)[0] if y.requires_grad else torch.zeros_like(x)
    return y.detach(), gradient


@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_gradients_are_those_of_the_formulas(name: str) -> None:
    x, draw = images(), draws(name, 4)
    y, gradient = with_gradient(lambda x: apply(x, draw, quantize=False), x)
    if name == "Equalize":  # the formula writes in place: it has no gradient to ask for, and neither has the operation
        expected, slope = equalize(x, 0.0), torch.zeros_like(x)
        slope[1] = gradient[1]  # images that are left alone keep theirs
    else:
        expected, slope = with_gradient(lambda x: FORMULAS[name](x, VALUES[name]), x)
    values, gradients = DIFFERENCES.get(name, ROUNDING)
    assert (y - expected).abs().max() < values
    assert (gradient - slope).abs().max() < gradients
    assert not torch.equal(y, x)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("name", MOVING)
def test_moves_are_look_ups_on_a_plane_of_the_fill(name: str, interpolation: str) -> None:
    x, draw = images(), draws(name, 4)
    y, gradient = with_gradient(
        lambda x: apply(x, draw, fill=FILL, quantize=False, interpolation=interpolation),  # type: ignore[arg-type]
        x,
    )
    expected, slope = with_gradient(lambda x: moved(name, x, VALUES[name], interpolation)[0], x)
    other = (y - expected).abs() > 1e-12
    if (name, interpolation) == ("Rotate", "nearest"):  # where a look falls between two pixels, in 16-bit fixed point
        assert other.double().mean() < 0.01
    else:
        assert not other.any()
        assert (gradient - slope).abs().max() < 1e-12


@pytest.mark.parametrize("name", MOVING)
def test_bilinear_is_that_of_bytes_but_for_the_borders(name: str) -> None:
    """Pillow fills a pixel whose source is outside as a whole, and repeats the border; Kornia blends in the fill."""
    levels = pictures(4, 20, 24)
    draw = draws(name, 4)
    exact = apply(levels, draw, fill=FILL, interpolation="bilinear")
    soft = apply(levels.double() / 255, draw, fill=FILL, quantize=False, interpolation="bilinear") * 255
    whole = moved(name, levels.double(), VALUES[name], "bilinear")[1].bool()
    assert whole.double().mean() > 0.5
    assert (soft - exact)[..., whole].abs().max() <= 1.001  # bytes are truncated
    if name in ("ShearX", "TranslateX", "Rotate"):
        assert (soft - exact)[..., ~whole].abs().max() > 5.0


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (1, 9)])
def test_small_images(size: tuple[int, int]) -> None:
    for interpolation in ("nearest", "bilinear"):
        for name in VALUES:
            x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(3))
            y = apply(x, draws(name, 2), quantize=False, interpolation=interpolation)  # type: ignore[arg-type]
            assert y.shape == x.shape
            assert torch.isfinite(y).all()
            if name == "Sharpness":
                assert torch.equal(y, x)


def test_one_channel_is_what_three_equal_ones_are() -> None:
    x = images()[:, :1]
    for name in (name for name in VALUES if name != "Cutout"):
        one = apply(x, draws(name, 4), quantize=False)
        torch.testing.assert_close(one, apply(x.expand(-1, 3, -1, -1), draws(name, 4), quantize=False)[:, :1])


def test_half_precision_around_it_changes_nothing() -> None:
    policy = DAASPolicy.load("autoaugment_imagenet", quantize=False, interpolation="bilinear")
    x = images().float()
    draw = policy.sample(4, torch.Generator().manual_seed(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = policy.apply(x, draw)
    assert torch.equal(inside, policy.apply(x, draw))
