"""Accelerate: a plain loop whose batches arrive on the right device; the policy needs no ``prepare``.

    pip install accelerate
    accelerate launch examples/accelerate_loop.py     # or: python examples/accelerate_loop.py

The policy has no parameters. It draws from torch's global stream, which is another one in every process where
``set_seed(..., device_specific=True)`` says so: otherwise all processes would augment their shares alike.
"""

from __future__ import annotations

import timm
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from torchvision.datasets import FakeData
from torchvision.transforms import v2

import daas

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def main() -> float:
    accelerator = Accelerator()
    set_seed(0, device_specific=True)
    crop = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    loader = DataLoader(FakeData(64, (3, 32, 32), transform=crop), batch_size=32, shuffle=True)
    model = timm.create_model("daas_cell_cifar", genotype="darts_v2", channels=4, layers=3, num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    policy = daas.DAASPolicy.load("autoaugment_cifar10", normalize=(MEAN, STD))
    for images, labels in loader:  # on the device already
        batch = policy(images)
        with accelerator.autocast():
            loss = torch.nn.functional.cross_entropy(model(batch), labels)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        accelerator.print(f"loss {loss.item():.3f}")
    return loss.item()


if __name__ == "__main__":
    main()
