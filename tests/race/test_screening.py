"""What a race asks of a screen, and which one it takes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import daas.race
from daas.errors import BadInput
from daas.race.candidates import network
from tests.race.test_race import QUICK, ramps

SHORT = {**QUICK, "epochs": 1, "trainings": 4}


class Asked(Exception):
    """The screen has been asked."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the screen was asked with; it does not answer."""
    options = dict[str, Any]()

    def room(images: object, **given: Any) -> None:
        options.update(given)
        raise Asked

    monkeypatch.setattr("daas.race.screening.import_module", lambda name: room)
    return options


def test_a_screen_of_other_images_in_the_folder_is_not_taken(small_convnet: str, tmp_path: Path):
    images, labels = ramps()
    asked_with = {"epochs": 1, "batch_size": 20, "operations": ["HFlip", "Invert"]}
    daas.screen((255 - images, labels), network=small_convnet, out=tmp_path / "screen", **asked_with)
    with pytest.raises(BadInput, match="holds a screen with other images"):
        daas.race((images, labels), network=small_convnet, screen=True, out=tmp_path, **SHORT)


@pytest.mark.usefixtures("asked")
def test_a_name_that_leads_nowhere_is_told_before_the_screen(small_convnet: str, tmp_path: Path):
    with pytest.raises(BadInput, match="nonsense"):
        daas.race(ramps(), ["nonsense"], network=small_convnet, screen=True, out=tmp_path / "out", **SHORT)
    assert not (tmp_path / "out").exists()


def test_a_timm_model_is_screened_by_its_name_and_on_the_device_of_the_race(asked: dict[str, Any], tmp_path: Path):
    net = network("test_resnet", {"drop_rate": 0.1})
    with pytest.raises(Asked):
        daas.race(ramps(), network=net, screen=True, device="cpu", out=tmp_path / "out", seed=3, **SHORT)
    assert asked == {
        "network": "test_resnet", "model_kwargs": {"drop_rate": 0.1}, "epochs": 1, "batch_size": 20, "seed": 3,
        "device": "cpu", "out": tmp_path / "out" / "screen", "resume": "auto",
    }  # fmt: skip


def test_cells_are_screened_with_the_weights_of_the_seed(asked: dict[str, Any]):
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        with pytest.raises(Asked):
            daas.race(ramps(), network=network("gdas_v1", {"channels": 2, "layers": 3}), screen=True, **SHORT)
        assert torch.equal(before, torch.get_rng_state())
        found.append(asked["network"].state_dict())
    assert asked["lr"] == 0.1  # as of a timm model, and not the gentle one of a module with weights
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_a_module_is_screened_itself(asked: dict[str, Any]):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(Asked):
        daas.race(ramps(), network=module, screen=True, **SHORT)
    assert asked["network"] is module
    assert "lr" not in asked


def test_a_screen_of_other_classes_is_refused(small_convnet: str):
    images, labels = ramps()
    seen = daas.screen((images, labels + 2 * (torch.arange(80) % 4 > 1)), network=small_convnet, epochs=1,
                       batch_size=20, operations=["HFlip"])  # fmt: skip
    with pytest.raises(BadInput, match=r"of the classes 0, 1, 2, 3, and given images has 0, 1\. Screen these"):
        daas.race((images, labels), network=small_convnet, screen=seen, **SHORT)
