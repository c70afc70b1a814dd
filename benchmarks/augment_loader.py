"""``python -m benchmarks.augment_loader``: images/s out of a DataLoader with two workers, end to end.

The data set is JPEG files in memory; samples are decoded, cropped and flipped by the same torchvision transforms. Then
either timm's PIL augmentation runs on each sample, or the samples are stacked and ``DAASPolicy`` runs on the batch, in
the worker. Both end as a normalised float batch in the main process. ``nothing`` is that loader without augmentation.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from timm.data.auto_augment import auto_augment_transform, rand_augment_transform
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.pillow_policy import to_images
from benchmarks.rivals import MEAN, STD, normalized, pictures
from benchmarks.timing import ratio_text, table, take_turns, write
from daas import DAASPolicy, Policy

SETTINGS = {  # pixels: images, batch, pixels of the files
    32: (8192, 256, 32),
    224: (512, 32, 320),
}


class Files(Dataset[Tensor]):
    """JPEG files in memory, decoded and transformed to [3, H, W] uint8."""

    def __init__(self, images: list[Image.Image], count: int, transform: Callable[[Image.Image], Tensor]) -> None:
        self.files, self.count, self.transform = [_jpeg(image) for image in images], count, transform

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(io.BytesIO(self.files[index % len(self.files)])) as image:
            return self.transform(image.convert("RGB"))


class Collate:
    """Stacks samples; then the batch function makes them a normalised float batch."""

    def __init__(self, batch: Callable[[Tensor], Tensor]) -> None:
        self.batch = batch

    def __call__(self, samples: list[Tensor]) -> Tensor:
        """[3, H, W] uint8 samples -> [B, 3, H, W] normalised float."""
        return self.batch(torch.stack(samples))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    text, figures = [], {}
    for size, (count, batch, source) in SETTINGS.items():
        images = to_images(pictures(64, source))
        loaders = _loaders(images, size, count, batch, options.workers)
        times = take_turns({name: _epoch(loader) for name, loader in loaders.items()}, options.rounds, warmup=1)
        figures[f"{size} px"] = {"seconds": times, "images": count}
        rows = [
            [
                name,
                f"{count / sorted(seconds)[len(seconds) // 2]:,.0f}",
                ratio_text(seconds, times["DAASPolicy, numba"]),
            ]
            for name, seconds in times.items()
        ]
        title = f"{size} x {size} pixels from JPEG files of {source} x {source}, batches of {batch}, epochs of {count}"
        text += [title, table(["augmentation", "images/s", "slower than DAASPolicy, numba"], rows)]
    command = f"python -m benchmarks.augment_loader --rounds {options.rounds} --workers {options.workers}"
    write("augment_loader", command, "\n\n".join(text), figures)


def _loaders(
    images: list[Image.Image], size: int, count: int, batch: int, workers: int
) -> dict[str, DataLoader[Tensor]]:
    crop = v2.RandomCrop(32, padding=4) if size == 32 else v2.RandomResizedCrop(size)
    hparams = {"img_mean": (124, 116, 104), "translate_const": int(size * 0.45)}
    policy = Policy.random(torch.Generator().manual_seed(0))
    contestants: dict[str, tuple[list[Any], Callable[[Tensor], Tensor]]] = {
        "nothing": ([], normalized),
        "DAASPolicy, numba": ([], DAASPolicy(policy, backend="numba", normalize=(MEAN, STD))),
        "DAASPolicy, torch": ([], DAASPolicy(policy, backend="torch", normalize=(MEAN, STD))),
        "timm AutoAugment, PIL": ([auto_augment_transform("original", hparams)], normalized),
        "timm RandAugment, PIL": ([rand_augment_transform("rand-m9-mstd0.5", hparams)], normalized),
    }
    return {
        name: DataLoader(
            Files(images, count, v2.Compose([crop, v2.RandomHorizontalFlip(), *each, v2.PILToTensor()])),
            batch_size=batch,
            num_workers=workers,
            collate_fn=Collate(together),
            persistent_workers=True,
        )
        for name, (each, together) in contestants.items()
    }


def _epoch(loader: DataLoader[Tensor]) -> Callable[[], int]:
    return lambda: sum(len(images) for images in loader)


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


if __name__ == "__main__":
    main()
