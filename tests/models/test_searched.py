"""The networks that the package searched itself: sizes, and weights that load without a network connection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file

import daas
from daas.augment.find import find_policy
from daas.augment.policy import Policy
from daas.models.zoo import find_genotype

ROOT = Path(__file__).parents[2]
HUB = ROOT / "hub"
SHIPPED = {"daas_cifar10_nano": 1, "daas_cifar10_micro": 0.5}
"""Models with weights, and the strength of the policy that each was trained under."""
SEARCH = ROOT / "benchmarks" / "results" / "cifar10_search"


def test_the_pair_is_that_of_the_recorded_search() -> None:
    genotype, policy = find_genotype("daas_cifar10").to_dict(), daas.DAASPolicy.load("daas_cifar10").policy.to_dict()
    for shipped, recorded in (
        (genotype, daas.Genotype.load(SEARCH / "genotype.json").to_dict()),
        (policy, Policy.load(SEARCH / "policy.json").to_dict()),
    ):
        assert "CIFAR-10 (JPEG)" in shipped["source"]
        assert "preset cpu, seed 2" in shipped["source"]
        assert without_origin(shipped) == without_origin(recorded)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_policy_beside_the_weights_is_the_found_one(name: str) -> None:
    found = find_policy("daas_cifar10").scaled(SHIPPED[name])
    assert Policy.load(HUB / name / "policy.json").sub_policies == found.sub_policies


def without_origin(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in ("name", "source")}


def test_the_papers_size() -> None:
    model = timm.create_model("daas_cifar10")
    same = timm.create_model("daas_cell_cifar", genotype="daas_cifar10", channels=36, layers=20)
    assert {name: p.shape for name, p in model.state_dict().items()} == {
        name: p.shape for name, p in same.state_dict().items()
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_the_weights_in_the_package_are_those_of_the_repository(name: str) -> None:
    model = timm.create_model(name, pretrained=True).eval()
    config = json.loads((HUB / name / "config.json").read_text(encoding="utf-8"))
    published = load_file(HUB / name / "model.safetensors")
    assert set(published) == set(model.state_dict())
    for key, value in model.state_dict().items():
        assert torch.equal(value, published[key]), key
    assert list(model.pretrained_cfg["mean"]) == config["pretrained_cfg"]["mean"]
    assert list(model.pretrained_cfg["std"]) == config["pretrained_cfg"]["std"]
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert (HUB / name / "model.safetensors").stat().st_size < 3_000_000
    assert daas.Genotype.load(HUB / name / "genotype.json").normal == find_genotype("daas_cifar10").normal
