"""Every folder in hub/ is ready to push: checked, complete, small, and it loads without a network."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import ModelCard

import daas
from daas.data import load_images
from daas.hub import verify
from daas.hub.card import PLACEHOLDER, complete
from daas.repository import files_of
from daas.train.command_line import parse

HUB = Path(__file__).parents[2] / "hub"
ENTRIES = sorted(path for path in HUB.iterdir() if path.is_dir())
LARGEST = 2**20  # bytes of an entry in this repository; larger weights are on the Hub alone


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an entry must load without a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(params=ENTRIES, ids=lambda path: path.name)
def entry(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_there_are_entries_and_the_readme_names_them() -> None:
    assert ENTRIES
    text = (HUB / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in ENTRIES if f"[`{path.name}`]({path.name})" not in text] == []


def test_it_is_what_was_exported(entry: Path) -> None:
    report = verify(entry)
    assert report.faults == []
    assert not [note for note in report.notes if "edited" in note]


def test_it_is_complete_and_small(entry: Path) -> None:
    text = (entry / "README.md").read_text(encoding="utf-8")
    assert complete(text) == []
    assert PLACEHOLDER in text  # which a push replaces
    assert sum((entry / name).stat().st_size for name in files_of(entry)) < LARGEST


def test_its_recipe_is_understood(entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(entry)
    options = parse(["--config", "recipe.yaml"])
    assert options.aa == "daas:policy.json"
    assert options.model_kwargs.get("genotype") == "genotype.json" or options.model == entry.name  # a registered cell


def test_it_loads(entry: Path) -> None:
    model = timm.create_model(f"local-dir:{entry}", pretrained=True).eval()
    cfg = model.pretrained_cfg
    with torch.inference_mode():
        assert model(torch.zeros(1, *cfg["input_size"])).shape == (1, len(cfg["label_names"]))
    if (entry / "policy.json").is_file():
        assert daas.DAASPolicy.load(entry / "policy.json")(torch.zeros(2, *cfg["input_size"])).isfinite().all()


def test_digits_are_classified_as_the_card_says() -> None:
    entry = HUB / "daas_digits"
    model = timm.create_model(f"local-dir:{entry}", pretrained=True).eval()
    size, mean, std = (torch.tensor(model.pretrained_cfg[key]) for key in ("input_size", "mean", "std"))
    data = load_images("digits", None, split="test", image_size=int(size[-1]))
    images = data.fetch(torch.arange(len(data))).float() / 255
    with torch.inference_mode():
        guesses = model((images - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)).argmax(1)
    top1 = 100 * float((guesses == data.labels).float().mean())
    said = ModelCard.load(entry / "README.md").data.eval_results[0]
    assert said.dataset_args == {"images": len(data)}
    assert top1 == pytest.approx(said.metric_value, abs=100 / len(data))  # one image, on other hardware
