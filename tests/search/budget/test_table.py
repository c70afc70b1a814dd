"""The tables of costs against real networks, counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from daas.models import primitives
from daas.models.primitives import PRIMITIVE_NAMES, known_primitives, register_primitive
from daas.models.table import multiply_adds
from daas.search.budget.table import _count, count_tables, places
from daas.search.budget.trained import TrainedNetwork, trained_network
from daas.search.spaces.cells import PRIMITIVE_SETS, ArchitectureDistribution

NETWORKS = {
    "small": TrainedNetwork("daas_cell_cifar", 4, 4, 3, 16),
    "odd sides and channels": TrainedNetwork("daas_cell_cifar", 7, 5, 2, 17),
    "ImageNet stem": TrainedNetwork("daas_cell_imagenet", 8, 6, 10, 96),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("candidates", [PRIMITIVE_SETS["darts"], (*PRIMITIVE_NAMES, "wide_3x3")], ids=["paper", "all"])
def test_parameters_and_multiply_adds_are_those_of_real_networks(name: str, candidates: tuple[str, ...]) -> None:
    """Random cells: equal, not nearly."""
    if "wide_3x3" not in known_primitives():
        register_primitive("wide_3x3", lambda channels, stride: nn.Conv2d(channels, channels, 3, stride, 1))
    network = NETWORKS[name]
    tables = count_tables(network, 3, candidates)
    cells = ArchitectureDistribution(3, candidates)
    random = torch.Generator().manual_seed(1)
    for _ in range(6):
        genotype = cells.genotype(cells.draw(random))
        made = network.create(genotype)
        assert tables["params"].of(genotype) == sum(parameter.numel() for parameter in made.parameters())
        assert tables["macs"].of(genotype) == multiply_adds(made, (3, network.image_size, network.image_size))


def test_counts_need_no_memory_and_agree() -> None:
    network = NETWORKS["small"]
    genotype = ArchitectureDistribution(3).derive()
    made = network.create(genotype)
    assert network.counts(genotype) == {
        "params": sum(parameter.numel() for parameter in made.parameters()), "macs": multiply_adds(made, (3, 16, 16)),
    }  # fmt: skip


class Functional(nn.Module):
    """A convolution of one's own, without a module of PyTorch's."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, channels, 3, 3))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, None, self.stride, 1)


class FixedFilter(Functional):
    """The same with a filter that does not learn."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        del self.weight
        self.register_buffer("weight", torch.zeros(channels, channels, 3, 3))


class Hourglass(nn.Module):
    """Half the size, and by a transposed convolution back."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.down = nn.AvgPool2d(2 * stride, ceil_mode=True)
        self.up = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        height, width = (-(-side // self.stride) for side in x.shape[2:])
        up: Tensor = self.up(self.down(x))
        return up[:, :, :height, :width]


@pytest.mark.parametrize(
    ("build", "params", "macs"),
    [
        (Functional, 6 * 6 * 9, 6 * 6 * 9 * 8 * 8),
        (FixedFilter, 0, 6 * 6 * 9 * 8 * 8),
        (Hourglass, 6 * 6 * 4 + 6, 6 * 6 * 4 * 4 * 4),
        (lambda channels, stride: nn.AvgPool2d(3, stride, 1), 0, 0),
    ],
)
def test_primitives_of_ones_own_are_counted_whatever_they_are_made_of(
    build: Callable[[int, int], nn.Module], params: int, macs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primitives, "_BUILDERS", dict(primitives._BUILDERS))
    register_primitive("of_ones_own", build)
    norm = 2 * 6
    assert _count("of_ones_own", 6, 1, 8) == (params + norm, macs)


def test_places() -> None:
    found = places(TrainedNetwork("daas_cell_cifar", 4, 4, 3, 16), 2)
    assert len(found) == 4 * 5
    assert {(place.channels, place.side) for place in found if place.cell == 0} == {(4, 16), (16, 4)}
    reductions = [place for place in found if place.cell == 1]
    assert {(place.edge, place.stride) for place in reductions} == {(0, 2), (1, 2), (2, 2), (3, 2), (4, 1)}


@pytest.mark.parametrize(
    ("preset", "side", "model", "channels", "layers"),
    [
        ("cpu", 32, "daas_cell_cifar", 6, 5),
        ("cpu", 224, "daas_cell_cifar", 6, 5),
        ("paper-cifar10", 32, "daas_cell_cifar", 36, 20),
        ("paper-imagenet", 224, "daas_cell_imagenet", 48, 14),
    ],
)
def test_the_network_is_that_of_the_printed_command(
    preset: str, side: int, model: str, channels: int, layers: int
) -> None:
    found = trained_network({"preset": preset, "channels": 6, "layers": 5}, side, 3)
    assert found == TrainedNetwork(model, channels, layers, 3, side)
