"""Hugging Face's Trainer: the policy stands in the transform of the training set, so that evaluation is left alone.

    pip install transformers accelerate datasets
    python examples/hugging_face_trainer.py

The Trainer has one collator for training and evaluation: a policy there would augment both. ``with_transform`` belongs
to a set. ``remove_unused_columns=False``, or the images are dropped before the transform sees them. Any network that
returns a loss will do; this one wraps a timm model.
"""

from __future__ import annotations

import tempfile
from typing import Any

import timm
import torch
from datasets import Dataset, Features, Image, Value
from torch import Tensor, nn
from torchvision.transforms import v2
from transformers import Trainer, TrainingArguments

import daas

STATISTICS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
POLICY = daas.DAASPolicy.load("autoaugment_cifar10", normalize=STATISTICS)
CROP = v2.Compose([v2.RGB(), v2.RandomCrop(32, padding=4), v2.PILToTensor()])
PLAIN = v2.Compose([v2.RGB(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(*STATISTICS)])


def training(rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Rows of the training set: one call of the policy for all of them."""
    return {"pixel_values": POLICY(torch.stack([CROP(image) for image in rows["image"]])), "labels": rows["label"]}


def evaluation(rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Rows of the evaluation set as they are, normalised."""
    return {"pixel_values": [PLAIN(image) for image in rows["image"]], "labels": rows["label"]}


def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch of either set."""
    images = torch.stack([row["pixel_values"] for row in rows])
    return {"pixel_values": images, "labels": torch.tensor([row["labels"] for row in rows])}


class WithLoss(nn.Module):
    """A timm model that answers as the Trainer wants it.

    Attributes:
        seen: The pixel values of every batch, by the mode in which the network was.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.model = timm.create_model(
            "daas_cell_cifar", genotype="darts_v2", channels=4, layers=3, num_classes=classes
        )
        self.seen: dict[bool, list[Tensor]] = {True: [], False: []}

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """[B, 3, H, W] and [B] -> loss and logits."""
        self.seen[self.training].append(pixel_values)
        logits = self.model(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def photographs(count: int = 48) -> Dataset:
    """Bright pictures whose left half is dark in one of two classes."""
    pictures = torch.full((count, 32, 32, 3), 200, dtype=torch.uint8)
    pictures[1::2, :, :16] = 40
    columns = {"image": list(pictures.numpy()), "label": [index % 2 for index in range(count)]}
    return Dataset.from_dict(columns, features=Features({"image": Image(), "label": Value("int64")}))


def main() -> tuple[WithLoss, dict[str, float]]:
    torch.manual_seed(0)
    model = WithLoss(classes=2)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, num_train_epochs=2, per_device_train_batch_size=16, learning_rate=1e-2, report_to=[],
            remove_unused_columns=False, save_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(
            model, arguments, data_collator=collate,
            train_dataset=photographs().with_transform(training),
            eval_dataset=photographs().with_transform(evaluation),
            compute_metrics=lambda seen: {"accuracy": float((seen.predictions.argmax(1) == seen.label_ids).mean())},
        )  # fmt: skip
        trainer.train()
        found = trainer.evaluate()
    print(f"accuracy {found['eval_accuracy']:.2f}")
    return model, found


if __name__ == "__main__":
    main()
