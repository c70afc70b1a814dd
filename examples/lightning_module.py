"""Lightning: the policy augments and normalises whole batches on the device, in training alone.

    pip install lightning
    python examples/lightning_module.py

``on_after_batch_transfer`` sees every batch, of training and of validation, when it is on the device. The policy is no
module with weights: it adds nothing to checkpoints.
"""

from __future__ import annotations

import warnings
from typing import Any

import lightning
import timm
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import v2

import daas

STATISTICS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class Classifier(lightning.LightningModule):
    """A timm model under a policy.

    Attributes:
        seen: The batches that the network saw, by the loop in which it did.
    """

    def __init__(self, policy: str, classes: int) -> None:
        super().__init__()
        self.model = timm.create_model(
            "daas_cell_cifar", genotype="darts_v2", channels=4, layers=3, num_classes=classes
        )
        self.augment = daas.DAASPolicy.load(policy, normalize=STATISTICS)
        self.normalize = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(*STATISTICS)])
        self.seen: dict[str, list[Tensor]] = {"train": [], "validate": []}

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Uint8 images -> normalised ones, augmented while training."""
        images, labels = batch
        prepare = self.augment if self.trainer.training else self.normalize
        return prepare(images), labels

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        images, labels = batch
        self.seen["train"].append(images)
        return torch.nn.functional.cross_entropy(self.model(images), labels)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Logs the accuracy."""
        images, labels = batch
        self.seen["validate"].append(images)
        self.log("accuracy", (self.model(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Any optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def main() -> Classifier:
    lightning.seed_everything(0, verbose=False)
    warnings.filterwarnings("ignore", message=".*(does not have many workers|log_every_n_steps|in-memory dataset).*")
    images = torch.full((64, 3, 32, 32), 200, dtype=torch.uint8)
    labels = torch.arange(64) % 2
    images[labels == 1, :, :, :16] = 40  # the left half is dark
    data = TensorDataset(images, labels)
    module = Classifier("autoaugment_cifar10", classes=2)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="auto", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, DataLoader(data, batch_size=16, shuffle=True), DataLoader(data, batch_size=32))
    print(f"accuracy {trainer.callback_metrics['accuracy'].item():.2f}")
    return module


if __name__ == "__main__":
    main()
