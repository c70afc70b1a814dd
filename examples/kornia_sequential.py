"""kornia.augmentation.AugmentationSequential: the policy between Kornia's own augmentations, on float batches.

    python examples/kornia_sequential.py

Kornia's automatic policies draw one sub-policy for the whole batch; here every image has its own.
"""

from __future__ import annotations

import kornia.augmentation as K
import torch
from torch import Tensor

import daas


def main() -> Tensor:
    torch.manual_seed(0)
    augment = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5),
        daas.DAASPolicy.load("randaugment"),  # float in [0, 1] in, the same out
        K.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        data_keys=["input"],
    )
    images = torch.rand(16, 3, 64, 64)
    batch = augment(images)
    print(f"{tuple(images.shape)} in [0, 1] -> {tuple(batch.shape)}, mean {batch.mean():.2f}, std {batch.std():.2f}")
    return batch


if __name__ == "__main__":
    main()
