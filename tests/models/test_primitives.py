"""Primitives: the fast depthwise convolution is the plain one; unknown names are refused."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d

from daas.errors import BadInput
from daas.models.primitives import PRIMITIVE_NAMES, build_primitive, dilated_depthwise


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(8, 6), (7, 9), (2, 2), (1, 4)])
def test_dilated_depthwise_and_its_gradients(
    size: tuple[int, int], kernel: int, stride: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(3, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    expected = conv2d(x, weight, None, stride, kernel - 1, 2, 3)
    direction = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * direction).sum(), (x, weight))
    for training in (False, True):
        found = dilated_depthwise(x, weight, stride, training)
        torch.testing.assert_close(found, expected)
        for a, b in zip(torch.autograd.grad((found * direction).sum(), (x, weight)), wanted, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", PRIMITIVE_NAMES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [8, 9])
def test_every_primitive_keeps_or_halves_the_size(name: str, stride: int, size: int) -> None:
    out = build_primitive(name, 4, stride)(torch.randn(2, 4, size, size))
    assert out.shape == (2, 4, -(-size // stride), -(-size // stride))


def test_unknown_names() -> None:
    with pytest.raises(BadInput, match="unknown primitive 'conv_9x9'; known are max_pool_3x3"):
        build_primitive("conv_9x9", 4, 1)
