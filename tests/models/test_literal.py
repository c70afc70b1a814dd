"""``CellNet`` computes what the most literal implementation of its description computes."""

from __future__ import annotations

import pytest
import timm
import torch

from benchmarks.literal import LiteralCellNet, copy_weights
from daas.models import Genotype


@pytest.mark.parametrize("layers", [3, 6])
@pytest.mark.parametrize("seed", range(3))
def test_outputs_and_gradients(seed: int, layers: int) -> None:
    genotype = Genotype.random(torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    ours = timm.create_model("daas_cell_cifar", genotype=genotype, channels=4, layers=layers, dtype=torch.float64)
    literal = LiteralCellNet(genotype, 4, layers).double()
    copy_weights(ours, literal)
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    a, b = ours(x), literal(x)
    torch.testing.assert_close(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    for p, q in zip(ours.parameters(), literal.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    torch.testing.assert_close(ours.eval()(x), literal.eval()(x))
