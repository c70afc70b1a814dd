"""Wide residual networks for 32-pixel images (Zagoruyko & Komodakis, BMVC 2016)."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import DropPath
from timm.models import generate_default_cfgs
from torch import Tensor, nn

from daas.errors import BadInput
from daas.models.interface import CIFAR_CFG, create, placement, register
from daas.models.staged_net import StagedNet, conv3x3


class WideBlock(nn.Module):
    """Pre-activation block: norm, ReLU, 3x3, norm, ReLU, 3x3, and a 1x1 shortcut where the shape changes."""

    def __init__(self, c_in: int, c_out: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(c_in)
        self.conv1 = conv3x3(c_in, c_out, stride)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.conv2 = conv3x3(c_out, c_out)
        self.act = nn.ReLU()
        self.drop_path = DropPath(drop_path)
        self.changes = c_in != c_out or stride != 1
        self.shortcut = nn.Conv2d(c_in, c_out, 1, stride, bias=False) if self.changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, H/stride, W/stride]."""
        active = self.act(self.norm1(x))
        residual = self.conv2(self.act(self.norm2(self.conv1(active))))
        shortcut = self.shortcut(active if self.changes else x)
        output: Tensor = shortcut + self.drop_path(residual)
        return output


class WideResNet(StagedNet):
    """WRN-depth-widen: three stages of (depth - 4) / 6 blocks with 16, 32 and 64 times ``widen`` channels.

    Args:
        depth: Of the network, 6 n + 4.
        widen: Widening factor.
        num_classes: Size of the classifier.
        in_chans: Input channels.
        global_pool: See ``StagedNet``.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Probability with which an image skips a residual branch, in training.
        device: Where the parameters are made.
        dtype: Of the parameters.
    """

    def __init__(
        self,
        depth: int,
        widen: int,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if depth % 6 != 4:
            raise BadInput(f"depth={depth}: that of a wide residual network is 6 n + 4, for example 28 or 40.")
        widths = [16 * widen, 32 * widen, 64 * widen]
        stages, c_in = [], 16
        with placement(device):
            for index, width in enumerate(widths):
                blocks = []
                for block in range((depth - 4) // 6):
                    blocks.append(WideBlock(c_in, width, 2 if index and not block else 1, drop_path_rate))
                    c_in = width
                stages.append(nn.Sequential(*blocks))
            norm = nn.Sequential(nn.BatchNorm2d(c_in), nn.ReLU())
            stem = conv3x3(in_chans, 16)
            super().__init__(stem, stages, widths, norm, num_classes, in_chans, global_pool, drop_rate, dtype)


_CFG = {**CIFAR_CFG, "first_conv": "stem"}
default_cfgs = generate_default_cfgs(
    {"wide_resnet40_2_cifar.untrained": _CFG, "wide_resnet28_10_cifar.untrained": _CFG}
)


@register
def wide_resnet40_2_cifar(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """WRN-40-2: 2.2 M parameters (Table 5 of the DAAS paper).

    Args:
        pretrained: Load the weights that ``pretrained_cfg`` names.
        **kwargs: As for ``WideResNet``.
    """
    return create(WideResNet, "wide_resnet40_2_cifar", pretrained, 3, **{"depth": 40, "widen": 2, **kwargs})


@register
def wide_resnet28_10_cifar(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """WRN-28-10: 36.5 M parameters (Table 5 of the DAAS paper).

    Args:
        pretrained: Load the weights that ``pretrained_cfg`` names.
        **kwargs: As for ``WideResNet``.
    """
    return create(WideResNet, "wide_resnet28_10_cifar", pretrained, 3, **{"depth": 28, "widen": 10, **kwargs})
