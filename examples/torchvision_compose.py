"""torchvision.transforms.v2.Compose: PIL images, tensors and tv_tensors.Image, one sample at a time.

    python examples/torchvision_compose.py

``SingleImage`` makes of a policy a v2 transform; labels pass through. ``DAASPolicy`` itself stands in a Compose that
sees batches.
"""

from __future__ import annotations

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
    per_sample = v2.Compose(
        [
            v2.RandomResizedCrop(224),
            v2.RandomHorizontalFlip(),
            SingleImage(policy),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(*IMAGENET),
        ]
    )
    picture, label = FakeData(1, (3, 256, 320))[0]
    tensor = v2.functional.pil_to_tensor(picture)
    done = {
        "PIL image": per_sample(picture, label)[0],
        "tensor": per_sample(tensor),
        "tv_tensors.Image": per_sample(tv_tensors.Image(tensor)),
    }
    batches = v2.Compose([v2.RandomCrop(224), policy, v2.ToDtype(torch.float32, scale=True), v2.Normalize(*IMAGENET)])
    done["batch"] = batches(tensor.expand(8, -1, -1, -1))
    for kind, result in done.items():
        print(f"{kind:16} -> {type(result).__name__} {tuple(result.shape)}, mean {result.mean():.2f}")
    return done


if __name__ == "__main__":
    main()
