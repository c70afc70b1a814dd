"""Gumbel noise: adding it to log-probabilities and taking the largest draws from them (eq. 10, 11)."""

from __future__ import annotations

import torch
from torch import Tensor


def gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Gumbel(0, 1) noise of the shape and type of a tensor, drawn in double precision."""
    uniform = torch.rand(like.shape, generator=generator, dtype=torch.float64).clamp_(1e-12, 1 - 1e-12)
    return -(-uniform.log()).log().to(like.dtype)
