"""result.json is enough to build the model, load its weights and know what it reached."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

import daas
from daas import Genotype, Policy
from daas.train.__main__ import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of a small cell network under a policy."""
    folder = tmp_path_factory.mktemp("train")
    Genotype.random(torch.Generator().manual_seed(1), name="mine").save(folder / "genotype.json")
    Policy.random(torch.Generator().manual_seed(0)).save(folder / "policy.json")
    assert main(
        ["--dataset", "digits", "--val-split", "test", "--model", "daas_cell_cifar", "--model-kwargs", "channels=2",
         "layers=3", f"genotype={folder / 'genotype.json'}", "--aa", f"daas:{folder / 'policy.json'}", "--epochs", "2",
         "--warmup-epochs", "0", "--img-size", "16", "--batch-size", "256", "--lr", "0.05",
         "--output", str(folder), "--experiment", "run"]
    ) == 0  # fmt: skip
    (folder / "genotype.json").unlink()
    return folder / "run"


def test_the_result_alone_builds_the_model(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    model = timm.create_model(result["model"], num_classes=result["num_classes"], **result["model_kwargs"])
    for part in ("best", "last"):
        model.load_state_dict(load_file(run / result[part]["weights"]))
    assert model.genotype == Genotype.from_dict(result["genotype"])
    assert result["parameters"] == sum(p.numel() for p in model.parameters())
    assert model(torch.zeros(1, *result["input_size"])).shape == (1, len(result["class_names"]))


def test_the_result_says_what_was_done_and_reached(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    rows = list(csv.DictReader((run / "summary.csv").open()))
    assert Policy.from_dict(result["policy"]).slots == 2
    read = {"skipped": 0, "unread": {}, "image_warnings": []}
    assert result["data"] == {"name": "digits", "train_images": 1297, "val_images": 500, **read}
    assert (result["epochs"], result["seed"], result["num_classes"], result["input_size"]) == (2, 42, 10, [3, 16, 16])
    assert result["class_names"] == [str(digit) for digit in range(10)]
    assert result["versions"]["daas"] == daas.__version__
    assert result["time"]["seconds"] > 0
    for part in ("best", "last"):
        row = rows[result[part]["epoch"]]
        assert result[part]["top1"] == float(row["eval_top1"])
        assert result[part]["top5"] == float(row["eval_top5"])
    assert result["last"]["epoch"] == 1
