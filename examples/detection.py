"""A detection loop with torchvision's models and transforms: a policy that takes the boxes along.

    python examples/detection.py

``SingleImage`` draws once for a sample, and ``SanitizeBoundingBoxes`` drops boxes, and their labels, that left the
frame.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.transforms import v2

import daas
from daas.augment import SingleImage

TRAINING = v2.Compose(
    [
        v2.RandomHorizontalFlip(),
        SingleImage(daas.DAASPolicy.load("autoaugment_imagenet")),
        v2.SanitizeBoundingBoxes(),
        v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),  # the model normalises
    ]
)


class Squares(Dataset[tuple[Tensor, dict[str, Any]]]):
    """Bright squares on noise, with their boxes: what a data set of torchvision's gives."""

    def __init__(self, count: int, transform: v2.Transform) -> None:
        self.count, self.transform = count, transform

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        image = torch.randint(120, (3, 96, 96), dtype=torch.uint8)
        x, y = torch.randint(4, 60, (2,)).tolist()
        image[:, y : y + 30, x : x + 30] += 120
        boxes = tv_tensors.BoundingBoxes(
            [[x, y, x + 30, y + 30]], format="XYXY", canvas_size=(96, 96), dtype=torch.float32
        )
        return self.transform(tv_tensors.Image(image), {"boxes": boxes, "labels": torch.tensor([1])})


def collate(samples: list[tuple[Tensor, dict[str, Any]]]) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """Images and targets of a batch, as torchvision's detection models take them."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def main() -> float:
    torch.manual_seed(0)
    loader = DataLoader(Squares(8, TRAINING), batch_size=4, collate_fn=collate)
    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for images, targets in loader:
        losses = model(images, targets)
        loss = sum(losses.values(), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"loss {loss.item():.2f}, boxes {[len(target['labels']) for target in targets]}")
    return loss.item()


if __name__ == "__main__":
    main()
