"""Trainings that ``torchrun`` starts in two processes for ``test_processes``: one argument, the output folder."""

from __future__ import annotations

import sys

import torch

import tests.conftest
from daas.train.__main__ import main

DIGITS = [
    "--dataset", "digits", "--train-split", "test", "--val-split", "test", "--epochs", "2", "--warmup-epochs", "0",
    "--lr", "0.05", "--device", "cpu", "--aa", "daas:randaugment", "--cutout", "4",
]  # fmt: skip
VIT = [*DIGITS, "--model", "test_vit", "--img-size", "16", "--model-kwargs", "patch_size=8", "--grad-accum-steps", "2",
       "--model-ema", "--model-ema-decay", "0.9"]  # fmt: skip
"""No batch norm: what happens to an image does not depend on the others."""
NORMS = [*DIGITS, "--model", "daas_test_convnet", "--img-size", "8", "--model-kwargs", "width=4", "--epochs", "1",
         "-b", "128"]  # fmt: skip


def trainings(out: str, photos: str) -> None:
    """Everything that needs two processes; each must end well."""
    folders = [
        "--data-dir",
        photos,
        "--model",
        "test_resnet",
        "--img-size",
        "32",
        "-b",
        "4",
        "-j",
        "0",
        "--device",
        "cpu",
    ]
    runs = {
        "vit": [*VIT, "-b", "32"],
        "reduce": NORMS,
        "broadcast": [*NORMS, "--dist-bn", "broadcast"],
        "own": [*NORMS, "--dist-bn", ""],
        "whole": [*folders, "--epochs", "2"],
        "stopped": [*folders, "--epochs", "2", "--recovery-interval", "1"],
    }
    for name, words in runs.items():
        assert main([*words, "--output", out, "--experiment", name]) in (0, 130), name
    assert main([*runs["stopped"], "--output", out, "--experiment", "stopped", "--resume", "auto"]) == 0


def stop_the_run_called_stopped() -> None:
    """Interrupts it once, in both processes, in the middle of its second epoch."""
    from daas.train import run as module

    original, left = module._after_batch, [1]

    def stop(run: object, images: torch.Tensor) -> None:
        original(run, images)  # type: ignore[arg-type]  # passed on
        progress = run.progress  # type: ignore[attr-defined]  # a Training
        if run.folder.name == "stopped" and (progress.epoch, progress.batch) == (1, 2) and left:  # type: ignore[attr-defined]  # a Training
            left.clear()
            raise KeyboardInterrupt

    module._after_batch = stop  # type: ignore[assignment]  # the same signature


if __name__ == "__main__":
    torch.set_num_threads(1)
    tests.conftest.register_small_convnet()
    stop_the_run_called_stopped()
    torch.distributed.init_process_group("gloo")  # once: a program that joins by itself leaves again
    trainings(*sys.argv[1:])
    torch.distributed.destroy_process_group()
