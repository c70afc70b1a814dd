"""Trainings in processes of their own: two that train together, one that is killed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from daas import checkpoint
from daas.errors import BadInput
from daas.train.__main__ import main
from tests.conftest import write_folder
from tests.train.two_processes import VIT

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    random = torch.Generator().manual_seed(0)
    for split, count in (("train", 26), ("validation", 7)):
        labels = torch.arange(count) % 2
        images = (torch.rand(count, 3, 32, 32, generator=random) * 120 + 100 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
        write_folder(root / split, images, labels, ("dark", "bright"))
    return root


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """Outputs of ``two_processes``."""
    out = tmp_path_factory.mktemp("together")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = ["-m", "tests.train.two_processes", str(out), str(photos)]
    done = subprocess.run([*command, *script], env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Done: ") == 6  # the first process alone speaks
    return out


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "summary.csv").open()))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "last.safetensors")


def test_two_processes_train_like_one_with_the_same_batch(together: Path, tmp_path: Path) -> None:
    assert main([*VIT, "-b", "64", "--output", str(tmp_path), "--experiment", "one"]) == 0
    one, two = tmp_path / "one", together / "vit"
    for alone, shared in zip(rows(one), rows(two), strict=True):
        for key in ("train_loss", "eval_loss"):
            assert float(shared[key]) == pytest.approx(float(alone[key]), rel=1e-4)
        for key in ("eval_top1", "eval_top5"):
            assert float(shared[key]) == pytest.approx(float(alone[key]), abs=0.41)  # 2 of 500 images
    mine, theirs = weights(one), weights(two)
    for name, tensor in mine.items():
        assert torch.allclose(tensor, theirs[name], atol=2e-4), name


def test_statistics_of_batch_norms_are_averaged_after_an_epoch_or_not(together: Path) -> None:
    found = {name: weights(together / name) for name in ("reduce", "broadcast", "own")}
    for name, tensor in found["reduce"].items():
        if "running" in name:
            assert not torch.equal(tensor, found["broadcast"][name])
            assert torch.equal(found["own"][name], found["broadcast"][name])  # what the first process saw
        elif "num_batches" not in name:
            assert torch.equal(tensor, found["broadcast"][name])


def test_two_processes_resume_in_the_middle_of_an_epoch(together: Path) -> None:
    whole, stopped = weights(together / "whole"), weights(together / "stopped")
    assert all(torch.equal(tensor, stopped[name]) for name, tensor in whole.items())
    assert rows(together / "whole") == rows(together / "stopped")
    assert (together / "whole" / "result.json").exists()


def test_a_run_that_is_killed_within_an_epoch_goes_on_as_if_it_had_not(photos: Path, tmp_path: Path) -> None:
    words = [
        "--data-dir", str(photos), "--model", "test_resnet", "--img-size", "32", "-b", "2", "-j", "1", "--epochs", "3",
        "--drop", "0.2", "--output", str(tmp_path),
    ]  # fmt: skip
    assert main([*words, "--experiment", "whole"]) == 0
    words += ["--recovery-interval", "2"]
    command = [sys.executable, "-m", "daas.train", *words, "--experiment", "killed"]
    process = subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    path = tmp_path / "killed" / "checkpoint.safetensors"
    deadline = time.monotonic() + 600
    while not _within_the_second_epoch(path):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.load(path)[1]["batch"] > 0
    assert main([*words, "--experiment", "killed", "--resume", "auto"]) == 0
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(tensor, killed[name]) for name, tensor in whole.items())
    assert rows(tmp_path / "whole") == rows(tmp_path / "killed")


def _within_the_second_epoch(path: Path) -> bool:
    try:
        meta = checkpoint.load(path)[1]
    except BadInput:  # not there yet
        return False
    return bool(meta["epoch"] >= 1 and 2 <= meta["batch"] <= 6)
