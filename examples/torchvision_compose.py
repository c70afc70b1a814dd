"""torchvision.transforms.v2.Compose: PIL images, tensors and whole detection samples, one at a time.

    python examples/torchvision_compose.py

``SingleImage`` makes of a policy a v2 transform; labels pass through, masks, boxes and key points go where the image
goes. ``DAASPolicy`` itself stands in a Compose that sees batches.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.datasets import FakeData
from torchvision.transforms import v2

import daas
from daas.augment import SingleImage

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def main() -> dict[str, Tensor]:
    torch.manual_seed(0)
    policy = daas.DAASPolicy.load("autoaugment_imagenet")
    normalize = [v2.ToImage(), v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True)]
    per_sample = v2.Compose(
        [v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), SingleImage(policy), *normalize, v2.Normalize(*IMAGENET)]
    )
    picture, label = FakeData(1, (3, 256, 320))[0]
    tensor = v2.functional.pil_to_tensor(picture)
    done = {
        "PIL image": per_sample(picture, label)[0],
        "tensor": per_sample(tensor),
        "tv_tensors.Image": per_sample(tv_tensors.Image(tensor)),
        "detection": detection(per_sample, tensor)["image"],
    }
    batches = v2.Compose([v2.RandomCrop(224), policy, v2.ToDtype(torch.float32, scale=True), v2.Normalize(*IMAGENET)])
    done["batch"] = batches(tensor.expand(8, -1, -1, -1))
    for kind, result in done.items():
        print(f"{kind:16} -> {type(result).__name__} {tuple(result.shape)}, mean {result.mean():.2f}")
    return done


def detection(transform: v2.Compose, image: Tensor) -> dict[str, Any]:
    """One draw for the image, its boxes and its mask; ``SanitizeBoundingBoxes`` drops what left the frame."""
    corners = [[20, 30, 150, 200], [160, 40, 300, 90]]
    sample = {
        "image": tv_tensors.Image(image),
        "boxes": tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(256, 320)),
        "masks": tv_tensors.Mask(torch.zeros(2, 256, 320, dtype=torch.uint8)),
        "labels": torch.tensor([3, 7]),
    }
    sample = v2.SanitizeBoundingBoxes()(transform(sample))
    print(f"{len(sample['labels'])} boxes: {sample['boxes'].tolist()}")
    return sample


if __name__ == "__main__":
    main()
