"""A whole search: its outputs, its exit codes, and that a killed and resumed run equals an uninterrupted one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from daas import checkpoint
from daas.augment import Policy
from daas.models import Genotype
from daas.search.__main__ import main
from daas.search.options import parse
from daas.search.runs import one as module
from tests.conftest import SHORT_SEARCH

Run = Callable[..., tuple[int, Path]]
FILES = {
    "genotype.json", "policy.json", "summary.json", "metrics.jsonl", "report.html", "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
}  # fmt: skip


def artefacts(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "genotype.json").read_bytes(), (folder / "policy.json").read_bytes()


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics, without the times."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def state(folder: Path) -> dict[str, Tensor]:
    """Everything in the last checkpoint: weights, momenta, distributions, sums of the epoch."""
    return checkpoint.load(folder / "checkpoint.safetensors")[0]


def assert_same_run(one: Path, other: Path) -> None:
    assert artefacts(one) == artefacts(other)
    assert metrics(one) == metrics(other)
    first, second = state(one), state(other)
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_search_writes_everything(run_search: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run_search()
    assert code == 0
    assert {path.name for path in out.iterdir()} == FILES
    assert len(Genotype.load(out / "genotype.json").normal) == 2
    assert len(Policy.load(out / "policy.json").sub_policies) == 225
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["warm-up", "joint", "joint"]
    assert [line["step"] for line in lines] == [3, 6, 9]
    assert lines[0]["operation_share"]["Rotate"] == pytest.approx(2 * 0.5 / 15)
    assert lines[2]["operation_share"]["Rotate"] != pytest.approx(2 * 0.5 / 15, rel=1e-6)
    summary = json.loads((out / "summary.json").read_text())
    for key in ("seed", "options", "steps", "seconds", "skip_share", "entropy", "operation_share", "val_accuracy"):
        assert key in summary
    assert summary["steps"] == 9
    assert len(summary["operation_share"]) == 15
    assert summary["data"]["train_images"] + summary["data"]["val_images"] == 400
    assert "Done" in capsys.readouterr().out


def test_the_seed_decides_the_result(run_search: Run, whole_search: Path) -> None:
    assert artefacts(run_search(out="again")[1]) == artefacts(whole_search)
    assert artefacts(run_search("--seed", "4", out="other")[1]) != artefacts(whole_search)


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Presses Ctrl-C in the middle of a run, once."""

    def arrange(steps: int) -> None:
        original = module._advance

        def advance(run: module.Run) -> None:
            original(run)
            if run.step == steps:
                monkeypatch.setattr(module, "_advance", original)
                os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(module, "_advance", advance)

    return arrange


def test_stopped_and_resumed_equals_uninterrupted(
    run_search: Run, whole_search: Path, stop_after: Callable[[int], None]
) -> None:
    stop_after(5)
    code, part = run_search(out="part")
    assert code == 130
    assert not (part / "genotype.json").exists()
    code, part = run_search("--resume", "auto", out="part")
    assert code == 0
    assert_same_run(part, whole_search)


def test_killed_and_resumed_equals_uninterrupted(whole_search: Path, tmp_path: Path) -> None:
    """SIGKILL at two moments of a run that writes a checkpoint after every iteration."""
    killed = tmp_path / "killed"
    arguments = [*SHORT_SEARCH, "--out", str(killed), "--save-every", "0", "--resume", "auto"]
    for until in ("checkpoint.safetensors", "checkpoint.previous.safetensors"):
        process = subprocess.Popen(
            [sys.executable, "-m", "daas.search", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 600
        while not (killed / until).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert main(arguments) == 0
    assert_same_run(killed, whole_search)


def test_a_run_that_was_limited_goes_on_as_if_it_had_not_been(run_search: Run, whole_search: Path) -> None:
    """Both limits end it in the middle of an epoch, derive the pair, and say so; a resumed run forgets that."""
    code, part = run_search("--max-steps", "4", out="part")
    assert code == 0
    summary = json.loads((part / "summary.json").read_text())
    assert (summary["steps"], summary["planned_steps"], summary["stopped"]) == (4, 9, "limit of iterations")
    assert "stopped by its limit of iterations after 4 of 9" in summary["warnings"][0]
    assert [line.get("partial", False) for line in metrics(part)] == [False, True]
    again = (part / "genotype.json").read_bytes(), (part / "metrics.jsonl").read_bytes()
    assert run_search("--max-steps", "4", "--resume", "auto", out="part")[0] == 0  # nothing left to do
    assert (part / "genotype.json").read_bytes() == again[0]
    assert [line["step"] for line in metrics(part)] == [3, 4]
    code, part = run_search("--time-budget", "0.0001s", "--resume", "auto", out="part")
    assert code == 0
    summary = json.loads((part / "summary.json").read_text())
    assert (summary["steps"], summary["stopped"]) == (5, "time budget")
    assert "--resume auto goes on" in summary["warnings"][0]
    assert "stopped by its time budget" in (part / "report.html").read_text()
    assert run_search("--resume", "auto", out="part")[0] == 0
    assert_same_run(part, whole_search)
    assert json.loads((part / "summary.json").read_text())["stopped"] == ""


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    run_search: Run, whole_search: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = run_search("--max-steps", "6")
    last, before = out / "checkpoint.safetensors", out / "checkpoint.previous.safetensors"
    damaged = bytearray(last.read_bytes())
    damaged[-500] ^= 1  # one bit of one weight
    last.write_bytes(damaged)
    capsys.readouterr()
    assert run_search("--resume", "auto")[0] == 0
    said = capsys.readouterr().err
    assert "checksum is wrong" in said
    assert "Going on from the checkpoint before it, iteration 3" in said
    assert (out / "checkpoint.damaged.safetensors").read_bytes() == bytes(damaged)
    assert_same_run(out, whole_search)
    for path in (last, before):
        path.write_bytes(path.read_bytes()[:-1000])
    assert run_search("--resume", "auto")[0] == 2
    assert "The one before it cannot be read either" in capsys.readouterr().err


def test_a_full_disk_stops_the_run_and_leaves_the_checkpoint(run_search: Run, whole_search: Path) -> None:
    """A limit on the size of files stands for the full disk: the metrics fit, a checkpoint no longer does."""
    _, out = run_search("--max-steps", "4")
    limit = (out / "checkpoint.safetensors").stat().st_size // 2
    arguments = [*SHORT_SEARCH, "--out", str(out), "--resume", "auto"]
    code = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        f"from daas.search.__main__ import main; sys.exit(main({arguments!r}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert found.returncode == 2
    assert "could not be written" in found.stderr
    assert "there before is whole. Files may not become that large here" in found.stderr
    assert not list(out.glob("*.part"))
    assert run_search("--resume", "auto")[0] == 0
    assert_same_run(out, whole_search)


def test_another_runs_folder_is_left_alone(run_search: Run, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run_search()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run_search("--seed", "1")[0] == 2
    assert "holds another run" in capsys.readouterr().err
    assert run_search("--seed", "1", "--resume", "auto")[0] == 2
    assert "--seed was 0 and is 1" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data-dir", "no/such/folder"], "no such folder"),
        (["--epochs", "0"], "--epochs 0: it must be at least 1"),
        (["--hflip", "1.5"], "--hflip 1.5: it must be between 0 and 1"),
        (["--mode", "aug"], "name a timm model"),
        (["--model", "resnet18"], "goes with --mode aug"),
        (["--policy", "randaugment"], "goes with --mode arch"),
        (["--primitives", "sep_conv_3x3,conv_9x9"], "unknown 'conv_9x9'"),
        (["--primitives", "skip_connect,none"], "at least two"),
        (["--arch-estimator", "gdas", "--architectures", "3"], "takes one sample"),
        (["--aug-estimator", "uniform", "--reward", "fd"], "--reward fd goes with"),
        (["--mode", "arch", "--reward-batches", "2"], "--reward-batches 2 goes with"),
        (["--model-kwargs", "width=3"], "which is missing"),
        (["--amp", "--reward", "fd"], "rounds away"),
        (["--amp", "--reward", "influence"], "--reward influence takes steps"),
        (["--mode", "aug", "--model", "resnet18", "--arch-estimator", "gdas"], "the network is fixed"),
        (["--mode", "aug", "--model", "no_such_model"], "no_such_model"),
        (["--batch-size", "100000"], "fewer than one batch"),
        (["--resume", "nowhere.safetensors"], "no such checkpoint"),
        (["--time-budget", "soon"], "90m, 1h30m"),
        (["--time-budget", "0m"], "no time"),
        (["--save-every", "-1"], "--save-every -1.0: it must be at least 0"),
        (["--seeds", "0,0"], "names a seed twice"),
        (["--seeds", "zero"], "whole numbers"),
        (["--seeds", "1,2", "--seed", "3"], "contradict"),
        (["--seeds", "1,2", "--resume", "somewhere"], "one run's"),
    ],
)
def test_bad_options(run_search: Run, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run_search(*arguments)
    assert code == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_with_one_class_is_refused(
    run_search: Run, two_classes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (two_classes / "dark").iterdir():
        path.unlink()
    assert run_search("--data-dir", str(two_classes))[0] == 2
    assert "1 class (bright)" in capsys.readouterr().err


def test_an_unreadable_image_is_named_or_skipped_and_counted(
    run_search: Run, two_classes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = sorted((two_classes / "dark").iterdir())[0]
    bad.write_bytes(b"no image")
    common = ["--data-dir", str(two_classes), "--batch-size", "16", "--max-steps", "2"]
    code, out = run_search(*common)
    assert code == 2
    assert bad.name in capsys.readouterr().err
    code, out = run_search(*common, "--skip-bad-images")
    assert code == 0
    assert json.loads((out / "summary.json").read_text())["data"]["skipped"] == 1


def test_photographs_of_every_kind_are_searched_and_shown(run_search: Run, tmp_path: Path) -> None:
    """Mixed sizes and modes, EXIF orientation, classes of 24 and of 2 images, one without a validation image."""
    random = np.random.default_rng(0)
    counts = {"many": 24, "two of a rather long name": 2, "one": 1}
    for name, count in counts.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(count):
            width, height = ((64, 48), (48, 64), (200, 30))[index % 3]
            image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
            exif = Image.Exif()
            exif[0x0112] = 6
            path = tmp_path / "photos" / name / f"{index}.png"
            (image.convert(("RGB", "L", "RGBA", "P")[index % 4])).save(path, exif=exif if index % 2 else None)
    photos = ["--data-dir", str(tmp_path / "photos"), "--image-size", "16", "--batch-size", "8", "--max-steps", "2"]
    code, out = run_search(*photos)
    assert code == 0
    summary = json.loads((out / "summary.json").read_text())
    data = summary["data"]
    assert data["class_names"] == sorted(counts)
    assert sum(data["class_counts"]) + sum(data["val_class_counts"]) == 27
    assert data["originals"]["largest"] in ([200, 30], [30, 200])
    assert data["originals"]["turned"] == 13
    warnings = " ".join(summary["warnings"])
    assert "The classes are imbalanced" in warnings
    assert "1 of 3 classes have no" in warnings
    assert 0 <= summary["val_balanced_accuracy"] <= 100
    page = (out / "report.html").read_text()
    for text in ("two of a rather long name", "13 turned upright", "with transparency", "balanced accuracy"):
        assert text in page


def test_one_search_per_mode(run_search: Run, small_convnet: str) -> None:
    _, out = run_search("--mode", "arch", out="arch")
    assert (out / "genotype.json").exists()
    assert not (out / "policy.json").exists()
    _, out = run_search("--mode", "aug", "--model", small_convnet, out="aug")
    assert (out / "policy.json").exists()
    assert not (out / "genotype.json").exists()


def test_a_loss_that_is_no_number_stops_the_run(run_search: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_search("--lr", "1e30", "--clip-grad", "0")[0] == 1
    assert "not a number" in capsys.readouterr().err


def test_one_level_learns_on_all_images(run_search: Run) -> None:
    code, out = run_search("--mode", "one-level", "--max-steps", "1")
    data = json.loads((out / "summary.json").read_text())["data"]
    assert code == 0
    assert data["train_images"] == data["val_images"] == 400


def test_a_given_policy_augments_an_architecture_search(run_search: Run) -> None:
    results = []
    for name, arguments in (("plain", []), ("given", ["--policy", "randaugment"])):
        code, out = run_search("--mode", "arch", "--max-steps", "2", *arguments, out=name)
        assert code == 0
        results.append(json.loads((out / "summary.json").read_text())["train_loss"])
    assert results[0] != results[1]


def test_the_fixed_networks_arguments_reach_it(run_search: Run, small_convnet: str) -> None:
    results = []
    for name, width in (("narrow", "2"), ("wide", "4")):
        code, out = run_search(
            "--mode", "aug", "--model", small_convnet, "--model-kwargs", f"width={width}", "--max-steps", "1", out=name
        )
        assert code == 0
        results.append(json.loads((out / "summary.json").read_text())["train_loss"])
    assert results[0] != results[1]


@pytest.mark.parametrize("estimator", ["gdas", "darts"])
def test_other_estimators_of_the_architecture_from_the_command_line(run_search: Run, estimator: str) -> None:
    code, out = run_search(
        "--arch-estimator", estimator, "--architectures", "1", "--primitives", "darts", "--max-steps", "2"
    )
    assert code == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["primitives"][-1] == "none"
    assert "none" not in (out / "genotype.json").read_text()
    assert set(summary["entropy"]) == {"alpha", "pi", "p", "delta"}


def test_estimators_with_one_sample_take_one_under_any_preset() -> None:
    for estimator, samples in (("gdas", 1), ("darts", 1), ("gumbel", 4)):
        config = parse(["--preset", "demo", "--arch-estimator", estimator])
        assert config.architectures == samples


@pytest.mark.parametrize("estimator", ["straight-through", "uniform", "policy-gradient"])
def test_other_estimators_of_the_policy_from_the_command_line(run_search: Run, estimator: str) -> None:
    code, out = run_search("--aug-estimator", estimator, "--policy-parameters", "shared", "--max-steps", "4")
    assert code == 0
    share = json.loads((out / "summary.json").read_text())["operation_share"]["Rotate"]
    assert (share == pytest.approx(2 * 0.5 / 15, rel=1e-7)) == (estimator == "uniform")
