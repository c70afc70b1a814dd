"""kornia.augmentation.AugmentationSequential: the policy between Kornia's own augmentations, with marks on the images.

    python examples/kornia_sequential.py

Kornia's automatic policies draw one sub-policy for the whole batch; here every image has its own, and its mask, boxes
and key points go where it goes.
"""

from __future__ import annotations

import kornia.augmentation as K
import torch
from torch import Tensor

import daas


def main() -> list[Tensor]:
    torch.manual_seed(0)
    augment = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5),
        daas.DAASPolicy.load("randaugment"),  # float in [0, 1] in, the same out
        K.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        data_keys=["input", "mask", "bbox_xyxy", "keypoints"],
    )
    images, masks = torch.rand(16, 3, 64, 64), torch.randint(21, (16, 1, 64, 64))
    boxes = torch.tensor([[[8.0, 10.0, 40.0, 50.0]]]).expand(16, -1, -1)
    points = torch.tensor([[[20.0, 30.0], [44.0, 12.0]]]).expand(16, -1, -1)
    batch = augment(images, masks, boxes, points)
    again = augment(images, masks, boxes, points, params=augment._params)  # the same draw
    assert all(torch.equal(a, b) for a, b in zip(batch, again, strict=True))
    for kind, before, after in zip(
        ("images", "masks", "boxes", "points"), (images, masks, boxes, points), batch, strict=True
    ):
        changed = (before != after).flatten(1).any(1).sum()
        print(f"{kind:7} {tuple(before.shape)} -> {tuple(after.shape)} {after.dtype}, {changed} of 16 changed")
    return list(batch)


if __name__ == "__main__":
    main()
