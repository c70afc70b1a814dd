"""A run becomes a folder that timm loads, with nothing of the computer it was made on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

import daas
from daas.augment import PolicySchedule
from daas.augment.schedule import Segment
from daas.errors import BadInput
from daas.hub import export, verify
from daas.hub.verification import reference_input
from daas.repository import files_of
from daas.train.__main__ import main as train


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the run folder."""
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


def test_the_folder_holds_everything(exported: Path) -> None:
    assert files_of(exported) == [
        "LICENSE", "README.md", "cells.svg", "config.json", "genotype.json", "model.safetensors", "policy.json",
        "policy.png", "recipe.yaml", "summary.csv", "verification.json",
    ]  # fmt: skip


def test_transformers_gives_the_same_logits_to_the_bit(exported: Path) -> None:
    """As its pipelines and the Hub's pages load a repository of timm's."""
    from transformers import AutoModelForImageClassification

    wrapped = AutoModelForImageClassification.from_pretrained(exported).eval()
    model = timm.create_model(f"local-dir:{exported}", pretrained=True).eval()
    images = reference_input((3, 32, 32), (0.5,) * 3, (0.25,) * 3)
    with torch.inference_mode():
        assert torch.equal(wrapped(images).logits, model(images))
    assert list(wrapped.config.id2label.values()) == model.pretrained_cfg["label_names"]


def test_timm_builds_the_network_of_the_run(run_folder: Path, exported: Path) -> None:
    result = json.loads((run_folder / "result.json").read_text())
    model = timm.create_model(f"local-dir:{exported}", pretrained=True).eval()
    own = load_file(run_folder / "model_best.safetensors")
    assert any(name.startswith("aux_head.") for name in own)
    state = model.state_dict()
    assert set(state) == {name for name in own if not name.startswith("aux_head.")}
    assert all(torch.equal(state[name], own[name]) for name in state)
    cfg = model.pretrained_cfg
    assert list(cfg["input_size"]) == result["input_size"]
    assert list(cfg["mean"]) == result["mean"]
    assert cfg["label_names"] == result["class_names"]
    images = reference_input(result["input_size"], result["mean"], result["std"])
    trained = timm.create_model(
        result["model"], num_classes=result["num_classes"], **{**result["model_kwargs"], "aux_head": False}
    )
    trained.load_state_dict(own, strict=False)
    with torch.inference_mode():
        assert torch.equal(model(images), trained.eval()(images))


def test_the_genotype_travels_inline(exported: Path) -> None:
    config = json.loads((exported / "config.json").read_text())
    genotype = daas.Genotype.load(exported / "genotype.json")
    assert daas.Genotype.from_dict(config["model_args"]["genotype"]) == genotype
    assert genotype.name == "small"
    assert "aux_head" not in config["model_args"]


def test_best_and_last_are_different_weights(run: Path, exported: Path, tmp_path: Path) -> None:
    values = json.loads((run / "result.json").read_text())
    values["last"]["top1"] = 12.25
    (run / "result.json").write_text(json.dumps(values))
    state = load_file(run / "last.safetensors")
    state["head.fc.bias"] += 1
    save_file(state, run / "last.safetensors")
    last = export(run, tmp_path / "last", weights="last")
    card = " ".join((last / "README.md").read_text().split())
    assert "12.25%" in card
    assert "no epoch was chosen by these images" in card
    assert "best **on these same images**" in " ".join((exported / "README.md").read_text().split())
    assert torch.equal(load_file(last / "model.safetensors")["head.fc.bias"], state["head.fc.bias"])


def test_nothing_of_the_computer_is_published(run_folder: Path, exported: Path) -> None:
    here = [str(run_folder.parent).encode(), str(Path.home()).encode(), str(Path.cwd()).encode()]
    for name in files_of(exported):
        content = (exported / name).read_bytes()
        assert not [place for place in here if place in content], name
    recipe = yaml.safe_load((exported / "recipe.yaml").read_text())
    assert recipe["aa"] == "daas:policy.json"
    assert recipe["model_kwargs"]["genotype"] == "genotype.json"
    assert not recipe.keys() & {"output", "device", "workers", "data_dir", "experiment"}


def test_folders_of_relative_paths_are_not_published(run: Path, tmp_path: Path) -> None:
    options = yaml.safe_load((run / "args.yaml").read_text())
    options["initial_checkpoint"] = "clients/acme/w.safetensors"
    (run / "args.yaml").write_text(yaml.safe_dump(options))
    folder = export(run, tmp_path / "out")
    for name in ("recipe.yaml", "README.md"):
        text = (folder / name).read_text()
        assert "acme" not in text
        assert "w.safetensors" in text


def test_the_recipe_repeats_the_training(exported: Path, run_folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(exported)
    assert train(["--config", "recipe.yaml", "--output", str(tmp_path), "--experiment", "again"]) == 0
    again = load_file(tmp_path / "again" / "last.safetensors")
    first = load_file(run_folder / "last.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_card(exported: Path, run_folder: Path) -> None:
    result = json.loads((run_folder / "result.json").read_text())
    data = ModelCard.load(exported / "README.md").data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "timm", "image-classification")
    top1, top5 = data.eval_results
    assert top1.metric_value == round(result["best"]["top1"], 3)
    assert top5.metric_value == round(result["best"]["top5"], 3)
    assert top1.dataset_args == {"images": 500}
    text = (exported / "README.md").read_text()
    for part in ("![The two cells](cells.svg)", "![The policy](policy.png)", "| 500 |", "What was not measured"):
        assert part in text


def test_the_card_names_the_images_that_were_measured_on(run: Path, tmp_path: Path) -> None:
    options = yaml.safe_load((run / "args.yaml").read_text())
    (run / "args.yaml").write_text(yaml.safe_dump(options | {"val_dir": "/home/me/holiday-test.tar"}))
    card = ModelCard.load(export(run, tmp_path / "out") / "README.md")
    assert "images of holiday-test.tar;" in card.text
    assert {(r.dataset_name, r.dataset_split) for r in card.data.eval_results} == {("holiday-test.tar", None)}
    assert "/home/me" not in card.content


def test_a_network_without_cells(tmp_path: Path) -> None:
    code = train(
        ["--dataset", "digits", "--val-split", "test", "--model", "wide_resnet28_10_cifar", "--model-kwargs",
         "depth=10", "widen=1", "--img-size", "16", "--epochs", "1", "--warmup-epochs", "0", "--batch-size", "432",
         "--output", str(tmp_path), "--experiment", "wide"]
    )  # fmt: skip
    assert code == 0
    folder = export(tmp_path / "wide", tmp_path / "out")
    report = verify(folder)
    assert report.faults == []
    assert report.notes == [
        "no policy: the model was trained without one of this package",
        "no genotype: this is no cell network",
    ]
    assert "equal to the bit" in str(report)
    assert not {"genotype.json", "policy.json", "cells.svg"} & set(files_of(folder))


def test_the_pooling_of_the_training_is_kept(run: Path, tmp_path: Path) -> None:
    options = yaml.safe_load((run / "args.yaml").read_text())
    (run / "args.yaml").write_text(yaml.safe_dump({**options, "gp": "max"}))
    folder = export(run, tmp_path / "out")
    assert timm.create_model(f"local-dir:{folder}").head.global_pool.pool_type == "max"


def test_a_schedule_of_policies(run: Path, tmp_path: Path) -> None:
    policies = [daas.Policy.random(torch.Generator().manual_seed(seed)) for seed in range(2)]
    segments = (Segment(0, policies[0]), Segment(1, policies[1]))
    schedule = PolicySchedule("steps", "made for this test", 2, segments)
    _edit("result.json", lambda v: v.update(policy=None, policy_schedule=schedule.to_dict()))(run)
    folder = export(run, tmp_path / "out")
    assert PolicySchedule.load(folder / "policy_schedule.json") == schedule
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["aa"] == "daas:policy_schedule.json"
    assert "Trained under `steps`" in (folder / "README.md").read_text()
    assert "schedule 'steps', 2 policies" in verify(folder).passed


def test_another_licence_comes_with_its_text(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--license mit needs its text"):
        export(run_folder, tmp_path / "out", license_id="mit")
    (tmp_path / "mit.txt").write_text("Permission is hereby granted")
    folder = export(run_folder, tmp_path / "out", license_id="mit", license_file=tmp_path / "mit.txt")
    assert (folder / "LICENSE").read_text() == "Permission is hereby granted"
    assert "license: mit" in (folder / "README.md").read_text()
    assert json.loads((folder / "config.json").read_text())["pretrained_cfg"]["license"] == "mit"


def test_the_licence_text_that_is_shipped_is_the_projects() -> None:
    root = Path(__file__).parents[2]
    assert (root / "daas" / "hub" / "templates" / "apache-2.0.txt").read_bytes() == (root / "LICENSE").read_bytes()


def test_nothing_is_written_over(run_folder: Path, exported: Path) -> None:
    before = {name: (exported / name).read_bytes() for name in files_of(exported)}
    with pytest.raises(BadInput, match="nothing is written over"):
        export(run_folder, exported)
    assert {name: (exported / name).read_bytes() for name in files_of(exported)} == before


def _edit(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(run: Path) -> None:
        values = json.loads((run / name).read_text())
        change(values)
        (run / name).write_text(json.dumps(values))

    return edit


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "result.json").unlink(), "no run folder of daas train"),
        (lambda run: (run / "result.json").write_text("{"), "no JSON"),
        (lambda run: (run / "args.yaml").unlink(), "args.yaml is missing"),
        (lambda run: (run / "args.yaml").write_text("[1]"), "holds no options"),
        (lambda run: (run / "model_best.safetensors").unlink(), "there is no such safetensors file of weights"),
        (_edit("result.json", lambda v: v.update(format="x")), "reads the format"),
        (_edit("result.json", lambda v: v.update(mean=None)), "'mean' is None; it must be a list"),
        (_edit("result.json", lambda v: v.update(model="mine_cifar")), "registered neither with timm nor by daas"),
        (_edit("result.json", lambda v: v.update(model="local-dir:other")), "is another repository"),
        (_edit("result.json", lambda v: v["model_kwargs"].update(nonsense=1)), "cannot be built"),
        (_edit("result.json", lambda v: v["model_kwargs"].update(channels=4)), "holds no weights of this model"),
        (_edit("result.json", lambda v: v["policy"].update(fill=[1])), "policy: fill"),
    ],
)
def test_runs_that_cannot_be_exported(run: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(run)
    with pytest.raises(BadInput, match=message):
        export(run, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))
