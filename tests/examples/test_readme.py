"""The README's commands and code run as they stand, in the order in which a reader meets them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from daas.__main__ import main
from daas.search.options import PRESETS

TEXT = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", TEXT, flags=re.DOTALL)
SHORTER = {
    "screen": ["--epochs", "12", "--image-size", "16"],
    "search": ["--max-steps", "2", "--batch-size", "16", "--image-size", "16", "--race", "2", "--race-epochs", "1"],
    "train": ["--epochs", "1", "--img-size", "32", "-b", "16", "--workers", "0"],
}
"""What makes a command short, behind what stands there."""


def test_it_is_short_and_says_what_it_must() -> None:
    assert len(TEXT.split()) <= 900
    commands = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
    assert {line.split()[0] for line in commands} == {"pip", "make", "daas"}
    assert sum(line.startswith("make ") for line in commands) == 2


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("https://") or (Path(__file__).parents[2] / target).exists(), target


def test_it_runs_from_top_to_bottom(two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PRESETS["cpu"], "race", 2)
    monkeypatch.setitem(PRESETS["cpu"], "race_epochs", 1)
    two_classes.rename(tmp_path / "my_photos")
    shutil.copytree(tmp_path / "my_photos", tmp_path / "my_test_photos")
    images = torch.randint(256, (160, 3, 16, 16), dtype=torch.uint8)
    names: dict[str, Any] = {
        "images": images, "labels": torch.arange(160) % 4, "mean": (0.5,) * 3, "std": (0.25,) * 3,
        "criterion": nn.CrossEntropyLoss(), "loader": [(images[:8], torch.arange(8) % 4)],
    }  # fmt: skip
    for language, block in BLOCKS:
        if language == "python":
            exec(block, names)
            continue
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[0] == "daas":
                assert main([*words[1:], *SHORTER[words[1]]]) == 0, line
    assert names["found"].genotype is not None
    assert torch.isfinite(names["loss"])
