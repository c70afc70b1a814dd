"""A resumed search equals an uninterrupted one also where passes change more of a network than its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import daas
from daas import checkpoint
from daas.search.spaces.supernet import FixedNetwork, moved


class Centred(nn.Module):
    """Subtracts a running mean of what it has seen in training."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4, 1, 1))
        self.mean: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.lerp_(x.detach().mean((0, 2, 3)).view(4, 1, 1), 0.1)
        return x - self.mean


def network(convolution: nn.Module, norm: nn.Module) -> nn.Module:
    return nn.Sequential(convolution, norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "spectral norm": lambda: network(spectral_norm(nn.Conv2d(3, 4, 3)), nn.Identity()),
    "a buffer of one's own": lambda: network(nn.Conv2d(3, 4, 3), Centred()),
    "batch norm": lambda: network(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
}


def searched(kind: str, out: Path, steps: int, **options: Any) -> dict[str, Tensor]:
    """Everything in the checkpoint of a search of that many iterations."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (32, 3, 8, 8), generator=random, dtype=torch.uint8)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = NETWORKS[kind]()
    daas.search(
        (images, torch.arange(32) % 2), network=made, out=out, screen=False, race=0, batch_size=8, warmup_epochs=1,
        epochs=3, max_steps=steps, lr=0.5, **options,
    )  # fmt: skip
    return checkpoint.load(out / "checkpoint.safetensors")[0]


@pytest.mark.parametrize("kind", ["spectral norm", "a buffer of one's own"])
def test_a_resumed_search_of_a_module_equals_an_uninterrupted_one(kind: str, tmp_path: Path) -> None:
    whole = searched(kind, tmp_path / "whole", 4)
    searched(kind, tmp_path / "part", 2)
    again = searched(kind, tmp_path / "part", 4, resume="auto")
    assert set(whole) == set(again)
    assert [name for name in whole if not torch.equal(whole[name], again[name])] == []


def test_a_checkpoint_without_buffers_goes_on_where_no_pass_moves_any(tmp_path: Path) -> None:
    """Earlier versions wrote none."""
    searched("batch norm", tmp_path / "still", 2)
    searched("a buffer of one's own", tmp_path / "moving", 2)
    for folder in ("still", "moving"):
        file = tmp_path / folder / "checkpoint.safetensors"
        tensors, meta = checkpoint.load(file)
        tensors.pop("network.model.1.mean", None)
        checkpoint.save(file, tensors, meta)
    searched("batch norm", tmp_path / "still", 4, resume="auto")
    with pytest.raises(daas.BadInput, match=r"network\.model\.1\.mean is missing"):
        searched("a buffer of one's own", tmp_path / "moving", 4, resume="auto")


def test_instance_norm_takes_the_statistics_of_the_image_in_both_modes() -> None:
    layer = nn.InstanceNorm2d(3, track_running_stats=True)
    fixed = FixedNetwork(nn.Sequential(layer, nn.Conv2d(3, 1, 1)))
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = []
    for training in (True, False):
        fixed.set_mode(training)
        found.append(fixed(images))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    assert moved(fixed) == {}
    assert torch.equal(layer.running_mean, torch.zeros(3))
