"""timm's loader: the losses of timm's parts, exact resume in the middle of an epoch, options that change the run."""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3, accuracy, random_seed

from daas import Policy
from daas.augment import PolicySchedule, Segment
from daas.data import load_images
from daas.errors import BadInput
from daas.train.__main__ import main
from daas.train.batches import Place, few_images
from daas.train.loader import LoaderBatches
from daas.train.options import TrainOptions
from tests.train.conftest import Train, weights

EPOCHS, BATCH = 3, 8
DOCUMENTED = (
    "--sched step --decay-epochs 2.4 --decay-rate .97 --opt rmsproptf --opt-eps .001 --warmup-epochs 5 "
    "--warmup-lr 1e-6 --weight-decay 1e-5 --drop 0.3 --drop-path 0.2 --model-ema --model-ema-decay 0.9999 "
    "--aa rand-m9-mstd0.5 --remode pixel --reprob 0.2 --lr .016"
)
"""The options that timm's documentation gives for EfficientNet-B2, but for --amp, sizes and numbers of epochs."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and validation/ with three classes of small pictures; in their names timm's order and ours agree."""
    root = tmp_path_factory.mktemp("photos")
    random = torch.Generator().manual_seed(0)
    for split, count in (("train", 27), ("validation", 13)):
        for index in range(count):
            height, width = torch.randint(20, 40, (2,), generator=random).tolist()
            pixels = torch.randint(0, 120, (height, width, 3), generator=random) + 60 * torch.eye(3)[index % 3] * 2
            folder = root / split / ("red", "green", "blue")[index % 3]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.to(torch.uint8).numpy()).save(folder / f"{index:02d}.png")
    return root


@pytest.fixture
def run_train(photos: Path, tmp_path: Path) -> Train:
    def run(*arguments: str, out: str = "run") -> tuple[int, Path]:
        code = main(
            ["--data-dir", str(photos), "--model", "test_resnet.r160_in1k", "--img-size", "32", "--epochs", str(EPOCHS),
             "--warmup-epochs", "1", "-b", str(BATCH), "--lr", "0.05", "-j", "0", "--output", str(tmp_path),
             "--experiment", out, *arguments]
        )  # fmt: skip
        return code, tmp_path / out

    return run


def timms_own(
    photos: Path,
    workers: int = 0,
    mixup: float = 0.0,
    decay: float = 0.0,
    drop: float = 0.0,
    drop_path: float | None = None,
    opt: dict[str, object] | None = None,
    sched: dict[str, object] | None = None,
    **augmentation: object,
) -> tuple[list[float], list[float], torch.nn.Module]:
    """A training put together from timm's parts as its script does: training losses, accuracies, the network."""
    random_seed(42, 0)
    model = timm.create_model("test_resnet.r160_in1k", num_classes=3, drop_rate=drop, drop_path_rate=drop_path)
    config = resolve_data_config({"img_size": 32}, model=model)
    optimizer = create_optimizer_v2(
        model, **{"opt": "sgd", "lr": 0.05, "weight_decay": 2e-5, "momentum": 0.9, **(opt or {})}
    )
    ema = ModelEmaV3(model, decay=decay) if decay else None
    train = create_dataset("", root=str(photos), split="train", is_training=True, batch_size=BATCH)
    val = create_dataset("", root=str(photos), split="validation", batch_size=BATCH)
    collate = timm.data.FastCollateMixup(mixup_alpha=mixup, label_smoothing=0.1, num_classes=3) if mixup else None
    common = {"batch_size": BATCH, "num_workers": workers, "device": torch.device("cpu"), "persistent_workers": False}
    given = {key: config[key] for key in ("input_size", "mean", "std")}
    loader = create_loader(
        train, is_training=True, interpolation="random", re_mode="pixel", collate_fn=collate, **given, **common,
        **augmentation,
    )  # fmt: skip
    check = create_loader(
        val, interpolation=config["interpolation"], crop_pct=config["crop_pct"], **given, **common
    )  # fmt: skip
    loss_fn = SoftTargetCrossEntropy() if mixup else LabelSmoothingCrossEntropy(0.1)
    schedule, epochs = create_scheduler_v2(
        optimizer, num_epochs=EPOCHS, **{"warmup_epochs": 1, "warmup_lr": 1e-5, **(sched or {})}
    )
    losses, accuracies, updates = [], [], 0
    for epoch in range(epochs):
        model.train()
        epoch_losses = []
        for images, targets in loader:
            loss = loss_fn(model(images), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            epoch_losses.append(loss.item())
            updates += 1
            if ema is not None:
                ema.update(model, step=updates)
        shown = model if ema is None else ema.module
        shown.eval()
        with torch.no_grad():
            found = [(accuracy(shown(images), labels)[0].item(), len(labels)) for images, labels in check]
        losses.append(sum(epoch_losses) / len(epoch_losses))
        accuracies.append(sum(value * n for value, n in found) / sum(n for _, n in found))
        schedule.step(epoch + 1)
    return losses, accuracies, shown


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ([], {}),
        (["-j", "2"], {"workers": 2}),
        (["--aa", "rand-m9-mstd0.5-inc1", "--reprob", "0.5", "--drop", "0.3"],
         {"auto_augment": "rand-m9-mstd0.5-inc1", "re_prob": 0.5, "drop": 0.3}),
        (["--mixup", "0.4", "--model-ema", "--model-ema-decay", "0.8"], {"mixup": 0.4, "decay": 0.8}),
        (DOCUMENTED.split(),
         {"auto_augment": "rand-m9-mstd0.5", "re_prob": 0.2, "drop": 0.3, "drop_path": 0.2, "decay": 0.9999,
          "opt": {"opt": "rmsproptf", "eps": 0.001, "lr": 0.016, "weight_decay": 1e-5},
          "sched": {"sched": "step", "decay_epochs": 2.4, "decay_rate": 0.97, "warmup_lr": 1e-6, "warmup_epochs": 5}}),
    ],
    ids=["plain", "workers", "randaugment-erasing-dropout", "mixup-ema", "documented"],
)  # fmt: skip
def test_the_losses_are_those_of_timms_parts(
    run_train: Train, photos: Path, flags: list[str], parts: dict[str, object]
) -> None:
    losses, accuracies, model = timms_own(photos, **parts)  # type: ignore[arg-type]  # mixed values
    code, out = run_train(*flags)
    assert code == 0
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert [float(row["train_loss"]) for row in rows] == pytest.approx(losses, rel=1e-6)
    assert [float(row["eval_top1"]) for row in rows] == pytest.approx(accuracies, rel=1e-6)
    own = torch.cat([value.flatten().double() for _, value in sorted(model.state_dict().items())])
    assert torch.equal(weights(out), own)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("prefetcher", [[], ["--no-prefetcher"]], ids=["prefetcher", "no-prefetcher"])
def test_a_run_stopped_within_an_epoch_goes_on_as_if_it_had_not(
    run_train: Train, workers: str, prefetcher: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [
        "-j", workers, "--reprob", "0.5", "--mixup", "0.3", "--drop", "0.3", "--recovery-interval", "1",
        "--model-ema", "--model-ema-decay", "0.9", *prefetcher,
    ]  # fmt: skip
    _, whole = run_train(*flags, out="whole")
    from daas.train import run as module

    original, left = module._after_batch, [5]

    def stop(*arguments: object) -> None:
        original(*arguments)  # type: ignore[arg-type]  # passed on
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_after_batch", stop)
    assert run_train(*flags, out="part")[0] == 130
    monkeypatch.undo()
    code, part = run_train(*flags, "--resume", "auto", out="part")
    assert code == 0
    assert torch.equal(weights(part), weights(whole))
    assert (part / "summary.csv").read_text() == (whole / "summary.csv").read_text()


CHANGES = [
    "--scale 0.5 1", "--ratio 1 1", "--hflip 0", "--vflip 0.5", "--color-jitter 0", "--color-jitter-prob 0.3",
    "--grayscale-prob 0.5", "--gaussian-blur-prob 0.9", "--aa original", "--aa augmix-m5", "--no-aug",
    "--train-crop-mode rkrc", "--train-crop-mode rkrr", "--train-crop-mode pad", "--train-interpolation bilinear",
    "--cutout 9", "--reprob 0.9", "--no-prefetcher --reprob 0.9", "--mixup 0.5", "--seed 1", "-j 1",
    "--aa daas:randaugment", "-j 1 --aa daas:randaugment", "-j 1 --aa daas:randaugment --aa-in-workers",
    "--aa daas:randaugment --mixup 0.5",
    "--pretrained-path PRETRAINED", "--initial-checkpoint PRETRAINED", "--class-map MAP", "--drop-block 0.5",
    "-j 1 --mixup 0.5", "-j 1 --mixup 0.5 --worker-seeding part",
]  # fmt: skip


@pytest.fixture(scope="module")
def known() -> dict[str, torch.Tensor]:
    return {}


@pytest.mark.parametrize("change", CHANGES)
def test_every_option_changes_the_run(
    run_train: Train, change: str, known: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    if "plain" not in known:
        known["plain"] = weights(run_train("--epochs", "1", "--warmup-epochs", "0", out="plain")[1])
    if "PRETRAINED" in change:
        model = timm.create_model("test_resnet", num_classes=3)
        save_file(model.state_dict(), tmp_path / "weights.safetensors")
    if "MAP" in change:
        (tmp_path / "map.txt").write_text("red\ngreen\nblue\n")
    words = change.replace("PRETRAINED", str(tmp_path / "weights.safetensors")).replace(
        "MAP", str(tmp_path / "map.txt")
    )
    code, out = run_train("--epochs", "1", "--warmup-epochs", "0", *words.split(), out="changed")
    assert code == 0
    changed = weights(out)
    assert not torch.equal(known["plain"], changed)
    for name, value in known.items():
        assert not torch.equal(value, changed), f"{change} is the same as {name}"
    known[change] = changed


def test_validation_options_change_the_validation(run_train: Train, photos: Path, tmp_path: Path) -> None:
    _, out = run_train("--epochs", "1")
    plain = main_validate(photos, out)
    assert plain == pytest.approx(float(next(csv.DictReader((out / "summary.csv").open()))["eval_loss"]))
    for change in ("--crop-pct 0.5", "--interpolation nearest", "--img-size 24"):
        assert main_validate(photos, out, *change.split()) != plain
    shutil.copytree(photos / "train", tmp_path / "other")
    assert main_validate(photos, out, "--val-dir", str(tmp_path / "other")) != plain
    assert main_validate(photos, out, "--val-split", "train") != plain


def main_validate(photos: Path, out: Path, *flags: str) -> float:
    from daas.train import parse, train

    given = ["--data-dir", str(photos), "--model", "test_resnet", "--img-size", "32", "-b", "8", "-j", "0"]
    return float(train(parse([*given, "--validate", str(out / "last.safetensors"), *flags]))["loss"])


def test_a_schedule_of_policies_steps_with_the_epochs(run_train: Train, tmp_path: Path) -> None:
    first, second = (Policy.random(torch.Generator().manual_seed(seed), name=f"p{seed}") for seed in (0, 1))
    for name, segments in (("both", (Segment(0, first), Segment(2, second))), ("first", (Segment(0, first),))):
        PolicySchedule(name, "a test", 3, segments).save(tmp_path / f"{name}.json")
    first.save(tmp_path / "policy.json")
    both, alone, policy = (
        run_train("--aa", f"daas:{tmp_path / f'{name}.json'}", out=name)[1] for name in ("both", "first", "policy")
    )
    losses = [[row["train_loss"] for row in csv.DictReader((out / "summary.csv").open())] for out in (both, alone)]
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][2] != losses[1][2]
    assert torch.equal(weights(alone), weights(policy))


def test_a_picture_of_the_batch_and_curves_are_written(run_train: Train) -> None:
    code, out = run_train("--save-images", "--log-interval", "2", "--tensorboard", "--epochs", "1")
    assert code == 0
    assert Image.open(out / "train-batch-2.jpg").size == (8 * 32, 32)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = EventAccumulator(str(out / "tensorboard"))
    curves.Reload()
    assert {"batch/loss", "batch/lr", "epoch/train_loss", "epoch/eval_top1", "epoch/lr"} <= set(
        curves.Tags()["scalars"]
    )
    row = next(csv.DictReader((out / "summary.csv").open()))
    assert math.isclose(curves.Scalars("epoch/eval_top1")[0].value, float(row["eval_top1"]), rel_tol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--aa", "daas:nothing"], "neither shipped nor a file"),
        (["--aa-in-workers"], "is for --aa daas:NAME"),
        (["--aa-in-workers", "--aa", "rand-m9"], "is for --aa daas:NAME"),
        (["--aa", "daas:randaugment", "--no-prefetcher"], "Leave one out"),
        (["--aa", "no-such-policy"], "timm does not know it"),
        (["--crop-padding", "4"], "--crop-padding: these belong to --train-crop-mode pad"),
        (["--interpolation", "cubic"], "--interpolation cubic: it is one of nearest"),
        (["--scale", "0.5"], "--scale 0.5: expected two numbers"),
        (["--ratio", "-1", "1"], "--ratio -1.0 1.0: expected two numbers"),
        (["--crop-pct", "-1"], "--crop-pct -1.0: expected a number from 0.1 to 2"),
        (["--cutmix-minmax", "2", "3"], "--cutmix-minmax 2.0 3.0: expected two numbers"),
        (["--torchcompile", "no_such_backend"], "--torchcompile no_such_backend cannot be used"),
        (["--data-dir", "nowhere"], "no such folder"),
        (["--val-dir", "photos.tar"], "there is no such archive"),
        (["--data-dir", "TRAIN"], "has no folder for the validation split"),
        (["--val-dir", "TRAIN"], "Validation would use the training images"),
        (["--data-dir", "TRAIN", "--val-dir", "TRAIN"], "Validation would use the training images"),
        (["--val-split", "train"], "Validation would use the training images"),
        (["--dataset", "torch/cifar10", "--skip-bad-images"], "is read by timm, which replaces images"),
        (["--dataset", "torch/no_such_set"], "timm cannot open"),
        (["--class-map", "nowhere.txt"], "there is no such file"),
        (["-b", "64"], "fewer than one batch"),
        (["-b", "7", "--mixup", "0.2"], "error: --batch-size 7: Mixup and CutMix need an even batch."),
        (["--num-classes", "2"], "photos"),
        (["--pretrained"], "could not be made"),
    ],
)
def test_bad_input(
    run_train: Train, photos: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments == ["--pretrained"]:
        arguments = ["--pretrained", "--model", "test_resnet_without_weights"]
        message = "unknown to timm"
    code, out = run_train(*(word.replace("TRAIN", str(photos / "train")) for word in arguments))
    assert code == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_files_of_equal_names_are_not_the_same_images(run_train: Train, photos: Path, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        shutil.copytree(photos / "train", tmp_path / "again" / split)
    assert run_train("--data-dir", str(tmp_path / "again"), "--epochs", "1", out="a")[0] == 0
    halves = [str(tmp_path / "again" / split) for split in ("train", "validation")]
    assert run_train("--data-dir", halves[0], "--val-dir", halves[1], "--epochs", "1", out="b")[0] == 0
    again = Path(halves[1]).parent / "again"
    again.symlink_to(halves[0])
    for same in (halves[0], f"{halves[1]}/../train", str(again)):
        assert run_train("--data-dir", halves[0], "--val-dir", same, "--epochs", "1", out="c")[0] == 2


@pytest.mark.parametrize(("dataset", "asked"), [("hfds/some/where", "validation"), ("", "val")])
def test_splits_of_named_data_sets_keep_their_names(
    run_train: Train, monkeypatch: pytest.MonkeyPatch, dataset: str, asked: str
) -> None:
    splits = []

    def load(*_: object, split: str, **__: object) -> object:
        splits.append(split)
        if len(splits) == 1:
            return load_images("digits", image_size=32)
        raise BadInput("enough")

    monkeypatch.setattr("daas.train.batches.load_images", load)
    given = ["--dataset", dataset] if dataset else []
    assert run_train(*given, "--train-crop-mode", "pad")[0] == 2
    assert set(splits) == {"train", asked}


def test_what_the_data_set_is_asked_for(run_train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def create(name: str, **arguments: object) -> object:
        asked.append({"name": name, **arguments})
        raise OSError("not today")

    monkeypatch.setattr("daas.train.loader.create_dataset", create)
    assert run_train("--dataset", "torch/cifar10", "--dataset-download", "--val-split", "test")[0] == 2
    assert (asked[0]["name"], asked[0]["download"], asked[0]["split"]) == ("torch/cifar10", True, "test")


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")
def test_pinned_memory_and_imported_modules_change_nothing(
    run_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_module_of_mine.py").write_text("import timm\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    short = ["--epochs", "1"]
    _, plain = run_train(*short, out="plain")
    code, out = run_train(*short, "--pin-mem", "--device-modules", "a_module_of_mine", out="other")
    assert code == 0
    assert "a_module_of_mine" in sys.modules
    assert torch.equal(weights(plain), weights(out))


def test_archives_and_folders_train_alike(run_train: Train, photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(photos, "photos")
    _, folder = run_train("--epochs", "1", out="folder")
    code, packed = run_train("--epochs", "1", "--data-dir", str(tmp_path / "photos.tar"), out="packed")
    assert code == 0
    assert torch.equal(weights(folder), weights(packed))


def test_a_data_set_of_hugging_face_is_told_from_others_without_reading_its_images(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")

    def digests(folder: Path) -> dict[str, str]:
        place = {"data_dir": str(folder), "cache_dir": str(tmp_path / "cache"), "split": "train"}
        found = load_dataset("imagefolder", **place)
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: found)
        options = TrainOptions(dataset="hfds/some/where", batch_size=8)
        return LoaderBatches(options, Place(torch.device("cpu")), {}, None, True).digests()

    def refuse(*_: object) -> object:
        raise AssertionError("an image was read")

    load_dataset = datasets.load_dataset
    monkeypatch.setattr(datasets.Dataset, "__getitem__", refuse)
    found = digests(photos / "train")
    assert found == digests(photos / "train")
    assert found["training images"] != digests(photos / "validation")["training images"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_image_that_is_damaged_on_the_way_is_named_in_one_line(
    run_train: Train, photos: Path, tmp_path: Path, workers: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """One that nobody looked at before the start: the message is the loading process's, without its traceback."""
    monkeypatch.setattr("daas.data.sources._LOOKED_AT", 1)
    shutil.copytree(photos, tmp_path / "photos")
    bad = tmp_path / "photos" / "train" / "red" / "24.png"
    bad.write_bytes(bad.read_bytes()[:60])
    data = ["--data-dir", str(tmp_path / "photos"), "--epochs", "1", "-j", workers]
    assert run_train(*data)[0] == 2
    said = capsys.readouterr().err
    assert f"error: {bad} cannot be read as an image" in said
    assert "Traceback" not in said
    code, out = run_train(*data, "--skip-bad-images", out="skipped")
    assert code == 0
    assert json.loads((out / "result.json").read_text())["data"]["skipped"] == 1
    assert "Warning: 1 image could not be read and was left out." in capsys.readouterr().err


def test_what_is_not_read_is_said_before_the_start(
    run_train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    for split in ("train", "validation"):
        (tmp_path / "photos" / split / "red" / "raw.NEF").write_bytes(b"raw")
    for mode in ("rrc", "pad"):
        code, out = run_train(
            "--data-dir", str(tmp_path / "photos"), "--epochs", "1", "--train-crop-mode", mode, out=mode
        )  # fmt: skip
        assert code == 0
        said = capsys.readouterr().err
        assert said.count("Warning: photos: 1 file was not read: 1 .nef.") == 1
        assert json.loads((out / "result.json").read_text())["data"]["unread"] == {".nef": 2}


def test_a_batch_that_the_images_do_not_fill_is_that_of_all_processes() -> None:
    assert few_images("photos", 20, 32, 1).startswith("photos gives 20 training images, fewer than one batch of 32. ")
    assert "fewer than one batch of 64 over 2 processes. " in few_images("photos", 20, 32, 2)
