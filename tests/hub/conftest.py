"""A small training, its repository folder, and a Hub on the loopback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import daas
from daas.hub import export
from daas.train.__main__ import main as train
from tests.hub.server import TOKEN, Hub, serve


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of two epochs on the digits, of a small cell network with an auxiliary head under a policy."""
    root = tmp_path_factory.mktemp("runs")
    daas.Policy.random(torch.Generator().manual_seed(0), name="chance").save(root / "some.json")
    daas.Genotype.random(torch.Generator().manual_seed(0), nodes=2, name="small").save(root / "cells.json")
    code = train(
        ["--dataset", "digits", "--val-split", "test", "--model", "daas_cell_cifar", "--model-kwargs", "channels=2",
         "layers=3", f"genotype={root / 'cells.json'}", "aux_head=true", "--img-size", "32", "--epochs", "2",
         "--warmup-epochs", "0", "--batch-size", "432", "--lr", "0.05", "--hflip", "0",
         "--aa", f"daas:{root / 'some.json'}", "--output", str(root), "--experiment", "run"]
    )  # fmt: skip
    assert code == 0
    return root / "run"


@pytest.fixture(scope="session")
def exported(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's repository folder; not to be changed."""
    return export(run_folder, tmp_path_factory.mktemp("exports") / "small")


@pytest.fixture
def repository(exported: Path, tmp_path: Path) -> Path:
    """A copy of the repository folder."""
    return Path(shutil.copytree(exported, tmp_path / "small"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on the loopback that this process talks to as a logged-in user, with a cache of its own."""
    with serve() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        yield server


@pytest.fixture
def edited(repository: Path) -> Callable[[str, str, str], Path]:
    """Changes a text in a file of the repository folder."""

    def edit(name: str, old: str, new: str) -> Path:
        text = (repository / name).read_text(encoding="utf-8")
        assert old in text
        (repository / name).write_text(text.replace(old, new, 1), encoding="utf-8")
        return repository

    return edit
