"""Depthwise convolutions that are also fast to train on CPUs, where the backward pass of some of them is very slow.

oneDNN, which PyTorch uses there, has fast code for the gradient of a depthwise kernel without dilation and up to three
columns wide, and general code, up to ten times slower, for all others. With stride 1 every gradient is put together
here from calls that have fast code:

- of the input: it is a convolution of the output's gradient with the kernel turned around;
- of the kernel: its three middle columns at once, each further one as a kernel of one column on a shifted image;
- with dilation 2: of the pixels sorted by the parity of row and column, four images without dilation.

In half precision the general code is also wrong: with bfloat16 and the channels last, oneDNN leaves memory unset in the
gradient of a kernel with dilation 2 (maps of 29 columns or more; found in PyTorch 2.6, 2.11 and 2.14 on processors with
AVX512-BF16), and in that of a kernel with stride 2 over one column. Nothing here calls it for those.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.fx
from torch import Tensor, nn
from torch._jit_internal import is_scripting  # torch.jit's, which does not export it to type checkers
from torch.nn import functional as F


def channels_last(x: Tensor) -> Tensor:
    """On CPUs, depthwise convolutions and pools are several times faster with the channels last: set out that way."""
    if not is_scripting():  # noqa: SIM102  # TorchScript cuts off this branch alone
        if not torch.compiler.is_compiling() and _transformed():
            return x
    return x.contiguous(memory_format=torch.channels_last) if x.is_cpu else x


def dense_gradient(x: Tensor) -> Tensor:
    """x; on CPUs its gradient will be set out in memory as x is, also if it is cut out of that of a concatenation.

    The backward passes of batch norm and ReLU are several times slower on a cut-out.
    """
    if not is_scripting():  # noqa: SIM102  # TorchScript cuts off this branch alone
        if x.requires_grad and trains_on_cpu(x):
            x.register_hook(channels_last)
    return x


def depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """A depthwise convolution that keeps the size, or halves it with stride 2.

    Args:
        x: [B, C, H, W].
        weight: [C, 1, k, k], k odd.
        stride: 1 or 2.
        dilation: 1 or 2.

    Returns:
        [B, C, ceil(H/stride), ceil(W/stride)].
    """
    if stride == 2 and dilation == 2:  # reads only every other pixel
        x, stride, dilation = x.permute(0, 2, 3, 1)[:, ::2, ::2].permute(0, 3, 1, 2), 1, 1
    if not is_scripting():
        if _trains_in_half_on_cpu(x):
            return _in_half(x, weight, stride, dilation)
        if stride == 1 and trains_on_cpu(x):
            return _trained(x, weight, dilation)
    around = dilation * (weight.shape[-1] // 2)
    return F.conv2d(x, weight, None, stride, [around, around], dilation, weight.shape[0])


torch.fx.wrap("depthwise")  # one node of a traced graph: it looks at the device (and so wherever these are called)


class Depthwise(nn.Conv2d):
    """``depthwise`` with its weight.

    Args:
        channels: Input and output channels.
        kernel: Odd.
        stride: 1 or 2.
        dilation: 1 or 2.
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(channels, channels, kernel, stride, padding, dilation, channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, ceil(H/stride), ceil(W/stride)]."""
        return depthwise(input, self.weight, self.stride[0], self.dilation[0])


def trains_on_cpu(x: Tensor) -> bool:
    """Whether a CPU will take gradients, in x's own precision, and no compiler, exporter or ``vmap`` looks on.

    Those know PyTorch's operations only.
    """
    left_to_torch = torch.compiler.is_compiling() or torch._C._is_tracing() or torch.is_autocast_enabled("cpu")
    return x.is_cpu and torch.is_grad_enabled() and not left_to_torch and not _transformed()


def _transformed() -> bool:
    """Whether a transform of ``torch.func`` runs other than forward mode: ``vmap``, or gradients that it may batch."""
    levels = torch._C._functorch.get_interpreter_stack() or []
    return any(level.key() != torch._C._functorch.TransformType.Jvp for level in levels)


def _exporting() -> bool:
    """Whether torch.export looks on; PyTorch 2.6 does not tell it from a compiler, and a compiled network trains."""
    return hasattr(torch.compiler, "is_exporting") and torch.compiler.is_exporting()


def _trains_in_half_on_cpu(x: Tensor) -> bool:
    """Whether a CPU will take gradients in bfloat16 or float16, of its own or by autocast, and nobody exports it.

    Other than an exported network, a compiled one trains.
    """
    if _exporting() or (not torch.compiler.is_compiling() and torch._C._is_tracing()):
        return False
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return x.is_cpu and torch.is_grad_enabled() and dtype in (torch.bfloat16, torch.float16)


def _in_half(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """``depthwise`` by convolutions whose gradients are right; with stride 2 there is no dilation."""
    height, width = x.shape[2:]
    if dilation == 2:
        if height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2))
        return _from_parity(_convolution(_by_parity(x), weight, 1))[:, :, :height, :width]
    if stride == 2 and width == 1:
        return _convolution(x, weight, 1)[:, :, ::2]
    return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, weight.shape[0])


def _trained(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    return cast(Tensor, _Depthwise.apply(x, weight, dilation))  # torch's


class _Depthwise(torch.autograd.Function):
    """With stride 1, and gradients from fast code; can be differentiated forward, backward, and twice."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        return _convolution(x, weight, dilation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        x, weight, ctx.dilation = inputs
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        of_input, of_weight, _ = ctx.needs_input_grad
        if torch.is_grad_enabled():  # it will be differentiated once more: PyTorch's own rule can be
            return (*_gradients(grads[0], x, weight, ctx.dilation, [of_input, of_weight, False]), None)
        return (
            _convolution(grads[0], weight.flip(2, 3), ctx.dilation) if of_input else None,
            _weight_gradient(grads[0], x, weight, ctx.dilation) if of_weight else None,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        x, weight = ctx.saved_tensors
        along_x, along_weight, _ = tangents
        if along_x is None:
            return _convolution(x, along_weight, ctx.dilation)
        along = _convolution(along_x, weight, ctx.dilation)
        return along if along_weight is None else along + _convolution(x, along_weight, ctx.dilation)


def _convolution(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    return F.conv2d(x, weight, None, 1, dilation * (weight.shape[-1] // 2), dilation, weight.shape[0])


def _gradients(grad: Tensor, x: Tensor, weight: Tensor, dilation: int, mask: list[bool]) -> tuple[Tensor, Tensor]:
    """PyTorch's gradients of a convolution that keeps the size, in input and weight, as far as the mask asks."""
    padding = [dilation * (side // 2) for side in weight.shape[2:]]
    of_input, of_weight, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, [1, 1], padding, [dilation, dilation], False, [0, 0], weight.shape[0], mask
    )
    return of_input, of_weight


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    if dilation == 1:
        return _by_columns(grad, x, weight)
    if x.shape[2] % 2 or x.shape[3] % 2:
        return _gradients(grad, x, weight, dilation, [False, True, False])[1]
    return _by_columns(_by_parity(grad), _by_parity(x), weight)


def _by_parity(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [4B, C, H/2, W/2]: the pixels of even and of odd rows and columns."""
    batch, channels, height, width = x.shape
    parts = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels).permute(2, 4, 0, 1, 3, 5)
    return parts.reshape(4 * batch, height // 2, width // 2, channels).permute(0, 3, 1, 2)


def _from_parity(x: Tensor) -> Tensor:
    """The inverse of ``_by_parity``."""
    batch, channels, height, width = x.shape
    parts = x.permute(0, 2, 3, 1).reshape(2, 2, batch // 4, height, width, channels).permute(2, 3, 0, 4, 1, 5)
    return parts.reshape(batch // 4, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _by_columns(grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """The gradient of a kernel without dilation: the three middle columns, then single ones right and left of them.

    The column at offset o from the middle has the gradient sum over w of grad[w] x[w + o]: that of a kernel of one
    column, where grad and x are without the columns that no w reaches.
    """

    def part(grad: Tensor, x: Tensor, columns: int) -> Tensor:
        like = weight[..., :columns].contiguous()
        return _gradients(channels_last(grad), channels_last(x), like, 1, [False, True, False])[1]

    columns, width = weight.shape[-1], x.shape[-1]
    if columns <= 3:
        return part(grad, x, columns)
    parts = {0: part(grad, x, 3)}
    for offset in range(2, columns // 2 + 1):
        inside = width > offset
        nothing = torch.zeros_like(weight[..., :1])
        parts[offset] = part(grad[..., :-offset], x[..., offset:], 1) if inside else nothing
        parts[-offset] = part(grad[..., offset:], x[..., :-offset], 1) if inside else nothing
    return torch.cat([parts[offset] for offset in sorted(parts)], -1)
