"""Helpers that several tests share: pictures on disk, small networks, short searches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from timm.models import register_model, save_for_hf
from torch import Tensor, nn

from daas.data import ImageData

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start: sums depend on the number of threads

SHORT_SEARCH = [
    "--preset", "demo", "--channels", "2", "--layers", "3", "--nodes", "2", "--warmup-epochs", "1", "--epochs", "2",
    "--batch-size", "64", "--max-images", "400", "--architectures", "2", "--derive", "printed", "--no-screen",
    "--race", "0",
]  # fmt: skip
"""Options of a search of three epochs with three iterations each, without screen and race."""


def write_folder(root: Path, images: Tensor, labels: Tensor, names: tuple[str, ...]) -> Path:
    """Writes [N, 3, H, W] uint8 images as PNG files into class folders."""
    for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        folder = root / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{index:05d}.png")
    return root


def folder_of(root: Path, data: ImageData) -> Path:
    """Writes a loaded set as a folder of class folders."""
    return write_folder(root, data.fetch(torch.arange(len(data))), data.labels, data.class_names)


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    """A folder of two classes with 40 small pictures each, told apart by their brightness."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat(40)
    images = (torch.rand(80, 3, 16, 16, generator=random) * 120 + 100 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    return write_folder(tmp_path / "two", images, labels, ("dark", "bright"))


def _small_convnet(num_classes: int = 10, in_chans: int = 3, width: int = 16, **_: object) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_chans, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, num_classes),
    )  # fmt: skip


@pytest.fixture(scope="session")
def small_convnet() -> str:
    """The timm name of a small fixed network."""
    return register_small_convnet()


def register_small_convnet() -> str:
    """Makes the small fixed network known to timm: its name."""
    name = "daas_test_convnet"
    if not timm.is_model(name):

        def daas_test_convnet(pretrained: bool = False, **kwargs: int) -> nn.Module:
            return _small_convnet(**kwargs)

        register_model(daas_test_convnet)
    return name


def saved_network(folder: Path, classes: int = 3, seed: int = 0) -> tuple[nn.Module, Path]:
    """A small timm model with 32 pixels in a folder as timm keeps one for the Hub: the network, and the folder."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = timm.create_model("test_resnet", num_classes=classes)
    network.pretrained_cfg = {**network.pretrained_cfg, "input_size": (3, 32, 32)}
    save_for_hf(network, str(folder), safe_serialization=True)
    return network, folder


@pytest.fixture(scope="session")
def whole_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short search that nothing interrupted; for reading only."""
    from daas.search.__main__ import main

    out = tmp_path_factory.mktemp("searched") / "whole"
    assert main([*SHORT_SEARCH, "--out", str(out)]) == 0
    return out


@pytest.fixture
def run_search(tmp_path: Path) -> Callable[..., tuple[int, Path]]:
    """Runs ``python -m daas.search`` in this process with a short search's options: (exit code, output folder)."""
    from daas.search.__main__ import main

    def run(*arguments: str, out: str = "run") -> tuple[int, Path]:
        return main([*SHORT_SEARCH, "--out", str(tmp_path / out), *arguments]), tmp_path / out

    return run
