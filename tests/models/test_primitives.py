"""Primitives: what they do to the size; unknown names are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from daas.errors import BadInput
from daas.models.primitives import PRIMITIVE_NAMES, build_primitive, drawn_as, register_primitive


@pytest.mark.parametrize("name", PRIMITIVE_NAMES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [8, 9])
def test_every_primitive_keeps_or_halves_the_size(name: str, stride: int, size: int) -> None:
    out = build_primitive(name, 4, stride)(torch.randn(2, 4, size, size))
    assert out.shape == (2, 4, -(-size // stride), -(-size // stride))


def test_unknown_names() -> None:
    with pytest.raises(BadInput, match="unknown primitive 'conv_9x9'; known are max_pool_3x3"):
        build_primitive("conv_9x9", 4, 1)


class Mixer(nn.Module):
    """A convolution by groups and a batch norm of its own."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels, 3, stride, 1, groups=2), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def test_a_primitive_of_ones_own_is_built_searched_and_drawn_like_the_others() -> None:
    from daas.models import Genotype
    from daas.models.cell_net import CellNet
    from daas.models.drawing import genotype_svg
    from daas.search.spaces.cells import ArchitectureDistribution
    from daas.search.spaces.supernet import SuperNet

    register_primitive("mixer_of_a_rather_long_name", Mixer, draw_as="sep")
    primitives = ("skip_connect", "mixer_of_a_rather_long_name")
    cells = ArchitectureDistribution(2, primitives, torch.Generator().manual_seed(0))
    with torch.no_grad():
        cells.alpha[..., 1] = 1.0
    supernet = SuperNet(3, 4, 3, 2, primitives)
    z = cells.sample(torch.Generator().manual_seed(0), 1.0)
    x = torch.randn(2, 3, 8, 8)
    gates = torch.autograd.grad(supernet(x, z, gated=True).sum(), z.gates)[0]
    assert float(gates.abs().sum()) > 0
    assert all(norm.running_mean is None for norm in supernet.modules() if isinstance(norm, nn.BatchNorm2d))
    genotype = Genotype.from_dict(cells.derive().to_dict())
    assert genotype.normal[0][0][0] == "mixer_of_a_rather_long_name"
    network = CellNet(genotype=genotype, num_classes=3, channels=4, layers=3).eval()
    before = network(x)
    assert torch.allclose(network.fuse()(x), before, atol=1e-5)
    assert "mixer_of_a_rather_long_name" in genotype_svg(genotype)
    assert drawn_as("mixer_of_a_rather_long_name") == "sep"
    with pytest.raises(BadInput, match="is there already"):
        register_primitive("mixer_of_a_rather_long_name", Mixer)


@pytest.mark.parametrize(
    ("name", "build", "draw_as", "said"),
    [
        ("skip_connect", Mixer, "conv", "is there already"),
        ("none", Mixer, "conv", "is there already"),
        ("my-conv", Mixer, "conv", "letters, digits"),
        ("thing", Mixer, "round", "one of sep, dil, conv"),
        ("thing", lambda channels, stride: nn.Conv2d(channels, channels, 3), "conv", r"gives \[2, 16, 7, 7\]"),
        ("thing", lambda channels, stride: nn.Conv2d(channels, channels, 3, 1, 1), "conv", "with stride 2"),
        ("thing", lambda channels, stride: nn.Linear(3, 3), "conv", "RuntimeError"),
        ("thing", lambda channels: nn.Identity(), "conv", "TypeError"),
        ("thing", lambda channels, stride: torch.relu, "conv", "gives a module"),
    ],
)
def test_what_is_no_primitive_is_refused_where_it_is_registered(name: str, build: Any, draw_as: str, said: str) -> None:
    state = torch.get_rng_state()
    with pytest.raises(BadInput, match=said):
        register_primitive(name, build, draw_as)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(BadInput):
        build_primitive("thing", 4, 1)


def test_a_primitive_that_changes_its_input_is_refused() -> None:
    def build(channels: int, stride: int) -> nn.Module:
        return nn.Sequential(nn.ReLU(inplace=True), nn.AvgPool2d(1, stride))

    with pytest.raises(BadInput, match="changes its input"):
        register_primitive("overwriting", build)


def test_a_name_without_a_known_prefix_is_drawn_all_the_same() -> None:
    assert drawn_as("strange_3x3") == ""
