"""What comes before the first cell, and gives it two inputs: one convolution for small images, three for large ones."""

from __future__ import annotations

from collections import OrderedDict

import torch.fx
from torch import Tensor, nn
from torch.nn import functional as F

from daas.models.depthwise import channels_last

torch.fx.wrap("channels_last")


def _conv_bn(c_in: int, c_out: int, stride: int, first: int = 0) -> nn.Sequential:
    """A 3x3 convolution and its norm, numbered from ``first`` on (from 1 where a ReLU comes before them)."""
    conv = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(OrderedDict([(str(first), conv), (str(first + 1), nn.BatchNorm2d(c_out))]))


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

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """[B, in_chans, H, W] -> no levels, and twice [B, multiplier * channels, H, W] after a ReLU."""
        levels: list[Tensor] = []
        x = F.relu_(self.conv0(channels_last(x)))
        return levels, x, x

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
        self.conv1 = _conv_bn(channels // 2, channels, 2, first=1)
        self.conv2 = _conv_bn(channels, channels, 2, first=1)
        self.reductions = (4, 8)
        self.levels = ((channels // 2, 2, "stem.conv0"), (channels, 4, "stem.conv1"))
        self.kept = 2  # levels

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """[B, in_chans, H, W] -> levels at 1/2 and 1/4; cell inputs at 1/4 and 1/8, after a ReLU."""
        first = self.conv0(channels_last(x))
        second = self.conv1(F.relu(first))
        s0 = F.relu(second)
        return [first, second][: self.kept], s0, F.relu_(self.conv2(s0))

    def prune(self, level: int) -> None:
        """Removes the convolutions after a feature level, 0 or 1."""
        self.kept = level + 1
        self.conv2 = nn.Sequential()
        if level == 0:
            self.conv1 = nn.Sequential()
