"""``--mode independent``: two runs in one folder, which go on together and write over nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daas.search.options import SearchConfig
from daas.search.runs.independent import _summary

Run = Callable[..., tuple[int, Path]]
TINY = ("--mode", "independent", "--max-steps", "4")
GATHERED = ("genotype.json", "policy.json", "summary.json")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in GATHERED}


def summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


@pytest.fixture
def whole(run_search: Run) -> Path:
    code, out = run_search(*TINY, out="whole")
    assert code == 0
    return out


def test_it_is_two_runs_and_their_results_lie_above(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == {"arch", "aug", *GATHERED}
    found = contents(whole)
    assert found["genotype.json"] == (whole / "arch/genotype.json").read_bytes()
    assert found["genotype.json"] == (whole / "aug/network.json").read_bytes()
    assert found["policy.json"] == (whole / "aug/policy.json").read_bytes()
    options = summary(whole / "aug")["options"]
    assert options["model"] == "daas_cell_cifar"
    assert f"genotype={whole / 'aug/network.json'}" in options["model_kwargs"]
    assert summary(whole)["steps"] == 8


def test_what_is_said_of_the_cells_stands_in_the_whole_summary(whole: Path) -> None:
    arch, aug = summary(whole / "arch"), summary(whole / "aug")
    said = {"cost": {"params": 1}, "considered": {}, "cells_rank": {"better": 12, "n": 16}}
    found = _summary(SearchConfig(mode="independent", out=whole), {**arch, **said}, aug)
    assert {name: found[name] for name in said} == said


def test_it_goes_on_where_it_was_cut_off(run_search: Run, whole: Path) -> None:
    before = contents(whole)
    assert run_search(*TINY, out="whole")[0] == 2, "a folder that holds another run is left alone"
    (whole / "aug/summary.json").unlink()
    for name in ("policy.json", "summary.json"):
        (whole / name).unlink()
    assert run_search(*TINY, "--resume", "auto", out="whole")[0] == 0
    assert contents(whole)["policy.json"] == before["policy.json"]
    assert contents(whole)["genotype.json"] == before["genotype.json"]


def test_a_first_stage_that_goes_on_to_another_cell_gets_another_second_stage(
    run_search: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    moving = ("--mode", "independent", "--arch-lr", "3", "--resume", "auto")
    _, out = run_search(*moving, "--max-steps", "1", out="part")
    early, began = (out / "genotype.json").read_bytes(), (out / "aug/policy.json").read_bytes()
    code, _ = run_search(*moving, out="part")
    assert code == 0
    assert (out / "genotype.json").read_bytes() != early
    assert "moved to" in capsys.readouterr().out
    assert (out / "aug-before-1/policy.json").read_bytes() == began
    _, at_once = run_search("--mode", "independent", "--arch-lr", "3", out="at_once")
    assert (out / "genotype.json").read_bytes() == (at_once / "genotype.json").read_bytes()
    assert (out / "policy.json").read_bytes() == (at_once / "policy.json").read_bytes()


@pytest.mark.parametrize("resume", [(), ("--resume", "auto")])
def test_another_runs_folder_is_left_alone(
    run_search: Run, whole_search: Path, tmp_path: Path, resume: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole_search, tmp_path / "joint")
    before = contents(tmp_path / "joint")
    assert run_search(*TINY, *resume, out="joint")[0] == 2
    assert "holds another run" in capsys.readouterr().err
    assert contents(tmp_path / "joint") == before
    assert not (tmp_path / "joint" / "arch").exists()
    for name in (*before, "metrics.jsonl", "report.html"):
        (tmp_path / "joint" / name).unlink()
    assert run_search(*TINY, *resume, out="joint")[0] == 2, "its checkpoints are left alone too"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--baseline", "leave-one-out", "--policies", "1", "--aug-estimator", "policy-gradient"), "two policies"),
        (("--resume", "arch/checkpoint.safetensors"), "with --mode independent use --resume auto"),
    ],
)
def test_what_the_second_stage_cannot_do_is_said_before_the_first(
    run_search: Run, wrong: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_search("--mode", "independent", *wrong)
    assert code == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_several_seeds_go_on_where_one_is_missing(run_search: Run) -> None:
    seeds = ("--mode", "independent", "--max-steps", "1", "--seeds", "0,1")
    _, out = run_search(*seeds)
    table = (out / "seeds.json").read_text()
    shutil.rmtree(out / "seed-1" / "aug")
    (out / "seed-1" / "summary.json").unlink()
    assert run_search(*seeds, "--resume", "auto")[0] == 0

    def accuracies(text: str) -> list[float]:
        return [row["val_accuracy"] for row in json.loads(text)["searches"]]

    assert accuracies((out / "seeds.json").read_text()) == accuracies(table)
