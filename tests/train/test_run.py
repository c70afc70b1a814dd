"""Whole trainings: outputs, exact resumption, every option changes the run, bad input."""

from __future__ import annotations

import csv
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from daas import Genotype, Policy, checkpoint
from daas.train import run as module
from daas.train.assemble import Run
from tests.train.conftest import Train, weights


def test_a_training_writes_everything_and_learns(run_train: Train) -> None:
    code, out = run_train(
        "--epochs", "6", "--lr", "0.2", "--batch-size", "64", "--model-kwargs", "width=16", "--train-split", "train"
    )
    assert code == 0
    assert {path.name for path in out.iterdir()} == {
        "args.yaml", "summary.csv", "model_best.safetensors", "last.safetensors", "result.json",
        "checkpoint.safetensors",
    }  # fmt: skip
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert float(rows[-1]["eval_top1"]) > 40
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def stop_before(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presses Ctrl-C when an epoch would begin."""
    original = module._epoch

    def stop(run: Run) -> None:
        if run.progress.epoch == epoch:
            raise KeyboardInterrupt
        original(run)

    monkeypatch.setattr(module, "_epoch", stop)


@pytest.mark.parametrize("flag", ["--initial-checkpoint", "--pretrained-path"])
def test_a_run_that_goes_on_needs_no_weights_to_begin_with(
    run_train: Train, flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be out of reach by then."""
    begin = tmp_path / "begin.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=10).state_dict(), begin)
    run = partial(run_train, "--model", "test_resnet", "--img-size", "32", flag, str(begin))
    whole = run(out="whole", leave_out=("--model-kwargs",))[1]
    stop_before(1, monkeypatch)
    assert run(out="part", leave_out=("--model-kwargs",))[0] == 130
    monkeypatch.undo()
    begin.unlink()
    assert run(out="new", leave_out=("--model-kwargs",))[0] == 2
    code, part = run("--resume", "auto", out="part", leave_out=("--model-kwargs",))
    assert code == 0
    assert torch.equal(weights(part), weights(whole))


@pytest.mark.filterwarnings("ignore:PlateauLRScheduler is deprecated")
@pytest.mark.parametrize(
    "options",
    [
        "--reprob 0.5 --mixup 0.2 --model-ema --model-ema-decay 0.9 --amp --lr-noise 0 1",
        "--opt lookahead_adamw --sched plateau --patience-epochs 0 --lr 0.5",
        "--opt lamb --sched-on-updates --warmup-epochs 1 --grad-accum-steps 2",
        "--sched onecycle --mixup 0.2",
        "--opt muon",
        "--sched plateau --patience-epochs 0 --decay-rate 0.9 --lr-noise 0 1",
    ],
)
def test_interrupted_and_resumed_equals_uninterrupted(
    run_train: Train, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    everything = [*options.split(), "--epochs", "4"]
    _, whole = run_train(*everything, out="whole")
    stop_before(2, monkeypatch)
    assert run_train(*everything, out="part")[0] == 130
    monkeypatch.undo()
    code, part = run_train(*everything, "--resume", "auto", out="part")
    assert code == 0
    assert torch.equal(weights(part), weights(whole))
    assert (part / "summary.csv").read_text() == (whole / "summary.csv").read_text()


CHANGES = [
    "--seed 1", "--lr 0.01", "--momentum 0.5", "--weight-decay 0.1", "--clip-grad 0.1",
    "--clip-grad 0.1 --clip-mode value", "--clip-grad 0.01 --clip-mode agc", "--opt adamw",
    "--opt adamw --opt-eps 0.1", "--opt adamw --opt-betas 0.5 0.6", "--opt-kwargs nesterov=false",
    "--sched step --decay-epochs 1", "--sched step --decay-epochs 1 --decay-rate 0.5",
    "--sched multistep --decay-milestones 1", "--sched none", "--sched-on-updates", "--warmup-epochs 1",
    "--warmup-epochs 1 --warmup-lr 0.04", "--warmup-epochs 1 --warmup-prefix", "--min-lr 0.04", "--cooldown-epochs 1",
    "--epochs 1", "--start-epoch 1", "--lr-noise 0 1", "--lr-noise 0 1 --lr-noise-pct 0.1",
    "--lr-noise 0 1 --lr-noise-std 0.1", "--lr-k-decay 2", "--lr-cycle-limit 2",
    "--lr-cycle-limit 2 --lr-cycle-mul 0.5", "--lr-cycle-limit 2 --lr-cycle-decay 0.1", "--sched plateau",
    "--sched onecycle",
    "--sched onecycle --min-lr 0.04", "--hflip 0.5 --hflip-swap 0:1",
    "--smoothing 0.3", "--bce-loss", "--bce-loss --bce-sum", "--bce-loss --bce-pos-weight 3",
    "--bce-loss --mixup 0.5 --bce-target-thresh 0.2", "--mixup 0.5", "--cutmix 0.5", "--cutmix-minmax 0.2 0.5",
    "--mixup 0.5 --mixup-prob 0.5", "--mixup 0.5 --cutmix 0.5 --mixup-switch-prob 0", "--mixup 0.5 --mixup-mode elem",
    "--mixup 0.5 --mixup-off-epoch 1", "--hflip 0.5", "--crop-padding 0", "--no-aug", "--cutout 6", "--reprob 0.5",
    "--reprob 0.5 --remode const", "--reprob 0.5 --recount 3", "--model-ema", "--model-ema --model-ema-decay 0.5",
    "--model-ema --model-ema-warmup", "--mean 0.1 0.1 0.1", "--std 1 1 1", "--batch-size 64", "--grad-accum-steps 2",
    "--amp --amp-dtype bfloat16", "--amp", "--model-kwargs width=8", "--num-classes 12", "--img-size 12",
    "--input-size 3 12 12", "--aa daas:randaugment", "--lr-base 0.2", "--lr-base-size 64", "--train-split train",
    "--lr-base 0.1 --lr-base-scale sqrt",
]  # fmt: skip
"""Each differs from the run that has all these options but the last one."""


def without_the_last(change: str) -> list[str]:
    """The options that an option needs."""
    base = change.split()[: max(i for i, word in enumerate(change.split()) if word.startswith("--"))]
    return [*base, "--lr-base", "0.1"] if "--lr-base" in change else base


@pytest.mark.filterwarnings("ignore:PlateauLRScheduler is deprecated")
@pytest.mark.parametrize("change", CHANGES)
def test_every_option_changes_the_run(
    run_train: Train, change: str, known: dict[tuple[str, ...], torch.Tensor]
) -> None:
    base = tuple(without_the_last(change))
    drop = ("--lr",) if "--lr-base" in change else ()
    if base not in known:
        known[base] = weights(run_train(*base, out="plain", leave_out=drop)[1])
    code, out = run_train(*change.split(), out="changed", leave_out=drop)
    assert code == 0
    changed = weights(out)
    assert known[base].shape != changed.shape or not torch.equal(known[base], changed)


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, ...], torch.Tensor]:
    """Weights of runs that several tests compare with."""
    return {}


CELL = ["--model", "daas_cell_cifar", "--model-kwargs", "channels=2", "layers=3", "--img-size", "16", "-b", "250"]


@pytest.mark.parametrize(
    "change",
    ["--drop-path 0.5", "--drop-path 0.5 --drop-path-ramp", "--drop 0.5", "--gp max", "--head-init-scale 3",
     "--head-init-bias 1", "--layer-decay 0.5", "--layer-decay 0.5 --layer-decay-min-scale 0.9",
     "--layer-decay 0.5 --layer-decay-no-opt-scale 0.9"],
)  # fmt: skip
def test_every_option_of_networks_changes_the_run(
    run_train: Train, change: str, known: dict[tuple[str, ...], torch.Tensor]
) -> None:
    leave_out = ("--model-kwargs",)
    base = (*CELL, *without_the_last(change))
    if base not in known:
        known[base] = weights(run_train(*base, out="plain", leave_out=leave_out)[1])
    code, out = run_train(*CELL, *change.split(), out="changed", leave_out=leave_out)
    assert code == 0
    assert not torch.equal(known[base], weights(out))


def test_the_auxiliary_loss_counts_with_its_weight(run_train: Train) -> None:
    aux = [*CELL, "--model-kwargs", "aux_head=true", "--img-size", "32", "--epochs", "1"]
    results = [
        weights(run_train(*aux, "--aux-weight", weight, out=weight, leave_out=("--model-kwargs",))[1])
        for weight in ("0.4", "0.9")
    ]
    assert not torch.equal(results[0], results[1])


def test_less_memory_or_another_layout_change_nothing_but_rounding(run_train: Train) -> None:
    found = {}
    for flag in ("", "--grad-checkpointing", "--channels-last"):
        words = [*CELL, "--epochs", "1", *flag.split()]
        code, out = run_train(*words, out=f"run{flag}", leave_out=("--model-kwargs",))
        assert code == 0
        state = load_file(out / "last.safetensors")
        found[flag] = torch.cat([tensor.flatten() for name, tensor in state.items() if "weight" in name])
    assert torch.allclose(found[""], found["--grad-checkpointing"], atol=1e-5)
    assert torch.allclose(found[""], found["--channels-last"], atol=1e-3)


def test_validation_in_other_batches_is_the_same(run_train: Train) -> None:
    found = [run_train(*flags, out=f"{k}")[1] for k, flags in enumerate(([], ["--validation-batch-size", "7"]))]
    rows = [list(csv.DictReader((out / "summary.csv").open()))[-1] for out in found]
    assert float(rows[0]["eval_loss"]) == pytest.approx(float(rows[1]["eval_loss"]), rel=1e-5)
    assert rows[0]["eval_top1"] == rows[1]["eval_top1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no_such_net"], "unknown to timm"),
        (["--aa", "rand-m9"], "name a policy: daas:"),
        (["--aa", "daas:nothing"], "neither shipped nor a file"),
        (["--data-dir", "nowhere", "--dataset", ""], "no such folder"),
        (["--dataset", ""], "No images"),
        (["--initial-checkpoint", "nowhere.safetensors"], "no such safetensors file"),
        (["--initial-checkpoint", "weights.pth"], "nothing is unpickled"),
        (["--mean", "0.1", "0.2"], "--mean 0.1 0.2: expected one number, or three"),
        (["--std", "0"], "--std 0.0: it must be at least 0.0001"),
        (["--input-size", "1", "16", "16"], "read as RGB"),
        (["--input-size", "3", "16", "24"], "are square"),
        (["--num-classes", "9"], "digits has 10 classes"),
        (["--batch-size", "4096"], "fewer than one batch"),
        (["--batch-size", "0"], "at least 1"),
        (["--hflip", "2"], "between 0 and 1"),
        (["--model-ema-decay", "2"], "at least 0 and below 1"),
        (["--mixup", "-1"], "--mixup -1.0: it must be at least 0"),
        (["--clip-grad", "-1"], "--clip-grad -1.0: it must be above 0"),
        (["--cooldown-epochs", "-1"], "--cooldown-epochs -1: it must be at least 0"),
        (["--weight-decay", "nan"], "nan is no finite number"),
        (["--cutmix", "inf"], "inf is no finite number"),
        (["--train-crop-mode", "rrc"], "held in memory"),
        (["--vflip", "0.5", "--color-jitter", "0"], "--vflip, --color-jitter: these belong to timm's loader"),
        (["--opt", "sgdd"], "--opt sgdd cannot be used"),
        (["--opt-kwargs", "colour=1"], "cannot be used"),
        (["--sched", "cosinus"], "--sched cosinus cannot be used"),
        (["--device", "tpu"], "--device tpu cannot be used"),
        (["--device-modules", "no_such_module"], "cannot be imported"),
        (["--sync-bn"], "between several processes on GPUs"),
        (["--drop-path-ramp"], "needs --drop-path above 0"),
        (["--grad-checkpointing"], "does not offer it"),
        (["--recovery-interval", "3", "--grad-accum-steps", "2"], "multiple of --grad-accum-steps"),
        (["--log-wandb"], "pip install wandb"),
        (["--start-epoch", "2"], "nothing to train"),
        (["--mixup", "0.2", "--batch-size", "255"], "even batch"),
        (["--model-kwargs", "no_such_argument=1", "--model", "resnet10t"], "could not be made"),
        (
            [*CELL, "--drop-block", "0.1"],
            "--drop-block 0.1: daas_cell_cifar has no drop_block_rate. Leave",
        ),
        (
            [*CELL, "--model-kwargs", "drop_rate=0.1", "--drop", "0.2"],
            "--drop and --model-kwargs drop_rate are two names",
        ),
        (["--model-kwargs", "pretrained=true"], "error: pretrained is no argument of a network: --pretrained says"),
        (["--model", "resnet10t", "--model-kwargs", "classes=3", "model=2"], "could not be made"),
        (["--model", "resnet10t", "--bn-eps", "0.1"], "--bn-eps 0.1: resnet10t has no bn_eps. Leave --bn-eps out."),
        (["--resume", "nowhere"], "no such checkpoint"),
        (["--seed", "4294967295"], "--seed 4294967295: it must be at least 0 and at most"),
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
    for nothing in ("nowhere", "AUTO", str(out.parent)):
        assert run_train("--resume", nothing)[0] == 2
        assert f"--resume {nothing}: there is no such checkpoint" in capsys.readouterr().err
    assert (out / "summary.csv").read_bytes() == before


def test_a_named_checkpoint_does_not_lead_over_another_run(
    run_train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, first = run_train(out="first")
    _, other = run_train("--lr", "0.01", out="other")
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    for named in (first, first / "checkpoint.safetensors"):
        assert run_train("--resume", str(named), out="other")[0] == 2
        assert "holds another run" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before
    assert run_train("--resume", str(first), out="new")[0] == 0
    assert run_train("--resume", str(first), out="first")[0] == 0
    assert torch.equal(weights(tmp_path / "new"), weights(first))


def test_the_last_weights_are_those_whose_accuracy_is_written(
    run_train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_before(3, monkeypatch)
    _, out = run_train("--epochs", "4", "--val-interval", "2")
    last = json.loads((out / "result.json").read_text())["last"]
    assert last["epoch"] == 1
    capsys.readouterr()
    run_train("--validate", str(out / last["weights"]), out="other")
    assert f"top-1 {last['top1']:.2f}%" in capsys.readouterr().out


def test_images_too_small_for_the_auxiliary_head_are_named(
    run_train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    net = ["--model", "daas_cell_cifar", "--model-kwargs", "channels=2", "layers=3", "aux_head=True"]
    assert run_train(*net, "--img-size", "16", leave_out=("--model-kwargs",))[0] == 2
    assert "at least 17 pixels" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_named(
    run_train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert run_train(out="file")[0] == 2
    assert "--output" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_loss_that_is_no_number_stops_the_run(run_train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train("--lr", "1e30")[0] == 1
    assert "the loss is" in capsys.readouterr().err


def test_the_batch_that_diverged_is_saved(run_train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run_train("--lr", "1e30", "--aux-weight", "0")
    assert code == 1
    message = capsys.readouterr().err
    tensors, meta = checkpoint.load(out / "diverged.safetensors")
    assert tensors["images"].shape == (128, 3, 8, 8)
    assert tensors["targets"].shape == (128,)
    assert f"in epoch {meta['epoch']}, batch {meta['batch']} " in message
    assert str(out / "diverged.safetensors") in message


def test_a_validation_loss_that_is_no_number_stops_the_run_and_leaves_the_last_good_state(
    run_train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = module.validate

    def validate(run: Run, model: torch.nn.Module) -> dict[str, float]:
        return original(run, model) | ({"loss": float("nan")} if run.progress.epoch == 1 else {})

    monkeypatch.setattr(module, "validate", validate)
    code, out = run_train("--epochs", "3")
    assert code == 1
    assert "the validation loss is nan after epoch 1 (from 0)" in capsys.readouterr().err
    assert checkpoint.load(out / "checkpoint.safetensors")[1]["epoch"] == 1
    assert json.loads((out / "result.json").read_text())["last"]["epoch"] == 0
    assert len((out / "summary.csv").read_text().splitlines()) == 2
    monkeypatch.undo()
    assert run_train("--epochs", "3", "--resume", "auto")[0] == 0
    assert torch.equal(weights(out), weights(run_train("--epochs", "3", out="whole")[1]))


def test_weights_that_are_no_numbers_are_not_saved(
    run_train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = module.train_epoch

    def train_epoch(run: Run, after_batch: object) -> float:
        loss = original(run, after_batch)  # type: ignore[arg-type]  # passed on
        if run.progress.epoch == 1:
            next(run.learner.model.parameters()).data[0] = float("inf")
        return loss

    monkeypatch.setattr(module, "train_epoch", train_epoch)
    code, out = run_train("--epochs", "3", "--val-interval", "3")
    assert code == 1
    assert "holds values that are no numbers" in capsys.readouterr().err
    tensors, meta = checkpoint.load(out / "checkpoint.safetensors")
    assert meta["epoch"] == 1
    assert all(bool(torch.isfinite(tensor).all()) for name, tensor in tensors.items() if name.startswith("model."))


def test_a_run_does_not_go_on_with_another_genotype_policy_or_images(
    run_train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def files(seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        Genotype.random(random, name="mine").save(tmp_path / "genotype.json")
        Policy.random(random).save(tmp_path / "policy.json")

    kwargs = [*CELL[2:5], f"genotype={tmp_path / 'genotype.json'}"]
    words = [*CELL[:2], *kwargs, *CELL[5:], "--aa", f"daas:{tmp_path / 'policy.json'}"]
    files(0)
    assert run_train(*words, leave_out=("--model-kwargs",))[0] == 0
    files(1)
    capsys.readouterr()
    assert run_train(*words, "--resume", "auto", leave_out=("--model-kwargs",))[0] == 2
    assert "its genotype and its policy changed" in capsys.readouterr().err
    files(0)
    assert run_train(*words, "--resume", "auto", leave_out=("--model-kwargs",))[0] == 0


@pytest.mark.parametrize("mode", ["pad", "rrc"])
def test_a_run_goes_on_with_the_same_images_in_another_place(run_train: Train, two_classes: Path, mode: str) -> None:
    train, val, again = two_classes, two_classes.with_name("val"), two_classes.with_name("again")
    shutil.copytree(train, val)
    words = ["--train-crop-mode", mode, "-b", "20", "--epochs", "1", "-j", "0"]
    leave_out = ("--dataset", "--val-split", "--train-split", "--batch-size", "--hflip")
    code, out = run_train("--data-dir", str(train), "--val-dir", str(val), *words, leave_out=leave_out)
    before = weights(out)
    again.mkdir()
    train, val = train.rename(again / "train"), val.rename(again / "val")
    words += ["--resume", "auto"]
    assert code == 0
    assert run_train("--data-dir", str(train), "--val-dir", str(val), *words, leave_out=leave_out)[0] == 0
    assert torch.equal(weights(out), before)


@pytest.mark.parametrize("mode", ["pad", "rrc"])
def test_a_run_does_not_go_on_with_other_images(
    run_train: Train, two_classes: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data-dir", str(two_classes), "--val-dir", str(two_classes.with_name("val")), "--train-crop-mode", mode]
    leave_out = ("--dataset", "--val-split", "--train-split", "--batch-size", "--hflip")
    shutil.copytree(two_classes, two_classes.with_name("val"))
    words += ["-b", "20", "--epochs", "1", "-j", "0"]
    assert run_train(*words, leave_out=leave_out)[0] == 0
    one = next((two_classes / "dark").iterdir())
    one.rename(one.with_name("renamed.png"))
    (two_classes / "bright" / "new.png").write_bytes(one.with_name("renamed.png").read_bytes())
    capsys.readouterr()
    assert run_train(*words, "--resume", "auto", leave_out=leave_out)[0] == 2
    assert "since then its training images changed" in capsys.readouterr().err


def test_what_else_the_run_may_ask_for(run_train: Train) -> None:
    _, out = run_train("--val-interval", "2", "--epochs", "3", "--eval-metric", "loss", "--smoothing", "0", "--lr", "1")
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert [bool(row["eval_loss"]) for row in rows] == [False, True, True]
    losses = [float(row["eval_loss"]) for row in rows[1:]]
    assert json.loads((out / "result.json").read_text())["best"]["epoch"] == 1 + losses.index(min(losses))
    _, elsewhere = run_train("--resume", str(out), "--val-interval", "2", "--epochs", "3", "--eval-metric", "loss",
                             "--smoothing", "0", "--lr", "1", out="elsewhere")  # fmt: skip
    assert (elsewhere / "model_best.safetensors").read_bytes() == (out / "model_best.safetensors").read_bytes()
    code, cpu = run_train("--model-ema", "--model-ema-force-cpu", out="cpu")
    assert code == 0
    assert torch.equal(weights(cpu), weights(run_train(out="plain")[1]))


def test_a_run_does_not_go_on_with_figures_that_no_run_writes(
    run_train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    """A right checksum says nothing about what the values are."""
    _, out = run_train("--epochs", "1")
    tensors, meta = checkpoint.load(out / "checkpoint.safetensors")
    false: list[dict[str, object]] = [
        {"epoch": 99}, {"epoch": "1"}, {"batch": -1}, {"best": 7}, {"best": None}, {"rows": [{}]}, {"rows": {"a": 1}},
        {"rows": [{**meta["rows"][0], "eval": None}]}, {"rows": [{**meta["rows"][0], "lr": "0.1"}]},
        {"clock": {"x": 1.0}}, {"clock": {**meta["clock"], "data": []}}, {"seconds": "1"}, {"images": 1.5},
    ]  # fmt: skip
    for change in false:
        checkpoint.save(out / "checkpoint.safetensors", tensors, {**meta, **change})
        assert run_train("--epochs", "1", "--resume", "auto")[0] == 2, change
        assert "does not fit this run" in capsys.readouterr().err, change
    checkpoint.save(out / "checkpoint.safetensors", tensors, meta)
    assert run_train("--epochs", "1", "--resume", "auto")[0] == 0


@pytest.mark.parametrize(("options", "slow"), [("--amp", True), ("--amp --amp-dtype bfloat16", False), ("", False)])
def test_float16_on_a_cpu_is_called_slow(
    run_train: Train, capsys: pytest.CaptureFixture[str], options: str, slow: bool
) -> None:
    assert run_train("--epochs", "1", "--device", "cpu", *options.split())[0] == 0
    assert ("10 to 40 times as long" in capsys.readouterr().err) == slow


def test_a_plateau_waits_where_nothing_is_validated(run_train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    schedule = ["--sched", "plateau", "--patience-epochs", "0", "--epochs", "4", "--val-interval", "2"]
    code, folder = run_train(*schedule, "--lr", "0.0001", "--eval-metric", "loss")
    assert code == 0
    rates = [row.split(",")[-1] for row in (folder / "summary.csv").read_text().splitlines()[1:]]
    assert len(set(rates)) == 1  # the loss falls from one validation to the next
    assert "deprecated" not in capsys.readouterr().err
