"""Folding batch norms changes no output."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from daas.models import Genotype
from daas.models.primitives import PRIMITIVE_NAMES


def _lived(model: nn.Module) -> nn.Module:
    """A network whose batch norms have seen something."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean):
                    tensor.normal_(0.5, 0.3)
                module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("name", ["nasnet_a_cifar", "darts_v2_imagenet", "enas_official_cifar"])
def test_published_networks(name: str) -> None:
    torch.manual_seed(0)
    model = _lived(timm.create_model(name, channels=4, layers=6, drop_path_rate=0.2, dtype=torch.float64))
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    expected = model(x)
    modules = len(list(model.modules()))
    assert model.fuse() is model
    torch.testing.assert_close(model(x), expected, rtol=1e-10, atol=1e-10)
    assert len(list(model.modules())) < modules
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    torch.testing.assert_close(torch.jit.script(model)(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("primitive", PRIMITIVE_NAMES)
def test_every_primitive_to_1e_5_in_single_precision(primitive: str) -> None:
    torch.manual_seed(0)
    node = ((primitive, 0), (primitive, 1))
    genotype = Genotype("one", "test", (node,), (2,), (node,), (2,))
    model = _lived(timm.create_model("daas_cell_cifar", genotype=genotype, channels=4, layers=4))
    x = torch.randn(2, 3, 16, 16)
    expected = model(x)
    difference = (model.fuse()(x) - expected).abs().max() / expected.abs().max()
    assert difference < 1e-5
