"""Weights and their classes: names travel with the weights, validation is by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from daas.errors import BadInput
from daas.models.weights import Weights, difference
from daas.train.__main__ import main
from daas.train.labels import by_name
from daas.train.output import save_weights
from tests.conftest import write_folder

NAMES = ("ape", "bee", "cow")


def pictures(root: Path, count: int, names: tuple[str, ...] = NAMES) -> Path:
    """Pictures of one colour; the class says which."""
    random = torch.Generator().manual_seed(count)
    labels = torch.arange(count) % 3
    images = torch.randint(0, 60, (count, 3, 16, 16), generator=random)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[label] += 150
    keep = torch.tensor([NAMES[label] in names for label in labels.tolist()])
    return write_folder(root, images[keep].to(torch.uint8), labels[keep], NAMES)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, small_convnet: str) -> Path:
    """A run folder, whose weights are worth 100%, beside the images."""
    root = tmp_path_factory.mktemp("classes")
    pictures(root / "d" / "train", 60), pictures(root / "d" / "val", 30)
    assert main([*words(small_convnet, root), "--data-dir", str(root / "d"), "--epochs", "6"]) == 0
    return root / "run"


def words(model: str, out: Path) -> list[str]:
    return [
        "--model", model, "--img-size", "16", "--train-crop-mode", "pad", "-b", "20", "--lr", "0.1", "--hflip", "0",
        "--warmup-epochs", "0", "--output", str(out), "--experiment", "run", "--opt", "adamw", "--lr", "0.01",
    ]  # fmt: skip


def test_weights_say_what_their_outputs_mean(trained: Path) -> None:
    for name in ("last.safetensors", "model_best.safetensors"):
        with safe_open(trained / name, framework="pt") as file:
            assert json.loads(file.metadata()["class_names"]) == list(NAMES)
    best = json.loads((trained / "result.json").read_text())["best"]
    assert best["top1"] == best["balanced_accuracy"] == 100


def test_validation_may_lack_a_class(
    trained: Path, tmp_path: Path, small_convnet: str, capsys: pytest.CaptureFixture[str]
) -> None:
    some = pictures(tmp_path / "some", 30, ("bee", "cow"))
    weights = str(trained / "last.safetensors")
    assert main([*words(small_convnet, tmp_path), "--val-dir", str(some), "--validate", weights]) == 0
    said = capsys.readouterr()
    assert "top-1 100.00%" in said.out
    assert "no validation images of ape (1 of 3 classes)" in said.err


@pytest.mark.parametrize("mode", ["pad", "rrc"])
def test_an_empty_class_folder_is_named(
    mode: str, trained: Path, tmp_path: Path, small_convnet: str, capsys: pytest.CaptureFixture[str]
) -> None:
    some = pictures(tmp_path / "some", 30, ("bee", "cow"))
    (some / "ape").mkdir()
    options = words(small_convnet, tmp_path)
    options[options.index("pad")] = mode
    main([*options, "--val-dir", str(some), "--validate", str(trained / "last.safetensors"), "-j", "0"])
    assert "ape" in capsys.readouterr().err


def test_a_class_that_the_weights_do_not_know_is_named(
    trained: Path, tmp_path: Path, small_convnet: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures(tmp_path / "more", 30) / "ape").rename(tmp_path / "more" / "fox")
    weights = str(trained / "last.safetensors")
    assert main([*words(small_convnet, tmp_path), "--val-dir", str(tmp_path / "more"), "--validate", weights]) == 2
    assert "fox only in validation; ape only in the weights" in capsys.readouterr().err


def test_a_training_validates_by_name_and_says_what_is_missing(
    trained: Path, tmp_path: Path, small_convnet: str, capsys: pytest.CaptureFixture[str]
) -> None:
    some = pictures(tmp_path / "some", 30, ("bee", "cow"))
    data = ["--data-dir", str(trained.parent / "d" / "train"), "--val-dir", str(some)]
    assert main([*words(small_convnet, tmp_path), *data, "--epochs", "6"]) == 0
    assert "no validation images of ape" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "result.json").read_text())["best"]["top1"] == 100


def test_initial_weights_are_put_into_the_order_of_the_images(
    trained: Path, tmp_path: Path, small_convnet: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = load_file(trained / "last.safetensors")
    order = torch.tensor([2, 0, 1])
    for name in ("9.weight", "9.bias"):
        state[name] = state[name][order]
    save_file(state, tmp_path / "other.safetensors", {"class_names": json.dumps([NAMES[i] for i in order.tolist()])})
    start = ["--data-dir", str(trained.parent / "d"), "--initial-checkpoint", str(tmp_path / "other.safetensors")]
    assert main([*words(small_convnet, tmp_path), *start, "--epochs", "1", "--lr", "0"]) == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["last"]["top1"] == 100
    save_file(state, tmp_path / "fox.safetensors", {"class_names": json.dumps(["fox", "bee", "cow"])})
    start[-1] = str(tmp_path / "fox.safetensors")
    assert main([*words(small_convnet, tmp_path / "new"), *start, "--epochs", "1"]) == 2
    assert "fox only in the weights; ape only in the images" in capsys.readouterr().err


def test_many_classes_are_brought_into_order_at_once() -> None:
    names = [f"class{k}" for k in range(2000)]
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    state = {"0.weight": order.double()[:, None], "0.bias": order.double()}
    layer = nn.Linear(1, 2000, dtype=torch.float64)
    Weights("w", state, tuple(names[k] for k in order.tolist())).into(nn.Sequential(layer), names)
    assert torch.equal(layer.bias, torch.arange(2000.0, dtype=torch.float64))
    assert torch.equal(layer.weight[:, 0], layer.bias)


def test_weights_without_names_are_taken_as_they_are(tmp_path: Path) -> None:
    model = nn.Linear(4, 3)
    save_file(model.state_dict(), tmp_path / "plain.safetensors")
    found = Weights.read(tmp_path / "plain.safetensors")
    assert found.class_names is None
    found.into(nn.Linear(4, 3), ["a", "b", "c"])
    save_weights(model, tmp_path / "named.safetensors", ["a", "b", "c"])
    assert Weights.read(tmp_path / "named.safetensors").class_names == ("a", "b", "c")


def test_a_difference_is_shown_and_not_what_is_the_same() -> None:
    many = [f"class{k}" for k in range(30)]
    assert difference(many, many[:-1], "training", "validation") == "class29 only in training"
    assert difference(many, [], "a", "b").endswith("class7 and 22 more only in a")
    with pytest.raises(BadInput, match="class29 only in validation"):
        by_name(many, many[:-1], "the training images")
