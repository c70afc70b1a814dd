"""A policy that was found, in trainings that people have: timm's transform and loader, a loop, Lightning, Trainer."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import timm.data
import torch
from torchvision.datasets import ImageFolder

import daas
from tests.jobs.conftest import SAME, photographs

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a policy that every picture shows, and the pictures beside it."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    folder.mkdir()
    daas.Policy.of_operations(["Invert", "Rotate", "Equalize"]).save(folder / "policy.json")
    photographs(folder / "photos", SAME, 8, seed=3)
    return folder


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"job_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_in_timms_loader(found: Path) -> None:
    """As ``--aa daas:RUN`` of timm's script: training images alone are augmented."""
    arguments = {"input_size": (3, 32, 32), "batch_size": 16, "num_workers": 0, "persistent_workers": False}
    arguments |= {"device": torch.device("cpu")}
    pictures = ImageFolder(str(found / "photos"))
    name = f"daas:{found}"
    train = timm.data.create_loader(pictures, is_training=True, auto_augment=name, hflip=0.0, **arguments)
    policy = next(part for part in train.dataset.transform.transforms if isinstance(part, daas.DAASPolicy))
    assert policy.policy.sub_policies == daas.DAASPolicy.load(found).policy.sub_policies
    assert next(iter(train))[0].shape == (16, 3, 32, 32)
    held_out = timm.data.create_loader(ImageFolder(str(found / "photos")), is_training=False, **arguments)
    assert not any(isinstance(part, daas.DAASPolicy) for part in held_out.dataset.transform.transforms)


def test_in_a_loop(found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = example("plain_loop")
    seen = []
    load = daas.DAASPolicy.load

    def own(name: str, **options: object) -> daas.DAASPolicy:
        seen.append(load(found, **options))
        return seen[-1]

    monkeypatch.setattr(loop.daas.DAASPolicy, "load", own)
    assert loop.main() < 100
    assert {op.op for sub in seen[0].policy.sub_policies for op in sub.ops} == {"Invert", "Rotate", "Equalize"}


def test_in_lightning(found: Path) -> None:
    lightning = example("lightning_module")
    module = lightning.Classifier(str(found), classes=2)
    grey = torch.full((8, 3, 16, 16), 100, dtype=torch.uint8)

    class Loop:
        training = True

    module._trainer = Loop()
    augmented, _ = module.on_after_batch_transfer((grey, torch.zeros(8)), 0)
    Loop.training = False
    plain, _ = module.on_after_batch_transfer((grey, torch.zeros(8)), 0)
    assert len(plain.unique()) == 1
    assert len(augmented.unique()) > 1


def test_in_hugging_faces_trainer(found: Path) -> None:
    from PIL import Image

    trainer = example("hugging_face_trainer")
    trainer.POLICY = daas.DAASPolicy.load(found, normalize=trainer.STATISTICS)
    rows = {"image": [Image.new("RGB", (32, 32), (100, 100, 100))] * 16, "label": [0] * 16}
    assert len(trainer.training(rows)["pixel_values"].unique()) > 2  # the grey, and the black around it
    assert len(torch.stack(trainer.evaluation(rows)["pixel_values"]).unique()) == 1
