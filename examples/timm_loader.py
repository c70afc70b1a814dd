"""A timm loader: policy, normalisation, random erasing and Mixup in the right order.

    python examples/timm_loader.py

timm's loader normalises on the device, before anything in the training loop sees the batch. So it is told to leave the
pixels alone (mean 0, standard deviation 1: it yields floats in [0, 1]), and what follows stands in the loop: the policy
on pixels, then normalisation, then random erasing (its noise has mean 0, standard deviation 1), then Mixup (which must
see the augmented images; so no mixup in the loader, which would mix before the policy).
"""

from __future__ import annotations

import torch
from timm.data import Mixup, create_loader
from timm.data.loader import PrefetchLoader
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torchvision.datasets import FakeData

import daas

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def loader() -> PrefetchLoader:
    """timm's, without augmentation of colours and without normalisation."""
    return create_loader(
        FakeData(64, (3, 80, 80)),
        input_size=(3, 64, 64),
        batch_size=16,
        is_training=True,
        auto_augment=None,  # the policy takes its place
        color_jitter=0.0,
        re_prob=0.0,  # after the normalisation below
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        num_workers=0,
        persistent_workers=False,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )


def in_timms_script(loader_train: PrefetchLoader) -> None:
    """The line that timm's train.py needs after it has made ``loader_train``: the policy before the last transform.

    It sees PIL images there, one by one; the loop of ``main`` is faster.
    """
    loader_train.dataset.transform.transforms.insert(-1, daas.DAASPolicy.load("autoaugment_imagenet"))


def main() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    policy = daas.DAASPolicy.load("autoaugment_imagenet", normalize=IMAGENET)
    erase = RandomErasing(probability=0.25, mode="pixel", device="cuda" if torch.cuda.is_available() else "cpu")
    mixup = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, label_smoothing=0.1, num_classes=10)
    for images, labels in loader():  # [B, 3, H, W] float in [0, 1]
        batch = erase(policy(images))
        batch, targets = mixup(batch, labels)
        print(f"batch {tuple(batch.shape)}, mean {batch.mean():.2f}; targets {tuple(targets.shape)}")
    return batch, targets


if __name__ == "__main__":
    main()
