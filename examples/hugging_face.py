"""Hugging Face data sets: the training set's transform augments, the evaluation set's does not.

    pip install datasets
    python examples/hugging_face.py

``with_transform`` runs when rows are read, for a whole batch of them at once, so every epoch sees other versions. With
a ``transformers.Trainer``, pass both sets as they are here, ``collate`` as ``data_collator`` and
``remove_unused_columns=False``. A policy in the collator would augment the evaluation set too: the Trainer has one
collator for both.
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

STATISTICS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
POLICY = daas.DAASPolicy.load("autoaugment_cifar10", normalize=STATISTICS)
CROP = v2.Compose([v2.RGB(), v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), v2.PILToTensor()])
PLAIN = v2.Compose([v2.RGB(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(*STATISTICS)])


def training(rows: dict[str, list[Any]]) -> dict[str, Any]:
    """The rows of a batch, augmented and normalised at once: one call of the policy."""
    images = torch.stack([CROP(image) for image in rows["image"]])
    return {"pixel_values": POLICY(images), "labels": rows["label"]}


def evaluation(rows: dict[str, list[Any]]) -> dict[str, Any]:
    """The rows of a batch as they are, normalised."""
    return {"pixel_values": [PLAIN(image) for image in rows["image"]], "labels": rows["label"]}


def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch of either set."""
    images = torch.stack([row["pixel_values"] for row in rows])
    return {"pixel_values": images, "labels": torch.tensor([row["labels"] for row in rows])}


def main() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    torch.manual_seed(0)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    columns = {"image": list(pictures), "label": [index % 10 for index in range(40)]}
    dataset = Dataset.from_dict(columns, features=Features({"image": Image(), "label": Value("int64")}))
    train = DataLoader(dataset.with_transform(training), batch_size=20, shuffle=True, collate_fn=collate)
    evaluate = DataLoader(dataset.with_transform(evaluation), batch_size=20, collate_fn=collate)
    for batch in train:
        print({name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in batch.items()})
    return batch, next(iter(evaluate))


if __name__ == "__main__":
    main()
