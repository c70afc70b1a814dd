"""Whole trainings: outputs, exact resumption, every option changes the run, bad input."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from daas import Policy
from daas.train.__main__ import main

Train = Callable[..., tuple[int, Path]]


@pytest.fixture
def run_train(tmp_path: Path, small_convnet: str) -> Train:
    def run(*arguments: str, out: str = "run") -> tuple[int, Path]:
        code = main(
            ["--dataset", "digits", "--val-split", "test", "--model", small_convnet, "--img-size", "16",
             "--epochs", "2", "--warmup-epochs", "0", "--batch-size", "256", "--lr", "0.05", "--hflip", "0",
             "--output", str(tmp_path), "--experiment", out, *arguments]
        )  # fmt: skip
        return code, tmp_path / out

    return run


def weights(folder: Path) -> torch.Tensor:
    return torch.cat(
        [tensor.flatten().double() for _, tensor in sorted(load_file(folder / "last.safetensors").items())]
    )


def test_a_training_writes_everything_and_learns(run_train: Train) -> None:
    code, out = run_train("--epochs", "6", "--lr", "0.2", "--batch-size", "64")
    assert code == 0
    assert {path.name for path in out.iterdir()} == {
        "args.yaml", "summary.csv", "model_best.safetensors", "last.safetensors", "result.json",
        "checkpoint.safetensors",
    }  # fmt: skip
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert float(rows[-1]["eval_top1"]) > 40
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def test_validate_gives_the_accuracy_of_the_training(run_train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run_train()
    top1 = float(list(csv.DictReader((out / "summary.csv").open()))[-1]["eval_top1"])
    capsys.readouterr()
    assert run_train("--validate", str(out / "last.safetensors"))[0] == 0
    assert f"top-1 {top1:.2f}%, " in capsys.readouterr().out


def test_interrupted_and_resumed_equals_uninterrupted(run_train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ["--reprob", "0.5", "--mixup", "0.2", "--model-ema", "--model-ema-decay", "0.9", "--epochs", "3"]
    _, whole = run_train(*everything, out="whole")
    from daas.train import run as module

    original = module._epoch

    def stop(run: module.Training) -> None:
        if run.epoch == 2:
            raise KeyboardInterrupt
        original(run)

    monkeypatch.setattr(module, "_epoch", stop)
    assert run_train(*everything, out="part")[0] == 130
    monkeypatch.undo()
    code, part = run_train(*everything, "--resume", "auto", out="part")
    assert code == 0
    assert torch.equal(weights(part), weights(whole))
    assert (part / "summary.csv").read_text() == (whole / "summary.csv").read_text()


@pytest.mark.parametrize(
    "change",
    [
        ["--seed", "1"], ["--lr", "0.01"], ["--momentum", "0.5"], ["--weight-decay", "0.1"], ["--clip-grad", "0.1"],
        ["--opt", "adamw"], ["--sched", "step"], ["--warmup-epochs", "1"], ["--min-lr", "0.04"], ["--smoothing", "0.3"],
        ["--mixup", "0.5"], ["--cutmix", "0.5"], ["--hflip", "0.5"], ["--crop-padding", "0"], ["--cutout", "6"],
        ["--reprob", "0.5"], ["--model-ema"], ["--mean", "0.1", "0.1", "0.1"], ["--std", "1", "1", "1"],
        ["--batch-size", "128"], ["--model-kwargs", "width=8"],
    ],
    ids=lambda change: change[0],
)  # fmt: skip
def test_every_option_changes_the_run(run_train: Train, change: list[str]) -> None:
    plain = weights(run_train(out="plain")[1])
    changed = weights(run_train(*change, out="changed")[1])
    assert plain.shape != changed.shape or not torch.equal(plain, changed)


def test_a_policy_changes_the_run(run_train: Train, tmp_path: Path) -> None:
    Policy.random(torch.Generator().manual_seed(0)).save(tmp_path / "p.json")
    _, plain = run_train(out="plain")
    code, augmented = run_train("--aa", f"daas:{tmp_path / 'p.json'}", out="augmented")
    assert code == 0
    assert not torch.equal(weights(plain), weights(augmented))


def test_drop_path_and_the_auxiliary_loss_reach_cell_networks(run_train: Train) -> None:
    cell = [
        "--model",
        "daas_cell_cifar",
        "--model-kwargs",
        "channels=2",
        "layers=3",
        "--img-size",
        "32",
        "--epochs",
        "2",
    ]
    aux = [*cell[:3], *cell[3:5], "aux_head=true", *cell[5:]]
    results = [
        weights(run_train(*arguments, out=f"{k}")[1])
        for k, arguments in enumerate((cell, [*cell, "--drop-path", "0.5"], aux, [*aux, "--aux-weight", "0.9"]))
    ]
    assert not torch.equal(results[0], results[1])
    assert not torch.equal(results[2], results[3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no_such_net"], "unknown to timm"),
        (["--aa", "rand-m9"], "write daas:NAME"),
        (["--aa", "daas:nothing"], "neither shipped nor a file"),
        (["--data-dir", "nowhere", "--dataset", ""], "no such folder"),
        (["--initial-checkpoint", "nowhere.safetensors"], "holds no weights"),
        (["--mean", "1"], "three numbers each"),
        (["--mixup", "0.2", "--batch-size", "255"], "even batch"),
        (["--model-kwargs", "no_such_argument=1", "--model", "resnet10t"], "could not be made"),
        (["--resume", "nowhere"], "no such checkpoint"),
    ],
)
def test_bad_input(run_train: Train, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run_train(*arguments)
    assert code == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_another_runs_folder_is_left_alone(run_train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run_train()
    before = (out / "summary.csv").read_bytes()
    assert run_train("--lr", "0.01")[0] == 2
    assert "holds another run" in capsys.readouterr().err
    assert run_train("--lr", "0.01", "--resume", "auto")[0] == 2
    assert "--lr was 0.05 and is 0.01" in capsys.readouterr().err
    assert (out / "summary.csv").read_bytes() == before


def test_a_loss_that_is_no_number_stops_the_run(run_train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train("--lr", "1e30")[0] == 1
    assert "the loss is" in capsys.readouterr().err
