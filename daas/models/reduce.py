"""Half the resolution without losing pixels, as DARTS (Liu et al., ICLR 2019) does it, and its gradient on CPUs."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.fx
from torch import Tensor, nn
from torch._jit_internal import is_scripting  # torch.jit's, which does not export it to type checkers
from torch.nn import functional as F

from daas.models.depthwise import trains_on_cpu


def quarters(x: Tensor) -> tuple[Tensor, Tensor]:
    """Every other pixel of every other row, and the pixels one step further down and right, zero beyond the border.

    Args:
        x: [B, C, H, W].

    Returns:
        Twice [B, C, ceil(H/2), ceil(W/2)].
    """
    height, width = x.shape[2:]
    if height % 2 or width % 2:
        x = F.pad(x, (0, width % 2, 0, height % 2))
    if not is_scripting():  # noqa: SIM102  # TorchScript cuts off this branch alone
        if trains_on_cpu(x):
            return _with_gradient(x)
    return _cut(x)


torch.fx.wrap("quarters")  # one node of a traced graph: it looks at sizes and at the device


def _cut(x: Tensor) -> tuple[Tensor, Tensor]:
    """The quarters of an image of even sides."""
    height, width = x.shape[2:]
    # with the channels last also in between: so is then the gradient
    squares = x.permute(0, 2, 3, 1).unflatten(1, (height // 2, 2)).unflatten(3, (width // 2, 2))
    return squares[:, :, 0, :, 0].permute(0, 3, 1, 2), squares[:, :, 1, :, 1].permute(0, 3, 1, 2)


def _with_gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    return cast(tuple[Tensor, Tensor], _Quarters.apply(x))  # torch's


class _Quarters(torch.autograd.Function):
    """``_cut`` whose gradient is put together in one image; that of four selections fills and adds six."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return _cut(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.shape = inputs[0].shape

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor:
        even, odd = (grad.permute(0, 2, 3, 1) for grad in grads)
        batch, channels, height, width = ctx.shape
        whole: Tensor = even.new_zeros((batch, height, width, channels))
        whole[:, ::2, ::2] = even
        whole[:, 1::2, 1::2] = odd
        return whole.permute(0, 3, 1, 2)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, Tensor]:
        return _cut(tangents[0])


class OffsetReduce(nn.Module):
    """Halves the resolution without losing pixels: two 1x1 convolutions of a quarter of them each, a pixel apart.

    Args:
        c_in: Input channels.
        c_out: Output channels, even.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - c_out // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, ceil(H/2), ceil(W/2)]."""
        even, odd = quarters(x)
        return torch.cat([self.even(even), self.odd(odd)], 1)
