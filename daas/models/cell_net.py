"""CellNet: stacks cells of a genotype behind a CIFAR or an ImageNet stem, with timm's model interface.

Layout and sizes are those of the evaluation networks of DARTS (Liu et al., ICLR 2019).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Literal

import torch
from timm.models import checkpoint
from torch import Tensor, nn
from torch._jit_internal import is_scripting
from torch.nn import functional as F

from daas.errors import BadInput
from daas.models.cell import Cell
from daas.models.fuse import fold_batch_norms
from daas.models.genotype import Genotype
from daas.models.interface import TimmNetwork, placement
from daas.models.stems import CifarStem, ImageNetStem

_CHANNELS, _EDGES = 4096, 20_000  # the papers' networks have 48 and some 200
Stem = Literal["cifar", "imagenet"]


class CellNet(TimmNetwork):
    """The network that a genotype describes.

    State dicts of a network with an auxiliary head load into one without: that head's weights are left out.

    Args:
        genotype: The two cells.
        stem: ``cifar`` (full resolution) or ``imagenet`` (an eighth of it).
        channels: Channels of a state in the first cells, at least 2; doubled by both reduction cells.
        layers: Number of cells, at least 3; reductions stand at 1/3 and 2/3.
        num_classes: Size of the classifier; 0 for pooled features.
        in_chans: Input channels.
        global_pool: ``avg``, ``max``, ..., or empty for an unpooled feature map (with ``num_classes=0``).
        drop_rate: Dropout before the classifier.
        drop_path_rate: Probability with which an image skips an edge, in training.
        device: Where the parameters are made.
        dtype: Of the parameters.

    Raises:
        BadInput: Too few channels or layers, or far too many.
    """

    def __init__(
        self,
        genotype: Genotype,
        stem: Stem = "cifar",
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
        super().__init__(num_classes, in_chans)
        if channels < 2 or layers < 3:
            raise BadInput(
                f"channels={channels}, layers={layers}: a cell network has at least 2 channels and 3 cells, two of "
                "which halve the resolution. Choose larger numbers."
            )
        edges = layers * max(sum(len(node) for node in nodes) for nodes in (genotype.normal, genotype.reduce))
        if channels > _CHANNELS or edges > _EDGES:
            raise BadInput(
                f"channels={channels}, layers={layers}: at most {_CHANNELS} channels and {_EDGES:,} edges in all cells "
                f"are built; these have {edges:,}. Choose smaller numbers."
            )
        self.genotype = genotype
        self.channels = channels
        with placement(device):
            self.stem = CifarStem(in_chans, channels) if stem == "cifar" else ImageNetStem(in_chans, channels)
            self.cells = nn.ModuleList(self._stack(channels, layers, drop_path_rate))
            self._set_head(self.feature_info[-1]["num_chs"], global_pool, drop_rate)
        self.level_ends = [int(level["module"].removeprefix("cells.")) for level in self.feature_info[-3:]]
        self.register_load_state_dict_pre_hook(_leave_auxiliary_out)  # type: ignore[no-untyped-call]  # torch has no annotations there
        self.to(dtype=dtype)

    @classmethod
    def keywords(cls, variant: str) -> set[str]:
        """Those of ``CellNet`` that the name does not fix, and ``aux_head``."""
        fixed = {"stem"} if variant in ("daas_cell_cifar", "daas_cell_imagenet") else {"stem", "genotype"}
        return set(inspect.signature(CellNet).parameters) - fixed | {"aux_head"}

    def _stack(self, channels: int, layers: int, drop_path: float) -> Iterator[Cell]:
        """The cells; notes the feature levels on the way."""
        for level in self.stem.levels:
            self._add_level(*level)
        c_pp = c_p = self.stem.width
        reduction_factor = self.stem.reductions[1]
        after_reduction = self.stem.reductions[0] != self.stem.reductions[1]
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            if reduction:
                self._add_level(c_p, reduction_factor, f"cells.{layer - 1}")
                channels *= 2
                reduction_factor *= 2
            nodes = self.genotype.reduce if reduction else self.genotype.normal
            concat = self.genotype.reduce_concat if reduction else self.genotype.normal_concat
            ends_level = layer == layers - 1 or layer + 1 in (layers // 3, 2 * layers // 3)  # levels have no ReLU yet
            cell = Cell(nodes, concat, c_pp, c_p, channels, reduction, after_reduction, drop_path, not ends_level)
            after_reduction = reduction
            c_pp, c_p = c_p, cell.out_channels
            yield cell
        self._add_level(c_p, reduction_factor, f"cells.{layers - 1}")

    def forward_features(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> [B, num_features, H', W'], the output of the last cell."""
        levels, before, output = self.stem(x)
        if len(self.cells) == 0:  # pruned to the stem
            output = levels[-1]
        active = True  # whether the output is that of a ReLU, as cells read it
        for cell in self.cells:
            current = output if active else F.relu(output)
            if self.grad_checkpointing and not is_scripting():
                output = checkpoint(cell, before, current)
            else:
                output = cell(before, current)
            before = current
            active = bool(cell.relu_output)
        features: Tensor = output
        return features

    def _levels(self, x: Tensor) -> Iterator[Tensor]:
        levels, before, current = self.stem(x)
        yield from levels
        for cell in self.cells:
            output = checkpoint(cell, before, current) if self.grad_checkpointing else cell(before, current)
            if not cell.relu_output:
                yield output
            before, current = current, output if cell.relu_output else F.relu(output)

    def _prune(self, last: int) -> None:
        in_stem = len(self.stem.levels)
        self.cells = self.cells[: self.level_ends[last - in_stem] + 1] if last >= in_stem else nn.ModuleList()
        if last < in_stem:
            self.stem.prune(last)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Groups parameters by depth: the stem, then one group per cell."""
        return {"stem": r"^stem", "blocks": [(r"^cells\.(\d+)", None)]}

    def fuse(self) -> CellNet:
        """Folds every batch norm into its convolution, in place, for inference: same outputs, less work.

        Returns:
            The network itself, in evaluation mode. It can no longer be trained, nor load weights.
        """
        self.eval()
        fold_batch_norms(self)
        return self


def _leave_auxiliary_out(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    if not hasattr(module, "aux_head"):
        for name in [name for name in state if name.startswith(f"{prefix}aux_head.")]:
            del state[name]
