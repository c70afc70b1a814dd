"""The operations that an edge can carry, by name. A supernet's edge and a derived network's edge are built alike.

Every primitive that ends in a batch norm is an ``nn.Sequential`` whose last child is that batch norm, so that the
search can fold a gate into its scale. Layer order and padding follow the evaluation network of DARTS (Liu et al.,
ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from daas.errors import BadInput
from daas.models.depthwise import Depthwise
from daas.models.reduce import OffsetReduce

DARTS_PRIMITIVES = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The searched set: that of DARTS without ``none``."""


@dataclass(frozen=True)
class _Norm:
    affine: bool
    track_running_stats: bool

    def __call__(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, affine=self.affine, track_running_stats=self.track_running_stats)


def relu_conv_bn(c_in: int, c_out: int, *, affine: bool = True, track_running_stats: bool = True) -> nn.Sequential:
    """The 1x1 convolution that brings a cell's input to the cell's width: [B, c_in, H, W] -> [B, c_out, H, W]."""
    norm = _Norm(affine, track_running_stats)
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), norm(c_out))


def factorized_reduce(c_in: int, c_out: int, *, affine: bool = True, track_running_stats: bool = True) -> nn.Sequential:
    """``relu_conv_bn`` at half the resolution: [B, c_in, H, W] -> [B, c_out, ceil(H/2), ceil(W/2)]."""
    norm = _Norm(affine, track_running_stats)
    return nn.Sequential(nn.ReLU(), OffsetReduce(c_in, c_out), norm(c_out))


def _skip_connect(channels: int, stride: int, norm: _Norm) -> nn.Module:
    if stride == 1:
        return nn.Identity()
    return factorized_reduce(channels, channels, affine=norm.affine, track_running_stats=norm.track_running_stats)


def _separable(channels: int, norm: _Norm, depthwise: nn.Conv2d, inplace: bool = False) -> list[nn.Module]:
    return [nn.ReLU(inplace), depthwise, nn.Conv2d(channels, channels, 1, bias=False), norm(channels)]


def _sep_conv(kernel: int) -> Callable[[int, int, _Norm], nn.Module]:
    def build(channels: int, stride: int, norm: _Norm) -> nn.Module:
        return nn.Sequential(
            *_separable(channels, norm, Depthwise(channels, kernel, stride)),
            *_separable(channels, norm, Depthwise(channels, kernel), inplace=True),
        )

    return build


def _dil_conv(kernel: int) -> Callable[[int, int, _Norm], nn.Module]:
    def build(channels: int, stride: int, norm: _Norm) -> nn.Module:
        return nn.Sequential(*_separable(channels, norm, Depthwise(channels, kernel, stride, dilation=2)))

    return build


def _conv_7x1_1x7(channels: int, stride: int, norm: _Norm) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
        nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
        norm(channels),
    )


def _max_pool(channels: int, stride: int, norm: _Norm) -> nn.Module:
    return nn.MaxPool2d(3, stride, 1)


def _avg_pool(channels: int, stride: int, norm: _Norm) -> nn.Module:
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


_BUILDERS: dict[str, Callable[[int, int, _Norm], nn.Module]] = {
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _avg_pool,
    "skip_connect": _skip_connect,
    "sep_conv_3x3": _sep_conv(3),
    "sep_conv_5x5": _sep_conv(5),
    "sep_conv_7x7": _sep_conv(7),
    "dil_conv_3x3": _dil_conv(3),
    "dil_conv_5x5": _dil_conv(5),
    "conv_7x1_1x7": _conv_7x1_1x7,
}

PRIMITIVE_NAMES = tuple(_BUILDERS)
"""Every primitive that a genotype may name."""


def build_primitive(
    name: str,
    channels: int,
    stride: int,
    *,
    affine: bool = True,
    pool_norm: bool = False,
    track_running_stats: bool = True,
) -> nn.Module:
    """Builds one operation: [B, channels, H, W] -> [B, channels, ceil(H/stride), ceil(W/stride)].

    Args:
        name: One of ``PRIMITIVE_NAMES``.
        channels: Input and output channels.
        stride: 1 or 2.
        affine: Whether batch norms have scale and shift (a search network's do not).
        pool_norm: Whether a batch norm follows a pool (as in the search network).
        track_running_stats: Whether batch norms keep running statistics.

    Raises:
        BadInput: An unknown name.
    """
    if name not in _BUILDERS:
        raise BadInput(f"unknown primitive {name!r}; known are {', '.join(PRIMITIVE_NAMES)}.")
    norm = _Norm(affine, track_running_stats)
    primitive = _BUILDERS[name](channels, stride, norm)
    if pool_norm and isinstance(primitive, (nn.MaxPool2d, nn.AvgPool2d)):
        return nn.Sequential(primitive, norm(channels))
    return primitive
