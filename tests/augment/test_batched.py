"""The torch implementation: gradients, unquantised floats, and no waiting for the device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from daas.augment import batched
from daas.augment.draw import Draw
from daas.augment.ops import apply, fill_colors
from daas.augment.space import INDEX, OPERATION_NAMES
from tests.augment.inputs import all_pairs, draw_of, pictures

FLAT = ("Equalize", "Posterize")  # their derivative is zero wherever it exists


def test_unquantised_float_stays_close() -> None:
    images = pictures(150, 16, 16, seed=9)
    draw = draw_of(torch.arange(15).repeat(10).unsqueeze(1), seed=10)
    for dtype in (torch.float64, torch.float32):
        soft = apply(images.to(dtype) / 255, draw, quantize=False)
        exact = apply(images, draw)
        assert soft.dtype == dtype
        assert (soft * 255 - exact).abs().max() <= 2.0


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("name", OPERATION_NAMES)
def test_gradients_are_the_derivatives(name: str, interpolation: str) -> None:
    """Against finite differences in float64, at pictures whose pixels all differ (AutoContrast sorts them)."""
    height, width = (20, 20) if name in FLAT else (5, 6)  # Equalize leaves pictures of fewer than 256 pixels alone
    order = torch.randperm(6 * height * width, generator=torch.Generator().manual_seed(3)).double()
    images = ((order.view(2, 3, height, width) / order.numel() * 126.0 + 35.31) / 255).requires_grad_()
    draw = draw_of(torch.full((2, 1), INDEX[name]), seed=4)

    def run(x: Tensor) -> Tensor:
        return apply(x, draw, quantize=False, interpolation=interpolation)  # type: ignore[arg-type]  # a parameter

    result = run(images)
    if name in FLAT:
        assert not torch.equal(result, images)
        assert not result.requires_grad or not torch.autograd.grad(result.sum(), images)[0].any()
    else:
        assert torch.autograd.gradcheck(run, (images,), eps=1e-6, atol=1e-6)
        assert torch.autograd.grad(result.square().sum(), images)[0].any()


def test_half_precision_is_computed_in_single() -> None:
    images = pictures(225, 16, 16, seed=9)
    draw = draw_of(all_pairs(), seed=10)
    floats = images.float() / 255
    for dtype in (torch.float16, torch.bfloat16):
        result = apply(floats.to(dtype), draw, quantize=False)
        assert torch.equal(result, apply(floats.to(dtype).float(), draw, quantize=False).to(dtype))


@pytest.mark.parametrize("bilinear", [False, True])
@pytest.mark.parametrize("exact", [False, True])
def test_nothing_waits_for_the_device(exact: bool, bilinear: bool) -> None:
    """The meta device has shapes and no values: whoever asks for a value there gets an error."""
    images = torch.empty(225, 3, 16, 16, device="meta", dtype=torch.uint8 if exact else torch.float32)
    draw = draw_of(all_pairs(), seed=1)
    result = batched.run(images, draw, fill_colors((0, 0, 0), 3), bilinear, "bytes" if exact else "floats")
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
    with pytest.raises((RuntimeError, NotImplementedError)):
        (images > 0).nonzero()  # what this test would notice


def operators(images: Tensor, draw: Draw) -> int:
    """Operators that the CPU profiler sees, those within others included, but for one that zeros take only if many."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        apply(images, draw, backend="torch")
    return sum(
        event.count for event in seen.key_averages() if event.key.startswith("aten::") and event.key != "aten::fill_"
    )


def test_neither_sub_policies_nor_images_add_operators() -> None:
    pairs = all_pairs()  # every operation in either slot
    few = operators(pictures(225, 16, 16), draw_of(pairs, seed=1))
    many = operators(pictures(900, 16, 16), draw_of(pairs.repeat(4, 1)[torch.randperm(900)], seed=2))
    assert few == many
    one = operators(pictures(9, 16, 16), draw_of(pairs[:9], seed=3))
    assert one < few / 2  # the measure sees what is not there
