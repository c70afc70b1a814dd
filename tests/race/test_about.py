"""Which races are the same one."""

from pathlib import Path

import pytest
import torch
from torch import nn

import daas.race
from daas.augment.find import find_policy
from daas.errors import BadInput
from daas.race.about import digest
from daas.race.candidates import Candidate, network
from tests.race.test_race import QUICK, ramps


def module(seed: int, width: int = 4) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2))


def test_races_on_named_networks_that_earlier_versions_began_go_on():
    """Digests as they were before modules had one."""
    cells = network("darts_v2", {"channels": 8})
    policy = find_policy("randaugment")
    assert digest(Candidate(network("resnet18"), None, "none")) == "97295067898a70fb"
    assert digest(Candidate(cells, policy, "randaugment", (("hflip", 0.0),))) == "a0a8982ddac3b1b4"


@pytest.mark.parametrize("other", [module(1), module(0, 8)])
def test_a_race_is_not_gone_on_with_by_another_module(other: nn.Module, tmp_path: Path):
    given = {**QUICK, "epochs": 1, "out": tmp_path / "out", "resume": True}
    first = daas.race(ramps(), [None], network=module(0), trainings=2, **given)
    with pytest.raises(BadInput, match=r"other policies or networks \(of a module the weights count"):
        daas.race(ramps(), [None], network=other, trainings=4, **given)
    again = daas.race(ramps(), [None], network=module(0), trainings=4, **given)
    assert first.results.items() < again.results.items()


def test_a_screen_is_not_gone_on_with_by_another_module(tmp_path: Path):
    given = {"epochs": 1, "batch_size": 20, "operations": ["HFlip"], "out": tmp_path / "out", "resume": "auto"}
    seen = daas.screen(ramps(), network=module(0), **given)
    assert daas.screen(ramps(), network=module(0), **given).clean == seen.clean
    with pytest.raises(BadInput, match="a screen with other module_weights"):
        daas.screen(ramps(), network=module(1), **given)
