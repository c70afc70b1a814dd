"""Inside the workers of a DataLoader: collate_fn stacks, augments and normalises the batch there.

    python examples/worker_collate.py

Workers are seeded from the loader's generator, and the policy draws from torch's random numbers: the same seed gives
the same batches, whatever the workers' speed. This is the place for the policy when the device is busy and processors
are idle; otherwise apply it where the batch arrives (plain_loop.py).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torchvision.datasets import FakeData
from torchvision.transforms import v2

import daas


class AugmentingCollate:
    """Collates as PyTorch does and augments the images: an object, so that it can be sent to workers."""

    def __init__(self, policy: daas.DAASPolicy) -> None:
        self.policy = policy

    def __call__(self, samples: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] normalised float, and [B] labels."""
        images, labels = default_collate(samples)
        return self.policy(images), labels


def epoch(seed: int, workers: int = 2) -> list[Tensor]:
    """The batches of an epoch."""
    policy = daas.DAASPolicy.load("trivialaugment_32px", normalize=((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))
    loader = DataLoader(
        FakeData(96, (3, 32, 32), transform=v2.PILToTensor()),
        batch_size=16,
        shuffle=True,
        num_workers=workers,
        collate_fn=AugmentingCollate(policy),
        generator=torch.Generator().manual_seed(seed),
    )
    return [images for images, _ in loader]


def main() -> bool:
    first, again, other = epoch(seed=1), epoch(seed=1), epoch(seed=2)
    same = all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    print(f"{len(first)} batches of {tuple(first[0].shape)}; the same seed gives the same: {same}")
    print(f"another seed gives others: {not torch.equal(first[0], other[0])}")
    return same


if __name__ == "__main__":
    main()
