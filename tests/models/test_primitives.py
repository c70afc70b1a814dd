"""Primitives: what they do to the size; unknown names are refused."""

from __future__ import annotations

import pytest
import torch

from daas.errors import BadInput
from daas.models.primitives import PRIMITIVE_NAMES, build_primitive


@pytest.mark.parametrize("name", PRIMITIVE_NAMES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [8, 9])
def test_every_primitive_keeps_or_halves_the_size(name: str, stride: int, size: int) -> None:
    out = build_primitive(name, 4, stride)(torch.randn(2, 4, size, size))
    assert out.shape == (2, 4, -(-size // stride), -(-size // stride))


def test_unknown_names() -> None:
    with pytest.raises(BadInput, match="unknown primitive 'conv_9x9'; known are max_pool_3x3"):
        build_primitive("conv_9x9", 4, 1)
