"""StagedNet: what the residual networks that augmentation papers report on have in common (32-pixel images)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from timm.models import checkpoint_seq
from torch import Tensor, nn
from torch._jit_internal import is_scripting

from daas.models.interface import TimmNetwork


class StagedNet(TimmNetwork):
    """A stem, stages of blocks, a last normalisation, a classifier.

    Args:
        stem: [B, in_chans, H, W] -> [B, C0, H, W].
        stages: Blocks in sequence; every stage after the first halves the resolution.
        widths: Output channels of each stage.
        norm: Follows the last stage.
        num_classes: Size of the classifier; 0 for pooled features.
        in_chans: Input channels.
        global_pool: ``avg``, ``max``, ..., or empty for an unpooled feature map (with ``num_classes=0``).
        drop_rate: Dropout before the classifier.
        dtype: Of the parameters.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Sequential],
        widths: Sequence[int],
        norm: nn.Module,
        num_classes: int,
        in_chans: int,
        global_pool: str,
        drop_rate: float,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__(num_classes, in_chans)
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.norm = norm
        for index, width in enumerate(widths):
            self._add_level(width, 2**index, f"stages.{index}")
        self._set_head(widths[-1], global_pool, drop_rate)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(dtype=dtype)

    def forward_features(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> [B, num_features, H/4, W/4]."""
        x = self.stem(x)
        for stage in self.stages:
            if self.grad_checkpointing and not is_scripting():  # noqa: SIM108  # TorchScript leaves out this branch
                x = checkpoint_seq(stage, x)
            else:
                x = stage(x)
        features: Tensor = self.norm(x)
        return features

    def _levels(self, x: Tensor) -> Iterator[Tensor]:
        x = self.stem(x)
        for stage in self.stages:
            x = checkpoint_seq(stage, x) if self.grad_checkpointing else stage(x)
            yield x

    def _prune(self, last: int) -> None:
        self.stages = self.stages[: last + 1]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Groups parameters by depth: the stem, then one group per stage or per block."""
        blocks = r"^stages\.(\d+)" if coarse else [(r"^stages\.(\d+)\.(\d+)", None), (r"^norm", (99999,))]
        return {"stem": r"^stem", "blocks": blocks}


def conv3x3(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution without bias that keeps the resolution at stride 1."""
    return nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)


def per_image(x: Tensor) -> Tensor:
    """One random number from [0, 1) for each image of a batch: [B, C, H, W] -> [B, 1, 1, 1]."""
    return x.new_empty((x.shape[0], 1, 1, 1)).uniform_()
