"""Names that can be no file's, and policies or genotypes written where their file should be named: told in a line."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

from daas.augment import DAASPolicy, find_policy
from daas.errors import BadInput
from daas.models import find_genotype
from tests.conftest import write_folder

LONG = "x" * 300
TRAIN = ["--data-dir", "photos", "--val-dir", "others", "--model", "test_resnet", "--img-size", "32", "-b", "4"]
TRAIN += ["--epochs", "1", "--device", "cpu", "--train-crop-mode", "pad"]
SEARCH = ["--data-dir", "photos", "--preset", "demo", "--batch-size", "4", "--no-screen", "--race", "0"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with images to train and to validate on."""
    random = torch.Generator().manual_seed(0)
    for name in ("photos", "others"):
        images = torch.randint(256, (24, 3, 32, 32), generator=random, dtype=torch.uint8)
        write_folder(tmp_path / name, images, torch.arange(24) % 2, ("cat", "dog"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["train", *TRAIN, "--output", LONG],
        ["train", *TRAIN, "--experiment", LONG],
        ["train", *TRAIN, "--resume", LONG],
        ["train", *TRAIN, "--initial-checkpoint", f"{LONG}.safetensors"],
        ["train", *TRAIN, "--pretrained-path", f"{LONG}.safetensors"],
        ["train", *TRAIN, "--validate", f"{LONG}.safetensors"],
        ["train", *TRAIN, "--aa", f"daas:{LONG}"],
        ["train", *TRAIN, "--aa", f"daas:local-dir:{LONG}"],
        ["train", *TRAIN, "--model", LONG],
        ["train", *TRAIN, "--model", f"local-dir:{LONG}"],
        ["search", *SEARCH, "--out", LONG],
        ["search", *SEARCH, "--out", "out", "--resume", LONG],
        ["search", "report", LONG],
        [
            "race",
            "--data-dir",
            "photos",
            "--out",
            LONG,
            "--trainings",
            "2",
            "--model",
            "test_resnet",
            "--batch-size",
            "4",
        ],
        ["screen", "--data-dir", "photos", "--out", LONG],
        ["hub", "verify", LONG],
        ["hub", "export", LONG, "folder"],
        ["augment", "show", LONG, "--images", "photos/cat", "--out", "grid.png"],
        ["augment", "show", "randaugment", "--images", LONG, "--out", "grid.png"],
        ["augment", "show", "randaugment", "--images", "photos/cat", "--out", f"{LONG}.png"],
        ["augment", "convert", "torchvision:cifar10", f"{LONG}.json"],
        ["augment", "convert", LONG, "one.json"],
        ["models", "--draw", LONG, "cells.svg"],
        ["models", "--draw", "darts_v2", f"{LONG}.svg"],
    ],
)
def test_a_name_that_is_too_long_for_a_file_is_told_in_a_line(
    command: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = sorted(here.rglob("*"))
    program, *arguments = command
    assert importlib.import_module(f"daas.{program}.__main__").main(arguments) == 2
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert "x" * 100 in said
    assert sorted(here.rglob("*")) == there


def test_the_text_of_a_policy_is_no_name_of_one() -> None:
    with pytest.raises(BadInput, match="neither shipped nor a file"):
        DAASPolicy.load(json.dumps(find_policy("randaugment").to_dict()))


def test_a_genotype_may_be_the_folder_of_its_run(tmp_path: Path) -> None:
    """As a policy may."""
    with pytest.raises(BadInput, match=r"no genotype\.json in it"):
        find_genotype(tmp_path)
    find_genotype("darts_v2").save(tmp_path / "genotype.json")
    assert find_genotype(tmp_path) == find_genotype(str(tmp_path)) == find_genotype("darts_v2")
