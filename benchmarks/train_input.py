"""``python -m benchmarks.train_input``: what a batch costs before the network sees it, as a share of the training time.

The network and the batch are those of the recipe ``cifar-cpu``. Its way into the network: crop, flip, a policy of
25 sub-policies, normalisation, cutout, with images that are held on the device; and instead of it what a user of timm
has: the same pictures as files, through timm's loader with an AutoAugment policy of Pillow operations, loaded in the
training process so that all work counts. Contestants take turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks.timing import ratio_text, table, take_turns, write
from daas.randomness import seed_everything
from daas.train import TrainOptions, build, parse
from daas.train.assemble import batches_of, set_up
from daas.train.augmentation import policy_of
from daas.train.batches import Place

IMAGES = 960


def main() -> None:
    options = _options()
    seed_everything(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        _pictures(Path(folder))
        common = ["--recipe", "cifar-cpu", "--data-dir", folder, "--seed", str(options.seed), "-j", "0"]
        held = parse([*common, "--aa", "daas:autoaugment_cifar10", "--cutout", "16"])
        timms = parse([*common, "--train-crop-mode", "rrc", "--aa", "original"])
        bare = parse(common)
        contestants = {
            "training step": _step(bare),
            "held, crop and flip": _batch(bare),
            "held, policy and cutout": _batch(held),
            "timm's loader, Pillow policy": _batch(timms),
        }
        times = take_turns(contestants, options.rounds)
    step = times["training step"]
    rows = []
    for name, seconds in list(times.items())[1:]:
        shares = [100 * s / (s + t) for s, t in zip(seconds, step, strict=True)]
        low, middle, high = statistics.quantiles(shares, n=4, method="inclusive")
        against = "" if name.startswith("timm") else ratio_text(times["timm's loader, Pillow policy"], seconds)
        rows.append(
            [name, f"{1000 * statistics.median(seconds):.1f}", f"{middle:.2f} ({low:.2f} to {high:.2f})", against]
        )
    head = ["input of one batch of 96", "ms, median", "share of input + step, percent", "timm's loader / this"]
    rate = 96 / statistics.median(step)
    text = table(head, rows) + (
        f"\n\nTraining step alone: {1000 * statistics.median(step):.0f} ms, {rate:.0f} images/s. Medians and quartiles "
        f"over {options.rounds} rounds, seed {options.seed}."
    )
    write("train_input", f"python -m benchmarks.train_input --rounds {options.rounds}", text, {"seconds": times})


def _pictures(root: Path) -> None:
    """Smooth random 32-pixel pictures as PNG files, for training and validation."""
    coarse = torch.rand(IMAGES, 3, 8, 8)
    pictures = torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic").clamp(0, 1).mul(255).to(torch.uint8)
    for index, picture in enumerate(pictures):
        split = "train" if index % 10 else "validation"
        folder = root / split / f"{index // 10 % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"{index}.png")


def _batch(options: TrainOptions) -> Callable[[], object]:
    """Makes one batch after the other."""
    place, policy = Place(torch.device("cpu")), policy_of(options)
    batches = batches_of(options, place, policy, train=True)
    augmentation = set_up(options, place, batches, 10, policy).augmentation

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        epoch = 0
        while True:
            yield from map(augmentation, batches.epoch(epoch))
            epoch += 1

    source = endless()
    return lambda: next(source)


def _step(options: TrainOptions) -> Callable[[], None]:
    """One update of the recipe's network on a fixed batch."""
    model = build.network(options, 10).to(memory_format=torch.channels_last).train()
    optimizer, loss = build.optimizer(options, model, 1), build.training_loss(options)
    images = torch.randn(options.batch_size, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(options.batch_size) % 10

    def run() -> None:
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()

    return run


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="timed rounds")
    parser.add_argument("--seed", type=int, default=0, help="of pictures and augmentation")
    return parser.parse_args()


if __name__ == "__main__":
    main()
