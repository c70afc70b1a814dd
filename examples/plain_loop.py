"""A plain PyTorch training loop: the policy augments and normalises whole uint8 batches, on the device of the model.

    python examples/plain_loop.py

The data set yields uint8 tensors; the policy sits where the batch arrives. Every image gets a sub-policy of its own.
"""

from __future__ import annotations

import timm
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import FakeData
from torchvision.transforms import v2

import daas

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def main() -> float:
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    crop = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    loader = DataLoader(FakeData(64, (3, 32, 32), transform=crop), batch_size=32, shuffle=True)
    policy = daas.DAASPolicy.load("autoaugment_cifar10", normalize=(MEAN, STD))
    model = timm.create_model("daas_cell_cifar", genotype="darts_v2", channels=4, layers=3, num_classes=10).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for images, labels in loader:
        batch = policy(images.to(device))  # [B, 3, 32, 32] uint8 -> normalised float
        loss = torch.nn.functional.cross_entropy(model(batch), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"loss {loss.item():.3f}")
    return loss.item()


if __name__ == "__main__":
    main()
