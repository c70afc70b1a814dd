"""What a search is built from: images and networks that cannot be used are named before anything is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import daas
from daas import DAASPolicy
from daas.data import images_from
from daas.errors import BadInput
from daas.models.start import WEIGHTS, Start, used_to
from daas.models.zoo import find_genotype
from daas.search.options import SearchConfig, options, parse
from daas.search.report.commands import commands
from daas.search.report.warnings import about_images
from daas.search.runs import checkpoint
from daas.search.runs.build import _SUBSET, _choose, build_data, build_search, inputs
from daas.seeds import generator
from tests.conftest import SHORT_SEARCH, _small_convnet, saved_network

Run = Callable[..., tuple[int, Path]]
AUG = ("--mode", "aug")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "vit_tiny_patch16_224"), "doesn't match model"),
        (("--model", "darts_v2_cifar", "--model-kwargs", "channels=4", "layers=3", "aux_head=True", "--image-size",
          "32"), "answers in training with tuple, not with logits"),
        (("--model", "local-dir:/nowhere"), "/nowhere"),
        (("--model", "resnet10t", "--model-kwargs", "patches=3"), "patches"),
        (("--model", "resnet10t", "--device", "gpu"), "--device gpu cannot be used"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_used_is_named_and_nothing_is_written(
    run_search: Run, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_search(*AUG, *arguments)
    assert code == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("options", [{"max_images": 50}, {"max_classes": 3}, {"max_classes": 4, "max_images": 37}])
def test_images_are_chosen_evenly_and_as_class_by_class(options: dict[str, int]) -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(7, (200,), generator=random)
    images = images_from((torch.zeros(200, 3, 2, 2, dtype=torch.uint8), labels))
    found, classes = _choose(images, SearchConfig(seed=3, **options))
    chosen, kept = _chosen_class_by_class(labels, len(images.class_names), **options)
    assert classes == tuple(images.class_names[index] for index in chosen)
    assert torch.equal(found.labels, labels[kept])


def _chosen_class_by_class(
    labels: Tensor, number: int, max_classes: int | None = None, max_images: int | None = None
) -> tuple[list[int], Tensor]:
    random, kept = generator(3, _SUBSET), torch.arange(len(labels))
    classes = list(range(number))
    if max_classes is not None:
        classes = sorted(torch.randperm(number, generator=random)[:max_classes].tolist())
        kept = torch.tensor([index for index, label in enumerate(labels.tolist()) if label in classes])
    if max_images is not None:
        order = kept[torch.randperm(len(kept), generator=random)].tolist()
        members = {label: [index for index in order if labels[index] == label] for label in classes}
        ranked = sorted((rank, label, index) for label in classes for rank, index in enumerate(members[label]))
        kept = torch.tensor([index for _, _, index in ranked[:max_images]]).sort().values
    return classes, kept


def test_images_that_changed_are_noticed_when_a_run_is_resumed(
    run_search: Run, two_classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--data-dir", str(two_classes), "--image-size", "8", "--batch-size", "8")
    assert run_search(*small, "--max-steps", "2")[0] == 0
    (kept := sorted((two_classes / "dark").iterdir())[0]).rename(tmp_path / "aside.png")
    shutil.copyfile(sorted((two_classes / "bright").iterdir())[0], kept)  # as many images, the same names
    assert run_search(*small, "--resume", "auto")[0] == 2
    assert "images changed" in capsys.readouterr().err
    other = two_classes.rename(tmp_path / "other")
    assert run_search(*small, "--data-dir", str(other), "--resume", "auto")[0] == 2
    assert f"images changed (--data-dir was {two_classes} and is {other}). Bring back" in capsys.readouterr().err
    other.rename(two_classes)
    (tmp_path / "aside.png").replace(kept)
    assert run_search(*small, "--resume", "auto")[0] == 0


def test_a_search_goes_on_with_images_that_were_moved(
    run_search: Run, two_classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--image-size", "8", "--batch-size", "8")
    assert run_search("--data-dir", str(two_classes), *small, "--max-steps", "2")[0] == 0
    moved = two_classes.rename(tmp_path / "moved")
    code, out = run_search("--data-dir", str(moved), *small, "--max-steps", "3", "--resume", "auto")
    assert code == 0
    assert f" --data-dir {moved} " in capsys.readouterr().out
    assert json.loads((out / "summary.json").read_text())["options"]["data_dir"] == str(moved)


@pytest.mark.parametrize(
    ("name", "save", "options"),
    [
        ("policy", lambda path, n: DAASPolicy.load(("randaugment", "autoaugment_cifar10")[n]).policy.save(path),
         ("--mode", "arch", "--policy", "FILE")),
        ("genotype", lambda path, n: find_genotype(("darts_v1", "darts_v2")[n]).save(path),
         (*AUG, "--model", "daas_cell_cifar", "--model-kwargs", "genotype=FILE", "channels=2", "layers=3")),
    ],
)  # fmt: skip
def test_a_file_that_changed_is_another_input(
    tmp_path: Path, name: str, save: Callable[[Path, int], None], options: tuple[str, ...]
) -> None:
    file = tmp_path / f"{name}.json"
    config = parse([*SHORT_SEARCH, *(word.replace("FILE", str(file)) for word in options)])
    found = []
    for number in (0, 0, 1):
        save(file, number)
        data = build_data(config)
        found.append(inputs(data, build_search(config, data, torch.device("cpu"))))
    assert found[0] == found[1]
    assert found[0].keys() == {"training images", "validation images", name}
    assert found[0][name] != found[2].pop(name)
    assert found[2].items() <= found[0].items()
    assert found[0]["validation images"] != found[0]["training images"]


def test_validation_images_come_from_the_validation_folder_where_there_is_one(
    two_classes: Path, tmp_path: Path
) -> None:
    divided = tmp_path / "divided"
    for part, keep in (("train", 30), ("val", 10)):
        for folder in sorted(two_classes.iterdir()):
            target = divided / part / folder.name
            target.mkdir(parents=True)
            for path in sorted(folder.iterdir())[-keep:] if part == "val" else sorted(folder.iterdir())[:keep]:
                shutil.copyfile(path, target / path.name)
    small = ["--preset", "demo", "--batch-size", "8", "--image-size", "8"]
    data = build_data(parse([*small, "--data-dir", str(divided), "--val-dir", str(divided)]))
    assert (data.facts["train_images"], data.facts["val_images"]) == (60, 20)
    whole = build_data(parse([*small, "--data-dir", str(divided), "--val-dir", str(two_classes)]))
    assert whole.facts["val_images"] == 80


@pytest.mark.parametrize("ending", ["", "/", "/../two"])
def test_validation_images_are_none_to_train_on(two_classes: Path, ending: str) -> None:
    place = f"{two_classes}{ending}"
    config = parse(["--preset", "demo", "--image-size", "8", "--data-dir", str(two_classes), "--val-dir", place])
    with pytest.raises(BadInput, match="Validation would use the training images"):
        build_data(config)


def test_what_was_not_read_is_in_the_facts_and_in_the_warnings(two_classes: Path) -> None:
    (two_classes / "dark" / "1.DNG").write_bytes(b"raw")
    (two_classes / "owl").mkdir()
    (two_classes / "owl" / "2.CR2").write_bytes(b"raw")
    facts = build_data(parse(["--preset", "demo", "--image-size", "8", "--data-dir", str(two_classes)])).facts
    assert (facts["skipped"], facts["unread"]) == (0, {".dng": 1, ".cr2": 1})
    said = " ".join(about_images(facts).values())
    assert "2 files were not read: 1 .dng, 1 .cr2." in said
    assert "There is no class owl: nothing in its folder can be read (1 .cr2)" in said


def test_a_policy_is_searched_for_pretrained_weights(
    run_search: Run, two_classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The search begins with them, at their size and normalisation, and the printed training does."""
    _, saved = saved_network(tmp_path / "saved", classes=2)
    name = f"local-dir:{saved}"
    given = ("--data-dir", str(two_classes), "--mode", "aug", "--model", name, "--batch-size", "8", "--max-steps", "2")
    code, out = run_search(*given, "--pretrained", "--lr", "1e-9", "--min-lr", "0")
    assert code == 0
    begun = load_file(saved / "model.safetensors")
    ended = {n.removeprefix("network.model."): w for n, w in load_file(out / "checkpoint.safetensors").items()}
    shared = [key for key in begun if key in ended and begun[key].shape == ended[key].shape]
    assert len(shared) > 10
    assert all(torch.allclose(begun[key], ended[key], atol=1e-5) for key in shared)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["data"]["image_size"] == 32
    assert tuple(summary["data"]["mean"]) == used_to(name, Start(pretrained=True))[0]
    assert f"--model {name} --pretrained" in commands(out, summary, False, True)["train"]
    with (saved / "model.safetensors").open("ab") as file:
        file.write(b" ")
    fixed = ("--model", "test_resnet", "--image-size", "32", "--pretrained-path", str(saved / "model.safetensors"))
    assert run_search(*given, *fixed, out="again")[0] == 2
    assert "is no whole safetensors file of weights" in capsys.readouterr().err


def test_weights_that_changed_are_noticed_when_a_run_is_resumed(
    run_search: Run, two_classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, saved = saved_network(tmp_path / "saved", classes=2)
    file = saved / "model.safetensors"
    given = ("--data-dir", str(two_classes), "--mode", "aug", "--model", "test_resnet", "--batch-size", "8")
    given += ("--image-size", "32", "--pretrained-path", str(file))
    assert run_search(*given, "--max-steps", "1")[0] == 0
    saved_network(saved, classes=2, seed=1)
    assert run_search(*given, "--max-steps", "2", "--resume", "auto")[0] == 2
    assert "its weights changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pretrained",), "--pretrained is of a fixed network; it goes with --mode aug"),
        (("--preset", "finetune"), "name a timm model with --model"),
        ((*AUG, "--model", "test_resnet", "--initial-checkpoint", "w.pth"), "nothing is unpickled"),
        ((*AUG, "--model", "wide_resnet40_2_cifar", "--pretrained"), "No pretrained weights"),
    ],
)
def test_weights_that_cannot_be_are_named(
    run_search: Run, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_search(*arguments)
    assert code == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_the_preset_for_fine_tuning() -> None:
    """Short, gentle, from pretrained weights; a module brings its own."""
    given = ["--preset", "finetune", "--model", "test_resnet", "--dataset", "digits"]
    config = parse(given)
    assert (config.mode, config.pretrained, config.lr) == ("aug", True, 0.005)
    assert parse([*given, "--no-pretrained"]).pretrained is False
    module = _small_convnet(2)
    images = torch.randint(256, (40, 3, 8, 8), dtype=torch.uint8), torch.arange(40) % 2
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = daas.search(images, network=module, preset="finetune", batch_size=8, max_steps=1)
    assert found.summary["options"]["pretrained"] is False
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    with pytest.raises(BadInput, match="a module and has weights of its own; --pretrained"):
        daas.search(images, network=module, pretrained=True, batch_size=8)


def test_checkpoints_of_before_there_were_weights_to_begin_with_go_on() -> None:
    now = options(parse(["--dataset", "digits", "--mode", "aug", "--model", "test_resnet"]))
    then = {name: value for name, value in now.items() if name not in WEIGHTS}
    checkpoint._same_options(Path("c"), then, now)
    with pytest.raises(BadInput, match="--pretrained was False and is True"):
        checkpoint._same_options(Path("c"), then, {**now, "pretrained": True})
