"""Limits of the found network in whole searches: kept, told, resumed, and refused before anything is written."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import daas
from daas.models.table import multiply_adds
from daas.options import name_values
from daas.search.budget import latency
from daas.search.budget.trained import TrainedNetwork
from daas.search.options import SearchConfig
from daas.search.report.commands import commands
from daas.search.runs.independent import stages
from daas.search.spaces.cells import ArchitectureDistribution

Run = Callable[..., tuple[int, Path]]
CELLS = daas.CellSpace(channels=4, layers=3, nodes=2, architectures=1)


def images() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randint(256, (48, 3, 8, 8), dtype=torch.uint8, generator=random), torch.arange(48) % 3


def search(**options: Any) -> daas.Found:
    alone: dict[str, Any] = {"screen": False, "race": 0, **options}
    return daas.search(images(), network=CELLS, batch_size=12, aug_estimator="uniform", **{"max_steps": 2, **alone})


def test_the_network_of_the_printed_command_keeps_the_limit(run_search: Run) -> None:
    code, out = run_search("--max-params", "5k", "--max-macs", "1.5M")
    assert code == 0
    summary = json.loads((out / "summary.json").read_text())
    words = shlex.split(commands(out, summary, True, False)["train"])
    at = words.index("--model-kwargs") + 1
    arguments = name_values([word for word in words[at : at + 3] if "=" in word], "")
    import timm

    side = int(words[words.index("--img-size") + 1])
    made = timm.create_model(words[words.index("--model") + 1], num_classes=10, **arguments)
    params = sum(parameter.numel() for parameter in made.parameters())
    assert params == summary["cost"]["params"] <= 5000
    assert multiply_adds(made, (3, side, side)) == summary["cost"]["macs"] <= 1_500_000
    assert summary["cost"]["limits"] == {"params": 5000, "macs": 1_500_000}
    assert summary["options"]["max_params"] == "5000"
    assert "Cost against accuracy" in (out / "report.html").read_text()


def test_what_was_considered_ends_with_the_chosen_network() -> None:
    found = search(max_params=6000)
    considered, cost = found.summary["considered"], found.summary["cost"]
    assert [row["chosen"] for row in considered] == [False] * 32 + [True]
    assert considered[-1]["params"] == cost["params"] <= 6000
    assert considered[-1]["macs"] == cost["macs"]
    assert all(0 <= row["val_accuracy"] <= 100 for row in considered)
    assert len({row["params"] for row in considered}) > 5


def test_the_term_moves_alpha_and_beta_towards_small_networks() -> None:
    steps: dict[str, Any] = {"arch_lr": 0.05, "warmup_epochs": 4, "epochs": 1, "screen": False, "race": 0}
    free, limited, derived = (
        daas.search(images(), network=CELLS, batch_size=12, max_steps=8, mode="arch", **steps, **more)
        for more in ({}, {"max_params": "3k", "cost_weight": 10.0}, {"max_params": "3k", "cost_weight": 0.0})
    )
    convolutions = [
        sum(row[3] + row[4] for row in found.metrics[-1]["alpha"]["reduce"]) for found in (free, limited, derived)
    ]
    assert convolutions[1] < 0.9 * convolutions[0]
    assert convolutions[2] == convolutions[0]
    assert derived.summary["cost"]["params"] <= 3000


def test_a_limit_of_skips_changes_the_derivation_alone() -> None:
    free, limited = search(max_skips=None), search(max_skips=0)
    assert "skip_connect" in str(free.genotype)
    assert "skip_connect" not in str(limited.genotype)
    for name in ("alpha", "beta", "pi"):
        assert free.metrics[-1][name] == limited.metrics[-1][name]
    assert limited.metrics[-1]["skip_share"] == 0
    assert "considered" not in limited.summary


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_params": 100}, r"smallest possible has .* \(of daas_cell_cifar with 4 channels, 3 cells"),
        ({"max_macs": "1k"}, "--max-macs 1k multiply-adds: the smallest possible"),
        ({"max_params": "many"}, "--max-params is 'many'; write a number"),
        ({"max_skips": -1}, "--max-skips -1: it must be at least 0"),
        ({"max_latency": 0.0}, "--max-latency 0.0: it must be above 0"),
        ({"latency_batch": 8}, "--latency-batch goes with --max-latency"),
        ({"cost_weight": 2.0}, "--cost-weight goes with --max-params or --max-macs or --max-latency"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(daas.BadInput, match=message):
        search(out=tmp_path / "run", **options)
    assert not [path for path in tmp_path.rglob("*") if path.name != ".lock"]


def test_a_fixed_network_has_no_limits() -> None:
    with pytest.raises(daas.BadInput, match="--max-params limit cells that are searched"):
        daas.search(images(), network="resnet10t", max_params="1M")


def test_times_are_measured_once_per_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_SECONDS", 0.0)
    measured: list[int] = []
    whole = latency.whole_latency
    monkeypatch.setattr(latency, "whole_latency", lambda *a: measured.append(1) or whole(*a))
    run: dict[str, Any] = {"max_latency": 1e4, "latency_batch": 2, "out": tmp_path / "run"}
    found = search(**run)
    assert found.summary["cost"]["latency"] | {"error": 0} == {
        "batch": 2, "threads": 1, "device": "cpu", "error": 0,
    }  # fmt: skip
    assert 0 < found.summary["cost"]["latency_ms"] <= found.summary["cost"]["limits"]["latency_ms"] == 1e4
    before, table = len(measured), (tmp_path / "run" / "latency.json").read_bytes()
    again = search(**{**run, "resume": "auto"})
    assert (len(measured), (tmp_path / "run" / "latency.json").read_bytes()) == (before, table)
    assert again.summary["cost"] == found.summary["cost"]
    changed = json.loads(table)
    changed["base"] += 1
    (tmp_path / "run" / "latency.json").write_text(json.dumps(changed))
    with pytest.raises(daas.BadInput, match="since then its times changed"):
        search(**{**run, "resume": "auto"})
    (tmp_path / "run" / "latency.json").unlink()
    with pytest.raises(daas.BadInput, match=r"latency\.json is missing"):
        search(**{**run, "resume": "auto"})


def test_the_first_of_several_processes_measures_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from daas.search.runs import limits

    def never(*_: object) -> None:
        raise AssertionError("only the first process measures")

    of_the_first = torch.arange(2 + 2 * 5 * 7).double()
    monkeypatch.setattr(limits, "measure", never)
    monkeypatch.setattr(limits.processes, "rank", lambda: 1)
    monkeypatch.setattr(limits.processes, "total", lambda values: values + of_the_first)
    config = SearchConfig(max_latency=5.0, latency_batch=3)
    cells = ArchitectureDistribution(2)
    found = limits._measured(TrainedNetwork("daas_cell_cifar", 2, 3, 2, 8), cells, config)
    assert (found.table.base, found.error, found.batch) == (0, 1.0, 3)
    assert found.table.parts.flatten().tolist() == list(range(2, 72))


def test_a_loop_of_ones_own_keeps_limits() -> None:
    batch = images()[0][:8], images()[1][:8]
    loop = daas.Search(cells=CELLS, num_classes=3, max_params="3k")
    loop.step(batch, batch)
    found = loop.derive()
    assert found.summary["cost"]["params"] <= 3000
    assert found.genotype is not None
    made = found.create_model(num_classes=3)
    assert sum(parameter.numel() for parameter in made.parameters()) == found.summary["cost"]["params"]
    with pytest.raises(daas.BadInput, match="smallest possible"):
        daas.Search(cells=CELLS, num_classes=3, max_params=10).step(batch, batch)


def test_the_second_of_independent_stages_has_no_limits(tmp_path: Path) -> None:
    whole = SearchConfig(mode="independent", data_dir=tmp_path, out=tmp_path, max_params="1M", max_latency=5.0)
    first, second = stages(whole)
    assert first.cost_limits == whole.cost_limits
    second.check()
    assert not second.cost_limits


def test_options_of_an_earlier_version_are_taken_as_the_defaults(tmp_path: Path) -> None:
    from daas import checkpoint

    search(out=tmp_path / "run")
    place = tmp_path / "run" / "checkpoint.safetensors"
    tensors, meta = checkpoint.load(place)
    for name in ("max_params", "max_macs", "max_latency", "latency_batch", "latency_threads", "max_skips"):
        del meta["options"][name]
    del meta["options"]["cost_weight"]
    checkpoint.save(place, tensors, meta, keep_previous=False)
    assert search(out=tmp_path / "run", resume="auto").summary["steps"] == 2


def test_a_run_that_goes_on_keeps_the_limit_of_skips_that_it_began_with(tmp_path: Path) -> None:
    """Also one that began before its preset had any: its checkpoint says None, or nothing at all."""
    from daas import checkpoint

    place = tmp_path / "run" / "checkpoint.safetensors"
    new = search(preset="cpu", out=tmp_path / "run", max_steps=1)
    assert new.summary["options"]["max_skips"] == 2
    for began in (None, "missing", 3):
        tensors, meta = checkpoint.load(place)
        meta["options"]["max_skips"] = began
        if began == "missing":
            del meta["options"]["max_skips"]
        checkpoint.save(place, tensors, meta)
        again = search(preset="cpu", out=tmp_path / "run", resume="auto")
        assert again.summary["options"]["max_skips"] == (3 if began == 3 else None)
    given = search(preset="cpu", out=tmp_path / "run", resume="auto", max_skips=1)
    assert given.summary["options"]["max_skips"] == 1


def test_a_limit_of_skips_that_no_search_writes_is_refused(tmp_path: Path) -> None:
    from daas import checkpoint

    place = tmp_path / "run" / "checkpoint.safetensors"
    search(out=tmp_path / "run")
    tensors, meta = checkpoint.load(place)
    meta["options"]["max_skips"] = "many"
    checkpoint.save(place, tensors, meta)
    with pytest.raises(daas.BadInput, match="max-skips many"):
        search(out=tmp_path / "run", resume="auto")
