"""A Hugging Face data set: its transform makes uint8 tensors, the collator augments the batch.

    pip install datasets
    python examples/hugging_face.py

``with_transform`` runs when rows are read, so every epoch sees other versions. With a ``transformers.Trainer``, pass
``collate`` as ``data_collator`` and set ``remove_unused_columns=False``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from datasets import Dataset, Features, Image, Value
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2

import daas

POLICY = daas.DAASPolicy.load("autoaugment_cifar10", normalize=((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))
CROP = v2.Compose([v2.RGB(), v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), v2.PILToTensor()])


def to_tensors(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Decoded pictures of a few rows, each [3, 32, 32] uint8."""
    return {"pixel_values": [CROP(image) for image in rows["image"]], "labels": rows["label"]}


def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch: stacked, augmented and normalised at once."""
    images = torch.stack([row["pixel_values"] for row in rows])
    return {"pixel_values": POLICY(images), "labels": torch.tensor([row["labels"] for row in rows])}


def main() -> dict[str, Tensor]:
    torch.manual_seed(0)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    columns = {"image": list(pictures), "label": [index % 10 for index in range(40)]}
    dataset = Dataset.from_dict(columns, features=Features({"image": Image(), "label": Value("int64")}))
    loader = DataLoader(dataset.with_transform(to_tensors), batch_size=20, shuffle=True, collate_fn=collate)
    for batch in loader:
        print({name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in batch.items()})
    return batch


if __name__ == "__main__":
    main()
