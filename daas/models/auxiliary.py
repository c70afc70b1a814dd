"""The auxiliary classifier of the evaluation networks: a second loss on an intermediate feature map, in training."""

# No postponed annotations here: FX writes those of ``forward`` into the code that TorchScript reads.
from typing import Any

from timm.models import checkpoint
from torch import Tensor, nn
from torch.nn import functional as F

from daas.models.cell import Cell
from daas.models.cell_net import CellNet, Stem
from daas.models.genotype import Genotype
from daas.models.interface import placement


class CellNetWithAux(CellNet):
    """CellNet whose training output is (logits, auxiliary logits); in evaluation it is CellNet.

    The auxiliary classifier reads the output of the second reduction cell, which must be at least 5 x 5 pixels: images
    of ``smallest_image`` pixels. Without its own classifier (``features_only``, pruned) it has none either, and is
    CellNet. TorchScript does not take it; script a CellNet with its weights.

    Args:
        genotype: The two cells.
        stem: ``cifar`` or ``imagenet``.
        **kwargs: As for ``CellNet``.
    """

    def __init__(self, genotype: Genotype, stem: Stem = "cifar", **kwargs: Any) -> None:
        super().__init__(genotype, stem, **kwargs)
        self.aux_stem = stem
        self.aux_after = 2 * len(self.cells) // 3
        cell = self.cells[self.aux_after]
        assert isinstance(cell, Cell)
        with placement(kwargs.get("device")):
            self.aux_head = auxiliary_head(cell.out_channels, self.num_classes, stem)
        self.to(dtype=kwargs.get("dtype"))

    @property
    def smallest_image(self) -> int:
        """Smallest side of an image in training: 17 pixels with the CIFAR stem, 129 with the ImageNet stem."""
        return 4 * (4 if self.aux_stem == "cifar" else 32) + 1

    def forward(self, x: Tensor) -> Any:
        """[B, in_chans, H, W] -> [B, num_classes], in training a pair of them."""
        if not self.training or not hasattr(self, "aux_head"):
            return super().forward(x)
        _, before, output = self.stem(x)
        active = True
        auxiliary = x
        for index, cell in enumerate(self.cells):
            current = output if active else F.relu(output)
            output = checkpoint(cell, before, current) if self.grad_checkpointing else cell(before, current)
            before = current
            active = bool(cell.relu_output)
            if index == self.aux_after:
                auxiliary = self.aux_head(output)
        return self.forward_head(output), auxiliary

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replaces both classifiers.

        Args:
            num_classes: New size; 0 for none.
            global_pool: New pooling, empty for none; None keeps it.
        """
        super().reset_classifier(num_classes, global_pool)
        if not hasattr(self, "aux_head"):
            return
        old = next(self.aux_head.parameters())
        *body, _ = self.aux_head
        last = nn.Linear(768, num_classes, device=old.device, dtype=old.dtype) if num_classes else nn.Identity()
        self.aux_head = nn.Sequential(*body, last.train(self.training))

    def _drop_classifier(self) -> None:
        super()._drop_classifier()
        del self.aux_head


def auxiliary_head(channels: int, num_classes: int, stem: Stem) -> nn.Sequential:
    """The classifier on an intermediate feature map: pools it to 2 x 2, two convolutions, a linear layer.

    As in DARTS, the ImageNet form has no batch norm after its second convolution. DARTS's pool leaves 2 x 2 of its own
    map; what it leaves of larger ones is averaged to 2 x 2.

    Args:
        channels: Of the feature map.
        num_classes: Size of the classifier; 0 for none.
        stem: ``cifar`` (8 x 8 maps) or ``imagenet`` (7 x 7).
    """
    norm: list[nn.Module] = [nn.BatchNorm2d(768)] if stem == "cifar" else []
    return nn.Sequential(
        nn.ReLU(),
        nn.Sequential(
            nn.AvgPool2d(5, stride=3 if stem == "cifar" else 2, count_include_pad=False), nn.AdaptiveAvgPool2d(2)
        ),
        nn.Conv2d(channels, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        *norm,
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(768, num_classes) if num_classes else nn.Identity(),
    )
