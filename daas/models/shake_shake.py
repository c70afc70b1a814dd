"""Shake-Shake networks (Gastaldi, ICLR workshop 2017): two residual branches, mixed at random per image."""

from __future__ import annotations

from typing import Any

import torch
from timm.models import generate_default_cfgs
from torch import Tensor, nn

from daas.models.interface import CIFAR_CFG, create, placement, register
from daas.models.staged_net import StagedNet, conv3x3, per_image


class ShakeShake(nn.Module):
    """Mixes two branches: alpha per image in the forward pass, another beta per image in the backward pass.

    In evaluation, and in expectation, it is their mean.
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """[B, C, H, W], [B, C, H, W] -> alpha a + (1 - alpha) b, with the gradient of beta a + (1 - beta) b."""
        if not self.training:
            return 0.5 * (a + b)
        alpha, beta = per_image(a), per_image(a)
        forward = alpha * a + (1 - alpha) * b
        backward = beta * a + (1 - beta) * b
        return backward + (forward - backward).detach()


class ShakeBlock(nn.Module):
    """Two branches of ReLU, 3x3, norm, ReLU, 3x3, norm, mixed by Shake-Shake and added to the shortcut."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.branch1 = _branch(c_in, c_out, stride)
        self.branch2 = _branch(c_in, c_out, stride)
        self.shake = ShakeShake()
        self.shortcut = nn.Identity() if c_in == c_out else ShiftedShortcut(c_in, c_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, H/stride, W/stride]."""
        output: Tensor = self.shortcut(x) + self.shake(self.branch1(x), self.branch2(x))
        return output


def _branch(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(), conv3x3(c_in, c_out, stride), nn.BatchNorm2d(c_out),
        nn.ReLU(), conv3x3(c_out, c_out), nn.BatchNorm2d(c_out),
    )  # fmt: skip


class ShiftedShortcut(nn.Module):
    """Two 1x1 convolutions on pixels that are one step apart, concatenated and normalised."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.pool = nn.AvgPool2d(1, stride)
        self.shift = nn.ZeroPad2d((-1, 1, -1, 1))
        self.conv1 = nn.Conv2d(c_in, c_out // 2, 1, bias=False)
        self.conv2 = nn.Conv2d(c_in, c_out - c_out // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, H/stride, W/stride]."""
        x = self.act(x)
        output: Tensor = self.norm(torch.cat([self.conv1(self.pool(x)), self.conv2(self.pool(self.shift(x)))], 1))
        return output


class ShakeShakeNet(StagedNet):
    """Shake-Shake of depth 26 and two branches: three stages of four blocks.

    Args:
        base_width: Channels of the first stage; doubled by the other two.
        blocks: Blocks per stage.
        num_classes: Size of the classifier.
        in_chans: Input channels.
        global_pool: See ``StagedNet``.
        drop_rate: Dropout before the classifier.
        device: Where the parameters are made.
        dtype: Of the parameters.
    """

    def __init__(
        self,
        base_width: int,
        blocks: int = 4,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        widths = [base_width, 2 * base_width, 4 * base_width]
        stages, c_in = [], 16
        with placement(device):
            for index, width in enumerate(widths):
                made = []
                for block in range(blocks):
                    made.append(ShakeBlock(c_in, width, 2 if index and not block else 1))
                    c_in = width
                stages.append(nn.Sequential(*made))
            stem = nn.Sequential(conv3x3(in_chans, 16), nn.BatchNorm2d(16))
            super().__init__(stem, stages, widths, nn.ReLU(), num_classes, in_chans, global_pool, drop_rate, dtype)


_CFG = {**CIFAR_CFG, "first_conv": "stem.0"}
default_cfgs = generate_default_cfgs(
    {f"shake_shake26_2x{width}d_cifar.untrained": _CFG for width in (32, 96, 112)},
)


@register
def shake_shake26_2x32d_cifar(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Shake-Shake 26 2x32d: 2.9 M parameters (Table 5 of the DAAS paper).

    Args:
        pretrained: Load the weights that ``pretrained_cfg`` names.
        **kwargs: As for ``ShakeShakeNet``.
    """
    return create(ShakeShakeNet, "shake_shake26_2x32d_cifar", pretrained, 3, **{"base_width": 32, **kwargs})


@register
def shake_shake26_2x96d_cifar(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Shake-Shake 26 2x96d: 26.2 M parameters (Table 5 of the DAAS paper).

    Args:
        pretrained: Load the weights that ``pretrained_cfg`` names.
        **kwargs: As for ``ShakeShakeNet``.
    """
    return create(ShakeShakeNet, "shake_shake26_2x96d_cifar", pretrained, 3, **{"base_width": 96, **kwargs})


@register
def shake_shake26_2x112d_cifar(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Shake-Shake 26 2x112d: 35.6 M parameters (Table 5 of the DAAS paper).

    Args:
        pretrained: Load the weights that ``pretrained_cfg`` names.
        **kwargs: As for ``ShakeShakeNet``.
    """
    return create(ShakeShakeNet, "shake_shake26_2x112d_cifar", pretrained, 3, **{"base_width": 112, **kwargs})
