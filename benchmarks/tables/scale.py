"""How large everything is, and the photographs themselves: a part of each archive, the same one for every run."""

from __future__ import annotations

import random
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Scale:
    """Sizes of searches and trainings.

    Attributes:
        name: In every record.
        train_images: Photographs for searching (in two halves) and for training (all).
        test_images: Photographs that nothing but the final figure sees.
        image_size: Side in pixels to which they are resized.
        search: Options of every search.
        cells: Constructor arguments of every cell network that is trained or searched a policy for.
        train: Options of every training.
        models: Fixed networks of Table 5 by name: (timm name, constructor arguments).
    """

    name: str
    train_images: int
    test_images: int
    image_size: int
    search: tuple[str, ...]
    cells: tuple[str, ...]
    train: tuple[str, ...]
    models: dict[str, tuple[str, tuple[str, ...]]]


_TRAIN = ("--train-crop-mode", "pad", "--opt", "sgd", "--momentum", "0.9", "--weight-decay", "3e-4", "--sched",
          "cosine", "--warmup-epochs", "1", "--min-lr", "0", "--smoothing", "0", "--clip-grad", "5")  # fmt: skip
_SMALL = (*_TRAIN, "--crop-padding", "2", "--batch-size", "50", "--lr", "0.1")
_SEARCH = ("--preset", "cpu", "--batch-size", "50", "--layers", "4", "--architectures", "2", "--warmup-epochs", "10",
           "--epochs", "30", "--derive", "printed", "--no-screen", "--race", "0")  # fmt: skip
_MODELS = {
    "wide residual network 10-2": ("wide_resnet40_2_cifar", ("depth=10", "widen=2")),
    "ResNet-10-t": ("resnet10t", ()),
}


def _small(name: str, epochs: int) -> Scale:
    train = (*_SMALL, "--epochs", str(epochs), "--val-interval", str(epochs))
    return Scale(name, 1000, 10_000, 16, _SEARCH, ("channels=8", "layers=4"), train, _MODELS)


SCALES = {
    "overfits": _small("overfits", 60),
    "underfits": _small("underfits", 8),
    "smoke": Scale(
        "smoke", 100, 100, 32,
        ("--preset", "cpu", "--channels", "2", "--layers", "3", "--nodes", "2", "--warmup-epochs", "1", "--epochs", "1",
         "--architectures", "1", "--batch-size", "25", "--no-screen", "--race", "0"),
        ("channels=2", "layers=3"),
        (*_TRAIN, "--epochs", "1", "--warmup-epochs", "0", "--batch-size", "25", "--lr", "0.05"),
        {"wide residual network 10-1": ("wide_resnet40_2_cifar", ("depth=10", "widen=1"))},
    ),
}  # fmt: skip
"""``overfits``: few photographs, many epochs, the regime in which augmentation pays. ``underfits``: the same with few
epochs, where a right search must find that little should be applied. ``smoke``: only shows that the machinery runs."""


def part_of(archive: Path, images: int, out: Path) -> Path:
    """A ``.tar`` with some of the images of another one, equally many of each class, always the same ones.

    Args:
        archive: A ``.tar`` of class folders.
        images: How many to take.
        out: Where to write; left alone if it is there.

    Raises:
        ValueError: The archive holds fewer.
    """
    if out.exists():
        return out
    by_class: dict[str, list[tarfile.TarInfo]] = {}
    aside = out.with_name(out.name + ".part")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "r:") as source:
        for member in source:
            if member.isfile():
                by_class.setdefault(PurePosixPath(member.name).parent.name, []).append(member)
        each = images // len(by_class)
        fewest = min(map(len, by_class.values()))
        if fewest < each:
            raise ValueError(f"{archive} has {fewest} images of one of its classes; {each} of each are needed")
        with tarfile.open(aside, "w:") as target:
            for name in sorted(by_class):
                members = sorted(by_class[name], key=lambda member: member.name)
                for member in random.Random(f"part of {name}").sample(members, each):
                    target.addfile(member, source.extractfile(member))
    return aside.rename(out)
