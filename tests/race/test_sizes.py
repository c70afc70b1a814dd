"""Published cells beside found ones: as many weights, to within a tenth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import daas.race
from daas.errors import BadInput
from daas.models import Genotype, find_genotype
from daas.race.candidates import Candidate, Network, network
from daas.race.options import parse
from daas.race.sets import Setting, candidates
from daas.race.sizes import TOLERANCE, alike, at_equal_size, searched_size

CELLS = replace(find_genotype("gdas_v1"), name="searched")


def found(channels: int = 8, layers: int = 5, cells: Genotype = CELLS) -> SimpleNamespace:
    """What a race asks of the result of a search."""
    summary = {"options": {"channels": channels, "layers": layers, "preset": "cpu"}}
    return SimpleNamespace(genotype=cells, policy=None, summary=summary)


def networks(given: list[Any], equal: bool = True, classes: int = 10) -> list[Network]:
    entered = candidates(given, Setting(None, 32, 100))
    return [one.network for one in (at_equal_size(entered, classes) if equal else entered)]


@pytest.mark.parametrize(("channels", "layers"), [(4, 4), (8, 5)])
def test_published_cells_have_as_many_weights_as_the_found_ones(channels: int, layers: int) -> None:
    names = ["darts_v2_cifar", "nasnet_a_cifar", "pnasnet5", "daas_cell_cifar"]
    sized = networks([found(channels, layers), *((name, None) for name in names)])[::2]  # each with two flips
    weights = [one.parameters(10) for one in sized]
    assert dict(sized[0].kwargs) == {"channels": channels, "layers": layers}
    assert [one.name for one in sized] == ["searched", *names]
    assert all(abs(other / weights[0] - 1) <= TOLERANCE for other in weights[1:])
    assert {dict(one.kwargs)["layers"] for one in sized[:2]} == {layers}


def test_what_has_a_size_or_no_cells_stays_as_it_is() -> None:
    given = (network("darts_v2_cifar", {"channels": 6, "layers": 3}), None)
    sized = networks([found(), given, ("resnet10t", None), (nn.Linear(2, 2), None)])[::2]
    assert sized[1] == given[0]
    assert sized[2].kwargs == ()
    assert sized[3].kwargs == ()


def test_without_a_known_size_or_where_it_is_not_wanted_networks_have_the_papers() -> None:
    unknown = networks([("darts_v2_cifar", None), ("gdas_v1_cifar", None)])
    assert {one.kwargs for one in unknown} == {()}
    assert networks([found(), ("darts_v2_cifar", None)], equal=False)[-1].kwargs == ()


def test_weights_count_the_classes() -> None:
    few, many = (networks([found(2, 3), ("darts_v2_cifar", None)], classes=n)[-1] for n in (2, 500))
    assert abs(many.parameters(500) / network(CELLS, {"channels": 2, "layers": 3}).parameters(500) - 1) <= TOLERANCE
    assert abs(few.parameters(2) / network(CELLS, {"channels": 2, "layers": 3}).parameters(2) - 1) <= TOLERANCE


def test_cells_that_cannot_be_so_small_are_named() -> None:
    free = tuple((("skip_connect", 0), ("skip_connect", 1)) for _ in range(2))
    small = Genotype("small", "", free, (2, 3), free, (2, 3))
    with pytest.raises(BadInput, match=r"darts_v2_cifar has [\d,]+ weights to within a tenth.*equal_size=False"):
        networks([found(2, 3, small), ("darts_v2_cifar", None)])


def test_the_size_is_that_of_the_training_and_not_of_the_search() -> None:
    trained = {"model": "daas_cell_cifar", "channels": 36, "layers": 20, "classes": 10, "image_size": 32}
    told = {"options": {"channels": 16, "layers": 8}, "cost": {"network": trained}}
    assert searched_size(told) == {"channels": 36, "layers": 20}
    assert searched_size({}) == {}


def test_the_folder_of_a_search_brings_its_size(tmp_path: Path) -> None:
    from daas.augment.find import find_policy

    CELLS.save(tmp_path / "genotype.json")
    find_policy("randaugment").save(tmp_path / "policy.json")
    (tmp_path / "summary.json").write_text(json.dumps(found(6, 4).summary))
    for text in (str(tmp_path), f"none,network={tmp_path}"):
        assert dict(networks([text, "none,network=darts_v2_cifar"])[0].kwargs) == {"channels": 6, "layers": 4}


def test_a_race_says_how_many_weights_each_network_has(tmp_path: Path) -> None:
    images = torch.randint(256, (40, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    entered = [found(2, 3), ("darts_v2_cifar", None, {"hflip": 0.0}), ("darts_v2_cifar", "randaugment", {"hflip": 0.0})]
    settings: dict[str, Any] = {"folds": 2, "epochs": 1, "batch_size": 10, "trainings": 4}
    best = daas.race((images, torch.arange(40) % 2), entered, out=tmp_path / "race", **settings)
    told = json.loads((tmp_path / "race" / "race.json").read_text())["candidates"]
    weights = {row["network"]: row["params"] for row in told}
    assert weights["genotypes/searched.json"] == network(CELLS, {"channels": 2, "layers": 3}).parameters(2)
    assert abs(weights["darts_v2_cifar"] / weights["genotypes/searched.json"] - 1) <= TOLERANCE
    assert all(set(row["model_kwargs"]) == {"channels", "layers"} for row in told)
    assert "params" in best.table().splitlines()[0]
    assert all(f"{number:,}" in best.table() for number in weights.values())
    assert f"{weights['darts_v2_cifar']:,} weights" in (tmp_path / "race" / "race.html").read_text()


def test_the_option_of_the_command_line() -> None:
    words = ["--dataset", "digits", "--model", "resnet10t"]
    assert parse(words).arguments()["equal_size"] is True
    assert parse([*words, "--no-equal-size"]).arguments()["equal_size"] is False


def test_candidates_of_ones_own_class_are_sized_too() -> None:
    entered = [
        Candidate(network(CELLS, {"channels": 4, "layers": 4}), None, "none"),
        Candidate(network("p_darts"), None, "none"),
    ]
    first, second = (one.network.parameters(10) for one in at_equal_size(entered, 10))
    assert abs(second / first - 1) <= TOLERANCE


def test_sizes_within_a_tenth_are_alike_and_no_chain_of_them_is() -> None:
    assert alike([]) == []
    assert alike([120, 100, 110, 130]) == [120, 100, 100, 120]
    assert alike([111, 100, 100]) == [111, 100, 100]


def test_among_equals_of_about_one_size_known_cells_go_before_searched_ones() -> None:
    """Three per cent fewer weights are no reason to take cells that nobody else has tried."""
    named = [Candidate(network(one), None, "none") for one in (CELLS, "darts_v2_cifar", "resnet10t")]
    order = [one.breadth(size) for one, size in zip(named, alike([100, 103, 120]), strict=True)]
    assert sorted(order) == [order[1], order[0], order[2]]
    far = [one.breadth(size) for one, size in zip(named, alike([100, 115, 120]), strict=True)]
    assert min(far) == far[0]
