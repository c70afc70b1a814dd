"""Publish and reload: another process, with nothing but the folder, has the logits, the policy and the class names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from timm.data import resolve_data_config

import daas
from daas.__main__ import main
from tests.jobs.conftest import SAME, photographs

STRANGER = """
import json, sys
import daas, timm, torch
from timm.data import resolve_data_config
name = sys.argv[1]
model = timm.create_model(name, pretrained=True).eval()
with torch.no_grad():
    logits = model(torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32))
config = resolve_data_config({}, model=model)
policy = daas.DAASPolicy.load(name).policy
known = model.pretrained_cfg
print(json.dumps({"logits": logits.tolist(), "policy": policy.to_dict(), "names": known["label_names"],
                  "size": config["input_size"], "crop": config["crop_pct"], "mean": config["mean"], "cfg": sorted(
                  key for key, value in known.items() if value not in (None, "", (), False))}))
"""


@pytest.mark.parametrize("model", ["test_resnet", "daas_cell_cifar"])
def test_another_process_has_the_same(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    photographs(Path("photos/train"), SAME, 12, seed=1)
    photographs(Path("photos/val"), SAME, 4, seed=2)
    daas.Policy.of_operations(["Invert", "Rotate"]).save("policy.json")
    cells = ["--model-kwargs", "genotype=darts_v2", "channels=2", "layers=3"] if model.startswith("daas") else []
    words = ["--data-dir", "photos", "--model", model, *cells, "--img-size", "32", "--train-crop-mode", "pad"]
    words += ["--aa", "daas:policy.json", "--epochs", "1", "--warmup-epochs", "0", "-b", "8", "--lr", "0.01"]
    assert main(["train", *words, "--device", "cpu", "--experiment", "mine"]) == 0
    assert main(["hub", "export", "output/train/mine", "published"]) == 0
    mine = timm.create_model("local-dir:published", pretrained=True).eval()
    with torch.no_grad():
        logits = mine(torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32))
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, "local-dir:published"], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert torch.equal(torch.tensor(found["logits"]), logits)
    assert found["policy"] == daas.DAASPolicy.load("policy.json").policy.to_dict()
    assert tuple(found["names"]) == SAME
    assert found["size"] == [3, 32, 32]
    assert found["crop"] == resolve_data_config({}, model=mine)["crop_pct"]
    inherited = {"test_input_size", "test_crop_pct", "origin_url", "paper_ids", "paper_name", "hf_hub_id", "url", "tag"}
    assert not inherited & set(found["cfg"])
