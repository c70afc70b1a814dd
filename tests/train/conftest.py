"""A short training on the digits, and its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from daas.train.__main__ import main

Train = Callable[..., tuple[int, Path]]


@pytest.fixture
def run_train(tmp_path: Path, small_convnet: str) -> Train:
    """Runs ``daas train`` in this process with a short training's options: (exit code, run folder)."""

    def run(*arguments: str, out: str = "run", leave_out: tuple[str, ...] = ()) -> tuple[int, Path]:
        values = {
            "--dataset": "digits", "--val-split": "test", "--model": small_convnet,
            "--img-size": "8", "--epochs": "2",
            "--warmup-epochs": "0", "--batch-size": "128", "--train-split": "test",
            "--lr": "0.05", "--hflip": "0", "--output": str(tmp_path),
            "--experiment": out, "--model-kwargs": "width=4",
        }  # fmt: skip
        given = [word for flag, value in values.items() if flag not in leave_out for word in (flag, value)]
        return main([*given, *arguments]), tmp_path / out

    return run


def weights(folder: Path) -> torch.Tensor:
    """All weights of a run as one vector."""
    return torch.cat(
        [tensor.flatten().double() for _, tensor in sorted(load_file(folder / "last.safetensors").items())]
    )
