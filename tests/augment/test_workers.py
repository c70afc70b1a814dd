"""DAASPolicy in the workers of a DataLoader: sent there, seeded there, reproducible."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from daas import DAASPolicy

IMAGES = torch.randint(256, (48, 3, 12, 12), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


class Collate:
    def __init__(self, policy: DAASPolicy) -> None:
        self.policy = policy

    def __call__(self, samples: list[Tensor]) -> Tensor:
        return self.policy(torch.stack(samples))


def epoch(seed: int, workers: int, context: str | None = None) -> Tensor:
    loader: DataLoader[Tensor] = DataLoader(
        IMAGES,  # type: ignore[arg-type]  # a tensor is a sequence of images
        batch_size=8,
        num_workers=workers,
        collate_fn=Collate(DAASPolicy.load("randaugment")),
        generator=torch.Generator().manual_seed(seed),
        multiprocessing_context=context,
    )
    return torch.cat(list(loader))


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_the_same_seed_gives_the_same_batches(context: str) -> None:
    workers = 2 if context == "fork" else 1
    first = epoch(1, workers, context)
    if context == "fork":
        assert torch.equal(first, epoch(1, workers, context))
        assert not torch.equal(first, epoch(2, workers, context))
    else:  # pickled to a fresh process; the same as in a forked one
        assert torch.equal(first, epoch(1, workers, "fork"))


def test_two_workers_draw_differently() -> None:
    same = IMAGES[:1].expand(16, -1, -1, -1)
    loader: DataLoader[Tensor] = DataLoader(
        same,  # type: ignore[arg-type]  # a tensor is a sequence of images
        batch_size=8,
        num_workers=2,
        collate_fn=Collate(DAASPolicy.load("randaugment")),
    )
    first, second = loader
    assert not torch.equal(first, second)


def test_a_policy_adds_nothing_to_a_state_dict_and_restores_from_one() -> None:
    model = nn.Sequential(DAASPolicy.load("randaugment"), nn.Flatten(), nn.Linear(3 * 12 * 12, 2))
    assert list(model.state_dict()) == ["2.weight", "2.bias"]
    other = nn.Sequential(DAASPolicy.load("randaugment"), nn.Flatten(), nn.Linear(3 * 12 * 12, 2))
    other.load_state_dict(model.state_dict())
    torch.manual_seed(0)
    expected = model[0](IMAGES)
    torch.manual_seed(0)
    assert torch.equal(other[0](IMAGES), expected)
    assert sum(p.numel() for p in model[0].parameters()) == 0
