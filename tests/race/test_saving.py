"""Different parts of one name are told apart: in files, in words, in race.json."""

import json
from dataclasses import replace
from pathlib import Path

from torch import nn

import daas.race
from daas.augment import Policy
from daas.models import find_genotype
from daas.models.start import Start
from daas.race.candidates import Candidate, Network, network
from daas.race.naming import told_apart
from daas.race.saving import Places
from tests.race.test_race import QUICK, ramps

NET = Network("resnet18", "resnet18")


def test_policies_and_cells_of_one_name_have_files_of_their_own(tmp_path: Path):
    rotate, invert = Policy.of_operations(["Rotate"]), Policy.of_operations(["Invert"])
    cells = [replace(find_genotype(name), name="found") for name in ("gdas_v1", "darts_v2")]
    one, other = (network(genotype) for genotype in cells)
    entered = [Candidate(one, rotate, "mine"), Candidate(other, invert, "mine"), Candidate(one, invert, "mine-2"),
               Candidate(other, rotate, "mine")]  # fmt: skip
    places = Places(entered)
    assert [places.policy(candidate) for candidate in entered] == [
        "policies/mine.json", "policies/mine-2.json", "policies/mine-2.json", "policies/mine.json",
    ]  # fmt: skip
    assert [places.network(candidate.network) for candidate in entered[:2]] == [
        "genotypes/found.json", "genotypes/found-2.json",
    ]  # fmt: skip
    places.write(tmp_path)
    for candidate in entered:
        assert Policy.load(tmp_path / places.policy(candidate)) == candidate.policy
        assert daas.Genotype.load(tmp_path / places.network(candidate.network)) == candidate.network.genotype


def test_networks_of_one_name_say_in_what_they_differ():
    nets = [
        NET, replace(NET, kwargs=(("drop_rate", 0.1),)), replace(NET, start=Start(pretrained=True)),
        Network("Net", module=nn.Linear(1, 1)),
        Network("Net", module=nn.Linear(1, 1)), network("gdas_v1"),
    ]  # fmt: skip
    assert [one.network.title for one in told_apart([Candidate(net, None, "none") for net in nets])] == [
        "resnet18 (random weights)", "resnet18 (drop_rate 0.1, random weights)", "resnet18 (pretrained)", "Net",
        "Net (2)", "gdas_v1",
    ]  # fmt: skip


def test_table_answer_and_json_tell_two_sizes_of_one_network_apart(tmp_path: Path):
    nets = [network("wide_resnet40_2_cifar", {"depth": 10, "widen": widen}) for widen in (1, 2)]
    entered = [(net, None, {"hflip": 0}) for net in nets]
    found = daas.race(ramps(40), entered, trainings=2, out=tmp_path / "out", **{**QUICK, "epochs": 1})
    table, names = found.table(), [f"wide_resnet40_2_cifar (widen {number}): none, no flip" for number in (1, 2)]
    assert all(name in table for name in names)
    assert any(f"Chosen: {name}" in found.answer for name in names)
    told = json.loads((tmp_path / "out" / "race.json").read_text())
    assert {one["network"] for one in told["candidates"]} == {"wide_resnet40_2_cifar"}
    assert {one["model_kwargs"]["widen"] for one in told["candidates"]} == {1, 2}
    assert [run["run"] for run in told["candidates"][0]["runs"]] == [0]
