"""What comes before the first cell, and gives it two inputs: one convolution for small images, three for large ones."""

from __future__ import annotations

import torch
import torch.fx
from torch import Tensor, nn


def _conv_bn(c_in: int, c_out: int, stride: int, relu_first: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [nn.ReLU()] if relu_first else []
    layers += [nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(c_out)]
    return nn.Sequential(*layers)


def for_depthwise(x: Tensor) -> Tensor:
    """On CPUs, depthwise convolutions and pools are several times faster with the channels last: set out that way."""
    return x.contiguous(memory_format=torch.channels_last) if x.is_cpu else x


torch.fx.wrap("for_depthwise")  # one node of a traced graph: it looks at the device


class CifarStem(nn.Module):
    """One 3x3 convolution at full resolution; both cell inputs are its output.

    Args:
        in_chans: Input channels.
        channels: Of a state in the first cell.
        multiplier: The output has ``multiplier * channels`` channels.
    """

    def __init__(self, in_chans: int, channels: int, multiplier: int = 3) -> None:
        super().__init__()
        self.width = multiplier * channels
        self.conv0 = _conv_bn(in_chans, self.width, 1)
        self.reductions = (1, 1)
        self.levels: tuple[tuple[int, int, str], ...] = ()  # feature levels: channels, reduction, module

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, in_chans, H, W] -> twice [B, multiplier * channels, H, W]."""
        x = self.conv0(for_depthwise(x))
        return [x, x]

    def prune(self, level: int) -> None:
        """Nothing to remove: the feature levels are those of the cells."""


class ImageNetStem(nn.Module):
    """Three 3x3 stride-2 convolutions; the cell inputs are at a quarter and at an eighth of the resolution.

    Args:
        in_chans: Input channels.
        channels: Of a state in the first cell.
    """

    def __init__(self, in_chans: int, channels: int) -> None:
        super().__init__()
        self.width = channels
        self.conv0 = _conv_bn(in_chans, channels // 2, 2)
        self.conv1 = _conv_bn(channels // 2, channels, 2, relu_first=True)
        self.conv2 = _conv_bn(channels, channels, 2, relu_first=True)
        self.reductions = (4, 8)
        self.levels = ((channels // 2, 2, "stem.conv0"), (channels, 4, "stem.conv1"))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, in_chans, H, W] -> maps at 1/2, 1/4 and 1/8; the last two are the cell inputs."""
        x = self.conv0(for_depthwise(x))
        s0 = self.conv1(x)
        return [x, s0, self.conv2(s0)]

    def prune(self, level: int) -> None:
        """Removes the convolutions after a feature level, 0 or 1."""
        self.conv2 = nn.Sequential()
        if level == 0:
            self.conv1 = nn.Sequential()
