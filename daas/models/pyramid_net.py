"""PyramidNet with ShakeDrop (Han et al., CVPR 2017; Yamada et al., IEEE Access 2019)."""

from __future__ import annotations

from typing import Any

import torch
from timm.models import generate_default_cfgs
from torch import Tensor, nn
from torch.nn import functional as F

from daas.errors import BadInput
from daas.models.interface import CIFAR_CFG, create, placement, register
from daas.models.staged_net import StagedNet, conv3x3, per_image


class ShakeDrop(nn.Module):
    """Scales a residual branch per image: by 1 with probability ``keep``, otherwise by alpha, backwards by beta.

    alpha is uniform in [-1, 1] and beta in [0, 1]; in evaluation the branch is scaled by their expectation, ``keep``.

    Args:
        keep: Probability that a branch is left alone.
    """

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        if not self.training:
            return x * self.keep
        kept = (per_image(x) < self.keep).to(x.dtype)
        alpha, beta = 2 * per_image(x) - 1, per_image(x)
        forward = (kept + (1 - kept) * alpha) * x
        backward = (kept + (1 - kept) * beta) * x
        return backward + (forward - backward).detach()


class PyramidBottleneck(nn.Module):
    """Norm, 1x1, norm, ReLU, 3x3, norm, ReLU, 1x1, norm; the shortcut is padded with zero channels."""

    def __init__(self, c_in: int, width: int, stride: int, keep: float) -> None:
        super().__init__()
        c_out = 4 * width
        self.branch = nn.Sequential(
            nn.BatchNorm2d(c_in), nn.Conv2d(c_in, width, 1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(), conv3x3(width, width, stride),
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )  # fmt: skip
        self.shake = ShakeDrop(keep)
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity()
        self.more = c_out - c_in

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, 4 width, H/stride, W/stride]."""
        output: Tensor = F.pad(self.pool(x), (0, 0, 0, 0, 0, self.more)) + self.shake(self.branch(x))
        return output


class PyramidNet(StagedNet):
    """PyramidNet of bottlenecks: the width grows by the same step in every block.

    Args:
        depth: 9 n + 2.
        widening: Channels that are added over the whole depth (alpha in the paper).
        num_classes: Size of the classifier.
        in_chans: Input channels.
        global_pool: See ``StagedNet``.
        drop_rate: Dropout before the classifier.
        shake_drop: Probability that the last block's branch is shaken; it rises linearly from the first block.
        device: Where the parameters are made.
        dtype: Of the parameters.
    """

    def __init__(
        self,
        depth: int,
        widening: int,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        shake_drop: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if depth % 9 != 2:
            raise BadInput(f"depth={depth}: that of a PyramidNet of bottlenecks is 9 n + 2, for example 110 or 272.")
        per_stage = (depth - 2) // 9
        total = 3 * per_stage
        stages, widths, c_in = [], [], 16
        with placement(device):
            for index in range(3):
                blocks = []
                for block in range(per_stage):
                    position = index * per_stage + block + 1
                    width = round(16 + widening * position / total)
                    keep = 1 - shake_drop * position / total
                    blocks.append(PyramidBottleneck(c_in, width, 2 if index and not block else 1, keep))
                    c_in = 4 * width
                stages.append(nn.Sequential(*blocks))
                widths.append(c_in)
            stem = nn.Sequential(conv3x3(in_chans, 16), nn.BatchNorm2d(16))
            norm = nn.Sequential(nn.BatchNorm2d(c_in), nn.ReLU())
            super().__init__(stem, stages, widths, norm, num_classes, in_chans, global_pool, drop_rate, dtype)


default_cfgs = generate_default_cfgs(
    {"pyramid_net272_a200_cifar.untrained": {**CIFAR_CFG, "first_conv": "stem.0"}},
)


@register
def pyramid_net272_a200_cifar(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """PyramidNet-272, alpha = 200, with ShakeDrop: 26.2 M parameters, printed as 26.0 M (Table 5 of the DAAS paper).

    Args:
        pretrained: Load the weights that ``pretrained_cfg`` names.
        **kwargs: As for ``PyramidNet``.
    """
    return create(PyramidNet, "pyramid_net272_a200_cifar", pretrained, 3, **{"depth": 272, "widening": 200, **kwargs})
