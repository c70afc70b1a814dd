"""A segmentation loop: images and label maps through one draw, in batches, by Kornia's container.

    python examples/segmentation.py

Shear, translate and rotate move the label map with the image, by the nearest neighbour; what comes in is 255, which the
loss ignores. Colours and Cutout leave it as it is.
"""

from __future__ import annotations

import kornia.augmentation as K
import torch
from kornia.constants import DataKey
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import daas

IGNORED = 255
STATISTICS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def squares(count: int) -> tuple[Tensor, Tensor]:
    """Bright squares on noise, [n, 3, 48, 48] uint8, and where they are, [n, 1, 48, 48] int64."""
    images, maps = torch.randint(120, (count, 3, 48, 48), dtype=torch.uint8), torch.zeros(count, 1, 48, 48).long()
    for image, labels, (x, y) in zip(images, maps, torch.randint(4, 28, (count, 2)).tolist(), strict=True):
        image[:, y : y + 16, x : x + 16] += 120
        labels[:, y : y + 16, x : x + 16] = 1
    return images, maps


def main() -> list[float]:
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(*squares(96)), batch_size=16, shuffle=True)
    augment = K.AugmentationSequential(
        daas.DAASPolicy.load("randaugment", normalize=STATISTICS),  # bytes in, normalised floats out
        K.RandomHorizontalFlip(),
        data_keys=["input", "mask"],
        extra_args={DataKey.MASK: {"fill": IGNORED}},
    )
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _epoch in range(3):
        for images, maps in loader:
            images, maps = augment(images, maps)
            loss = nn.functional.cross_entropy(model(images), maps.squeeze(1), ignore_index=IGNORED)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"loss {losses[-1]:.3f}, {(maps == IGNORED).float().mean():.0%} of the last maps ignored")
    return losses


if __name__ == "__main__":
    main()
