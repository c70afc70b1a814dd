"""Every operation and whole policies against Pillow on uint8, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.ops import CUTOUT_FILL, apply
from daas.augment.space import INDEX, OPERATION_NAMES, OPERATIONS, magnitude_table

SIZES = [(32, 32), (17, 23), (40, 12), (224, 224)]
AFFINE = Image.Transform.AFFINE


def pillow(image: Image.Image, name: str, v: float, center: tuple[float, float]) -> Image.Image:
    """The reference, written with Pillow's own functions."""
    w, h = image.size
    geometric = {
        "ShearX": (1, v, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, v, 1, 0),
        "TranslateX": (1, 0, v * w, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, v * h),
    }
    if name in geometric:
        return image.transform(image.size, AFFINE, geometric[name])
    if name == "Cutout":
        return pillow_cutout(image, v, center)
    plain = {
        "Rotate": lambda: image.rotate(v),
        "AutoContrast": lambda: ImageOps.autocontrast(image),
        "Invert": lambda: ImageOps.invert(image),
        "Equalize": lambda: ImageOps.equalize(image),
        "Solarize": lambda: ImageOps.solarize(image, v),
        "Posterize": lambda: ImageOps.posterize(image, int(v)),
    }
    if name in plain:
        return plain[name]()
    return getattr(ImageEnhance, name)(image).enhance(v)


def pillow_cutout(image: Image.Image, v: float, center: tuple[float, float]) -> Image.Image:
    w, h = image.size
    side = v * w
    if side <= 0:
        return image
    x0, y0 = int(max(0, center[0] * w - side / 2)), int(max(0, center[1] * h - side / 2))
    image = image.copy()
    color: tuple[int, ...] | int = CUTOUT_FILL if image.mode == "RGB" else 123
    ImageDraw.Draw(image).rectangle((x0, y0, min(w, x0 + side), min(h, y0 + side)), color)
    return image


def reference(images: Tensor, draw: Draw) -> Tensor:
    rows = []
    for b in range(len(images)):
        array = images[b].permute(1, 2, 0).numpy()
        image = Image.fromarray(array if array.shape[2] == 3 else array[..., 0])
        for op, value, center in zip(draw.op[b].tolist(), draw.value[b].tolist(), draw.center[b].tolist(), strict=True):
            if op >= 0:
                image = pillow(image, OPERATION_NAMES[op], value, tuple(center))
        rows.append(torch.from_numpy(np.array(image)).view(images.shape[2], images.shape[3], -1).permute(2, 0, 1))
    return torch.stack(rows)


def pictures(count: int, height: int, width: int, seed: int = 0, channels: int = 3) -> Tensor:
    """Smooth colours, noise, narrow ranges and constant images: [count, channels, height, width] uint8."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    noise = torch.rand(count, channels, height, width, generator=random)
    mixed = (200 * smooth + 55 * noise).clamp(0, 255)
    mixed[1::4] = 90 + mixed[1::4] / 6
    mixed[2::8] = noise[2::8] * 255
    mixed[3::8] = 17.0
    return mixed.to(torch.uint8)


def draw_of(ops: Tensor, seed: int) -> Draw:
    random = torch.Generator().manual_seed(seed)
    table = magnitude_table()
    level = torch.randint(10, ops.shape, generator=random)
    return Draw.from_choices(ops, table[ops, level], torch.ones_like(ops, dtype=torch.bool), random)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("size", SIZES[:3])
@pytest.mark.parametrize("name", OPERATION_NAMES)
def test_an_operation_is_pillows_bit_for_bit(name: str, size: tuple[int, int], channels: int) -> None:
    images = pictures(80, *size, channels=channels)
    draw = draw_of(torch.full((80, 1), INDEX[name]), seed=1)
    assert torch.equal(apply(images, draw), reference(images, draw))


@pytest.mark.parametrize("size", SIZES)
def test_two_operation_policies_are_pillows_bit_for_bit(size: tuple[int, int]) -> None:
    count = 24 if size[0] == 224 else 225
    images = pictures(count, *size, seed=2)
    pairs = torch.cartesian_prod(torch.arange(15), torch.arange(15))
    pairs = pairs[torch.randperm(225, generator=torch.Generator().manual_seed(3))[:count]]
    draw = draw_of(pairs, seed=4)
    assert torch.equal(apply(images, draw), reference(images, draw))


def test_values_beyond_the_search_space_are_pillows_too() -> None:
    values = {"Rotate": 135.0, "ShearX": 0.9, "TranslateY": 0.8, "Contrast": 3.5, "Sharpness": 2.9, "Posterize": 1.0,
              "Brightness": 0.0, "Color": 2.7, "Solarize": 3.0, "Cutout": 0.7}  # fmt: skip
    images = pictures(len(values), 31, 20, seed=5)
    op = torch.tensor([[INDEX[name]] for name in values])
    value = torch.tensor([[v] for v in values.values()], dtype=torch.float64)
    draw = Draw.from_choices(op, value, torch.ones_like(op, dtype=torch.bool), torch.Generator().manual_seed(6))
    assert torch.equal(apply(images, draw), reference(images, draw))


def test_order_matters_and_slot_0_comes_first() -> None:
    images = pictures(4, 16, 16)
    op = torch.tensor([[INDEX["Solarize"], INDEX["Invert"]]]).expand(4, 2)
    value = torch.tensor([[128.0, 0.0]], dtype=torch.float64).expand(4, 2)
    draw = Draw(op, value, torch.zeros(4, 2, 2, dtype=torch.float64))
    expected = 255 - torch.where(images < 128, images, 255 - images)
    assert torch.equal(apply(images, draw), expected)
    swapped = Draw(op.flip(1), value.flip(1), draw.center)
    assert not torch.equal(apply(images, swapped), expected)


def test_nothing_applied_changes_nothing_and_the_input_is_left_alone() -> None:
    images = pictures(6, 16, 16)
    before = images.clone()
    nothing = Draw(torch.full((6, 2), -1), torch.zeros(6, 2).double(), torch.zeros(6, 2, 2).double())
    assert torch.equal(apply(images, nothing), images)
    apply(images, draw_of(torch.arange(12).view(6, 2), seed=1))
    assert torch.equal(images, before)


def test_quantised_float_equals_uint8() -> None:
    images = pictures(225, 16, 18, seed=7)
    draw = draw_of(torch.cartesian_prod(torch.arange(15), torch.arange(15)), seed=8)
    exact = apply(images, draw)
    for dtype in (torch.float32, torch.float64):
        assert torch.equal((apply(images.to(dtype) / 255, draw) * 255).round().to(torch.uint8), exact)
    assert apply(images.half() / 255, draw).dtype == torch.float16


def test_unquantised_float_stays_close_and_passes_gradients() -> None:
    images = pictures(15, 16, 16, seed=9)
    draw = draw_of(torch.arange(15).unsqueeze(1), seed=10)
    soft = (images.double() / 255).requires_grad_()
    result = apply(soft, draw, quantize=False)
    difference = (result * 255 - apply(images, draw)).abs()
    assert difference.max() <= 2.0
    gradient = torch.autograd.grad(result.sum(), soft)[0]
    flat = [INDEX["Equalize"], INDEX["Posterize"]]
    passing = [b for b in range(15) if b not in flat]
    assert (gradient[passing].abs().flatten(1).sum(1) > 0).all()


@pytest.mark.parametrize("layout", ["channels_last", "strided", "one", "empty"])
def test_layouts(layout: str) -> None:
    images = pictures(8, 16, 16)
    draw = draw_of(torch.arange(16).view(8, 2) % 15, seed=11)
    expected = apply(images, draw)
    if layout == "channels_last":
        assert torch.equal(apply(images.contiguous(memory_format=torch.channels_last), draw), expected)
    elif layout == "strided":
        assert torch.equal(apply(images.repeat_interleave(2, 0)[::2], draw), expected)
    elif layout == "one":
        assert torch.equal(apply(images[3:4], draw[3:4]), expected[3:4])
    else:
        assert apply(images[:0], draw[:0]).shape == (0, 3, 16, 16)


@pytest.mark.parametrize(
    ("images", "rows"),
    [
        (torch.zeros(2, 4, 8, 8), 2),
        (torch.zeros(3, 8, 8), 3),
        (torch.zeros(2, 3, 8, 8).long(), 2),
        (torch.zeros(2, 3, 8, 8), 3),
    ],
)
def test_wrong_input_is_refused(images: Tensor, rows: int) -> None:
    with pytest.raises(ValueError, match=r"found|batch has"):
        apply(images, draw_of(torch.zeros(rows, 2, dtype=torch.int64), seed=0))


def test_every_operation_has_a_family_that_runs_it() -> None:
    """An operation without a family would silently do nothing."""
    images = pictures(15, 16, 16, seed=12)
    images[11] = images[3] = images[4]  # constant pictures have no colour to change
    strong = torch.tensor([[0.3, 0.3, 0.45, 0.45, 30, 0, 0, 0, 0, 4, 0.1, 0.1, 0.1, 0.1, 0.2]], dtype=torch.float64).T
    draw = Draw(torch.arange(15).unsqueeze(1), strong, torch.full((15, 1, 2), 0.5, dtype=torch.float64))
    changed = (apply(images, draw) != images).flatten(1).any(1)
    assert [OPERATIONS[i].name for i in range(15) if not changed[i]] == []
