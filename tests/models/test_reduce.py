"""Quarters of an image are plain slices, in value and in every kind of derivative."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from daas.models.reduce import OffsetReduce, quarters

SIZES = [(8, 6), (7, 9), (1, 1), (2, 3)]


def plain(x: Tensor) -> tuple[Tensor, Tensor]:
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    return x[:, :, ::2, ::2], x[:, :, 1::2, 1::2]


def image(size: tuple[int, int]) -> Tensor:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("size", SIZES)
def test_value_gradient_and_forward_mode(size: tuple[int, int]) -> None:
    x = image(size)
    expected, found = plain(x), quarters(x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    directions = [torch.randn_like(part) for part in expected]
    wanted = torch.autograd.grad(expected, x, directions)[0]
    assert torch.equal(torch.autograd.grad(found, x, directions)[0], wanted)
    assert torch.equal(
        torch.autograd.grad(quarters(x)[1], x, directions[1])[0], torch.autograd.grad(plain(x)[1], x, directions[1])[0]
    )
    tangent = torch.randn_like(x)
    for a, b in zip(torch.func.jvp(quarters, (x,), (tangent,))[1], plain(tangent), strict=True):
        assert torch.equal(a, b)


def test_second_derivatives() -> None:
    def squares(x: Tensor) -> Tensor:
        even, odd = quarters(x)
        return (even**2 * odd).sum()

    assert torch.autograd.gradgradcheck(squares, (image((4, 6)),))


def test_the_gradient_has_the_channels_last() -> None:
    x = image((8, 6))
    (gradient,) = torch.autograd.grad(sum(part.sum() for part in quarters(x)), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore:.*torch.jit:")
def test_other_ways_to_run_it() -> None:
    module, x = OffsetReduce(3, 4), torch.randn(1, 3, 7, 8)
    expected = module(x)
    assert expected.shape == (1, 4, 4, 4)
    torch.testing.assert_close(torch.jit.trace(module, x)(x), expected)
    torch.testing.assert_close(torch.jit.script(module)(x), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(module)(x), expected)
    torch.testing.assert_close(torch.compile(module, backend="eager", fullgraph=True)(x), expected)
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), expected)
