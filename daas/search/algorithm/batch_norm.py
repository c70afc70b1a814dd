"""Batch norm in another way, in whatever network it stands, without a change of the network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Norm:
    """What a batch norm is given beside its images.

    Attributes:
        running: Mean and variance that it keeps; None for none.
        weight: [C], or None.
        bias: [C], or None.
        momentum: Of the running statistics.
        eps: Added to the variance.
    """

    running: tuple[Tensor | None, Tensor | None]
    weight: Tensor | None
    bias: Tensor | None
    momentum: float
    eps: float


class BatchNormMode(TorchFunctionMode):
    """Within the block batch norms over the statistics of these images are taken by ``normalized``.

    One that normalises by other statistics, or another number of rows (a convolution's weights, say), stays as it is.

    Args:
        rows: Images.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    @abstractmethod
    def normalized(self, input: Tensor, norm: Norm) -> Tensor:
        """[B, C, ...] -> the same, normalised."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            return self._batch_norm(*args, **kwargs)
        return func(*args, **kwargs)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training or len(input) != self.rows:
            return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        return self.normalized(input, Norm((running_mean, running_var), weight, bias, momentum, eps))
