"""A loss for labels and for soft targets."""

from __future__ import annotations

from timm.loss import SoftTargetCrossEntropy
from torch import Tensor, nn


class EitherTarget(nn.Module):
    """The given loss for labels; cross-entropy for soft targets, smoothed by the same share.

    Args:
        loss: Of logits [B, classes] and labels [B].
        smoothing: Label smoothing.
    """

    def __init__(self, loss: nn.Module, smoothing: float) -> None:
        super().__init__()
        self.loss, self.smoothing = loss, smoothing
        self.soft = SoftTargetCrossEntropy()

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss of logits [B, classes] and targets [B] or [B, classes]."""
        if targets.ndim == 1 or isinstance(self.loss, SoftTargetCrossEntropy):
            return self.loss(logits, targets)  # type: ignore[no-any-return]  # a loss gives a tensor
        even = 1 / targets.shape[1]
        return self.soft(logits, targets * (1 - self.smoothing) + self.smoothing * even)  # type: ignore[no-any-return]  # timm is untyped
