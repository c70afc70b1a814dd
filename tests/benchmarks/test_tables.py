"""The plans of the tables, the records, and the pages made from them."""

from __future__ import annotations

import dataclasses
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.tables import jobs
from benchmarks.tables.jobs import Workshop
from benchmarks.tables.make import page
from benchmarks.tables.plan import TABLES, needed
from benchmarks.tables.records import Record, append, read
from benchmarks.tables.run import made_up, main
from benchmarks.tables.scale import SCALES, Scale, part_of
from daas.data import load_images
from daas.search.options import parse as parse_search


def record(table: str, row: str, seed: int, top1: float) -> Record:
    return Record(
        "smoke", table, row, seed, top1, 99.0, 60, 720.0, 3600.0, "daas train ...", [], "abc1234",
        {"train_images": 2000, "test_images": 4000},
    )  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_every_search_of_a_plan_is_a_command_that_the_search_accepts(table: str, scale: Scale, tmp_path: Path) -> None:
    workshop = Workshop(scale, tmp_path / "train.tar", tmp_path / "test.tar", tmp_path, tmp_path / "lines.jsonl")
    trainings = TABLES[table](scale)
    rows = [training.row for training in trainings]
    assert len(set(rows)) == len(rows)
    for search in {search for training in trainings for search in needed(training, scale)}:
        config = parse_search([str(word) for word in workshop._search_command(search, 3)[1:]])
        assert config.seed == 3
        assert config.mode in search.options
        assert (config.mode == "aug") == bool(search.network)


def test_a_policy_search_for_a_found_network_comes_after_that_networks_search() -> None:
    scale = SCALES["smoke"]
    dada = next(training for training in TABLES["6"](scale) if "DADA" in training.row)
    assert [search.name for search in needed(dada, scale)] == ["arch", "aug-arch-straight-through"]


def test_records_survive_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    records = [record("6", "joint", seed, 60.0 + seed) for seed in range(2)]
    for one in records:
        append(path, one)
    with path.open("a") as file:
        file.write('{"scale": "smo')
    assert read([path]) == records
    path.write_text('{"scale": "smoke"}\n')
    with pytest.raises(ValueError, match=r"lines\.jsonl, line 1"):
        read([path])


def test_the_page_has_every_run_the_paired_difference_and_the_papers_figures(tmp_path: Path) -> None:
    records = [record("6", "joint", seed, value) for seed, value in enumerate((61.0, 62.5, 62.0))]
    records += [record("6", "random network, random policy", seed, value) for seed, value in enumerate((60.0, 60.5))]
    records += [record("7", f"network {a}, policy {b}", 0, 50.0 + 3 * a + b) for a in range(3) for b in range(3)]
    text = page(records, tmp_path)
    assert "61.00, 62.50, 62.00" in text
    assert "+1.50 +- 6.35" in text  # differences 1 and 2: mean 1.5, t(0.975, 1) sqrt(0.5) / sqrt(2) = 6.35
    assert "| network 2 | 56.00    | 57.00    | 58.00    |" in text
    assert "2.44" in text  # the paper's average of NAS + DADA
    assert (tmp_path / "table-6-smoke.png").stat().st_size > 1000
    later = dataclasses.replace(records[0], top1=75.25)
    assert "75.25, 62.50" in page([*records, later], tmp_path)


def test_a_part_of_an_archive_is_balanced_and_always_the_same(tmp_path: Path) -> None:
    folder = made_up(tmp_path / "whole")
    first = part_of(folder / "made-up-train.tar", 10, tmp_path / "a.tar")
    second = part_of(folder / "made-up-train.tar", 10, tmp_path / "b.tar")
    data = load_images(data_dir=first)
    assert torch.bincount(data.labels).tolist() == [5, 5]
    with tarfile.open(first) as a, tarfile.open(second) as b:
        assert a.getnames() == b.getnames()
    with pytest.raises(ValueError, match="has 50 images"):
        part_of(folder / "made-up-train.tar", 400, tmp_path / "c.tar")


def test_a_training_that_two_tables_share_is_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []

    def run(command: list[Any]) -> None:
        words = [str(word) for word in command]
        folder = Path(words[words.index("--out" if words[0] == "daas.search" else "--output") + 1])
        if words[0] == "daas.train":
            folder = folder / words[words.index("--experiment") + 1]
            trained.append(folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        top1 = {"top1": 50.0 + len(trained), "weights": "last.safetensors"}
        result = {"last": top1, "best": top1, "epochs": 1, "time": {"seconds": 2.0}, "parameters": 3,
                  "data": {"train_images": 4, "val_images": 5}}  # fmt: skip
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
        (folder / "summary.json").write_text('{"seconds": 7.0}', encoding="utf-8")

    monkeypatch.setattr(jobs, "_run", run)
    monkeypatch.setattr(jobs, "accuracy", lambda *_: 99.0)
    scale = SCALES["smoke"]
    workshop = Workshop(scale, tmp_path / "train.tar", tmp_path / "test.tar", tmp_path, tmp_path / "lines.jsonl")
    for table in ("6", "regime"):
        workshop.train_all(table, TABLES[table](scale), 0)
    found = {(line.table, line.row): line for line in read([workshop.lines])}
    assert len(found) == 12
    assert len(trained) == len(set(trained)) == 10
    shared = found["regime", "found network: found policy"]
    assert (shared.top1, shared.command) == (found["6", "joint"].top1, found["6", "joint"].command)
    assert str(tmp_path) in shared.command


def test_rows_of_a_table_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(Workshop, "train_all", lambda self, table, rows, seed: seen.extend(row.row for row in rows))
    arguments = ["--table", "6", "--smoke", "--work", str(tmp_path)]
    assert main([*arguments, "--rows", "joint"]) == 0
    assert seen == ["joint"]
    with pytest.raises(SystemExit):
        main([*arguments, "--rows", "joined"])
