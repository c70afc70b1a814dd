"""CellNet: stacks cells of a genotype behind a CIFAR or an ImageNet stem, with timm's model interface.

Layout and sizes are those of the evaluation networks of DARTS (Liu et al., ICLR 2019).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from timm.layers import ClassifierHead, DropPath
from timm.models import checkpoint
from timm.models._features import feature_take_indices
from torch import Tensor, nn
from torch._jit_internal import is_scripting

from daas.models.cell import Cell
from daas.models.genotype import Genotype


class CifarStem(nn.Module):
    """One 3x3 convolution at full resolution; both cell inputs are its output."""

    def __init__(self, in_chans: int, channels: int, multiplier: int = 3) -> None:
        super().__init__()
        width = multiplier * channels
        self.conv = nn.Conv2d(in_chans, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.widths = (width, width)
        self.reductions = (1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, in_chans, H, W] -> twice [B, multiplier * channels, H, W]."""
        x = self.bn(self.conv(x))
        return x, x


class ImageNetStem(nn.Module):
    """Three 3x3 stride-2 convolutions; the cell inputs are at a quarter and at an eighth of the resolution."""

    def __init__(self, in_chans: int, channels: int) -> None:
        super().__init__()
        self.stem0 = nn.Sequential(
            nn.Conv2d(in_chans, channels // 2, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels // 2),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.stem1 = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.widths = (channels, channels)
        self.reductions = (4, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, in_chans, H, W] -> [B, channels, H/4, W/4], [B, channels, H/8, W/8]."""
        s0 = self.stem0(x)
        return s0, self.stem1(s0)


class CellNet(nn.Module):
    """The network that a genotype describes.

    Args:
        genotype: The two cells.
        stem: ``cifar`` (full resolution) or ``imagenet`` (an eighth of it).
        channels: Channels of a state in the first cells; doubled by both reduction cells.
        layers: Number of cells; reductions stand at 1/3 and 2/3.
        num_classes: Size of the classifier; 0 for pooled features.
        in_chans: Input channels.
        global_pool: ``avg``, ``max``, ..., or empty for an unpooled feature map (with ``num_classes=0``).
        drop_rate: Dropout before the classifier.
        drop_path_rate: Probability with which an image skips an edge, in training.
        device: Where the parameters are made.
        dtype: Of the parameters.
    """

    def __init__(
        self,
        genotype: Genotype,
        stem: Literal["cifar", "imagenet"] = "cifar",
        channels: int = 36,
        layers: int = 20,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.genotype = genotype
        self.num_classes = num_classes
        self.grad_checkpointing = False
        self.stem = CifarStem(in_chans, channels) if stem == "cifar" else ImageNetStem(in_chans, channels)
        c_pp, c_p = self.stem.widths
        reduction_factor = self.stem.reductions[1]
        after_reduction = self.stem.reductions[0] != self.stem.reductions[1]
        self.feature_info: list[dict[str, Any]] = []
        cells: list[nn.Module] = []
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            if reduction:
                self._add_feature(c_p, reduction_factor, layer - 1)
                channels *= 2
                reduction_factor *= 2
            nodes = genotype.reduce if reduction else genotype.normal
            concat = genotype.reduce_concat if reduction else genotype.normal_concat
            cell = Cell(nodes, concat, c_pp, c_p, channels, reduction, after_reduction, drop_path_rate)
            cells.append(cell)
            after_reduction = reduction
            c_pp, c_p = c_p, cell.out_channels
        self._add_feature(c_p, reduction_factor, layers - 1)
        self.cells = nn.ModuleList(cells)
        self.num_features = self.head_hidden_size = c_p
        self.head = ClassifierHead(c_p, num_classes, pool_type=global_pool, drop_rate=drop_rate)
        if device is not None or dtype is not None:
            self.to(device=device, dtype=dtype)

    def _add_feature(self, channels: int, reduction: int, cell: int) -> None:
        module = f"cells.{cell}" if cell >= 0 else "stem"
        self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": module})

    def set_drop_path(self, rate: float) -> None:
        """Sets the drop-path probability of every edge: the hook for a schedule (DARTS ramps it over the epochs)."""
        for module in self.modules():
            if isinstance(module, DropPath):
                module.drop_prob = rate

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that decay never applies to: none beyond timm's own rule for biases and norms."""
        return set()

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Groups parameters by depth: the stem, then one group per cell."""
        return {"stem": r"^stem", "blocks": [(r"^cells\.(\d+)", None)]}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether cells are run again in the backward pass instead of keeping their activations."""
        self.grad_checkpointing = enable

    def get_classifier(self) -> nn.Module:
        """The last linear layer."""
        return self.head.fc  # type: ignore[no-any-return]  # timm is untyped

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replaces the classifier.

        Args:
            num_classes: New size; 0 for none.
            global_pool: New pooling; None keeps it.
        """
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> [B, num_features, H', W'], the output of the last cell."""
        s0, s1 = self.stem(x)
        for cell in self.cells:
            if self.grad_checkpointing and not is_scripting():
                s0, s1 = s1, checkpoint(cell, s0, s1)
            else:
                s0, s1 = s1, cell(s0, s1)
        features: Tensor = s1
        return features

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """[B, num_features, H', W'] -> [B, num_classes], or pooled features with ``pre_logits``."""
        logits: Tensor = self.head(x, pre_logits=pre_logits)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> [B, num_classes]."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Outputs of the cells, as timm's other networks give them.

        Args:
            x: [B, in_chans, H, W].
            indices: Which cells: all, the last n, or a list.
            norm: Has no effect: cells end in normalised sums.
            stop_early: Do not run cells beyond the last one asked for.
            output_fmt: ``NCHW``; there is no other.
            intermediates_only: Return the list alone.

        Returns:
            The last output and the list, or the list alone.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt is {output_fmt!r}; cells give NCHW.")
        take, last = feature_take_indices(len(self.cells), indices)
        found = []
        s0, s1 = self.stem(x)
        for index, cell in enumerate(self.cells):
            if stop_early and index > last:
                break
            s0, s1 = s1, cell(s0, s1)
            if index in take:
                found.append(s1)
        return found if intermediates_only else (s1, found)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Removes the cells after the last one asked for, and the head."""
        take, last = feature_take_indices(len(self.cells), indices)
        self.cells = self.cells[: last + 1]
        if prune_head:
            self.reset_classifier(0, "")
        return list(take)


class CellNetWithAux(CellNet):
    """CellNet whose training output is (logits, auxiliary logits); in evaluation it is CellNet.

    The auxiliary classifier reads the output of the second reduction cell, which must be at least 5 x 5 pixels.
    """

    def __init__(self, genotype: Genotype, stem: Literal["cifar", "imagenet"] = "cifar", **kwargs: Any) -> None:
        device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        super().__init__(genotype, stem, **kwargs)
        self.aux_after = 2 * len(self.cells) // 3
        width = self.cells[self.aux_after].out_channels
        self.aux_head = auxiliary_head(int(width), self.num_classes, stem)  # type: ignore[arg-type]  # an int attribute
        if device is not None or dtype is not None:
            self.to(device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Any:
        """[B, in_chans, H, W] -> [B, num_classes], in training a pair of them."""
        if not self.training:
            return super().forward(x)
        s0, s1 = self.stem(x)
        auxiliary = x
        for index, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1)
            if index == self.aux_after:
                auxiliary = self.aux_head(s1)
        return self.forward_head(s1), auxiliary


def auxiliary_head(channels: int, num_classes: int, stem: str) -> nn.Sequential:
    """The classifier on an intermediate feature map: pools it to 2 x 2, two convolutions, a linear layer.

    As in DARTS, the ImageNet form has no batch norm after its second convolution.
    """
    last: list[nn.Module] = [nn.BatchNorm2d(768)] if stem == "cifar" else []
    return nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(5, stride=3 if stem == "cifar" else 2, count_include_pad=False),
        nn.Conv2d(channels, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        *last,
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(768, num_classes),
    )
