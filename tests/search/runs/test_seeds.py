"""Several seeds: a folder each, one table, the best by validation named, resumable as a whole."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from daas.search.values import duration, seed_list
from tests.search.runs.test_one import metrics

Run = Callable[..., tuple[int, Path]]


def test_seeds_make_a_table_and_each_is_the_search_of_its_seed(
    run_search: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_search("--mode", "arch", "--seeds", "0,3", "--max-steps", "2")
    assert code == 0
    found = json.loads((out / "seeds.json").read_text())
    accuracies = [row["val_accuracy"] for row in found["searches"]]
    assert [row["seed"] for row in found["searches"]] == [0, 3]
    assert found["mean"]["val_accuracy"] == pytest.approx(statistics.fmean(accuracies))
    assert found["standard_deviation"]["val_accuracy"] == pytest.approx(statistics.stdev(accuracies))
    best = [0, 3][accuracies.index(max(accuracies))]
    assert found["recommended"]["seed"] in (0, 3)
    taken = out / found["recommended"]["folder"]
    assert (out / "genotype.json").read_bytes() == (taken / "genotype.json").read_bytes()  # copied up
    assert found["best_by_validation_accuracy"] == {"seed": best, "folder": f"seed-{best}"}
    said = capsys.readouterr().out
    assert f"Best by validation accuracy: seed {best}" in said
    assert "mean" in said
    assert run_search("--mode", "arch", "--seeds", "0,3", "--max-steps", "2")[0] == 2
    assert "holds another run (" in capsys.readouterr().err

    (out / "seed-3" / "summary.json").unlink()  # as if it had been stopped there
    more = ("--mode", "arch", "--max-steps", "4")
    code, out = run_search(*more, "--seeds", "0,3", "--resume", "auto")
    assert code == 0
    _, alone = run_search(*more, "--seed", "3", out="alone")
    assert (out / "seed-3" / "genotype.json").read_bytes() == (alone / "genotype.json").read_bytes()
    assert metrics(out / "seed-3") == metrics(alone)
    assert [row["steps"] for row in json.loads((out / "seeds.json").read_text())["searches"]] == [4, 4]


def test_a_seed_that_diverges_does_not_stop_the_others(
    run_search: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from daas.search.runs import one as module

    original = module._advance

    def advance(run: module.Run) -> None:
        if run.config.seed == 0:
            raise module._diverged(run, "made to")
        original(run)

    monkeypatch.setattr(module, "_advance", advance)
    code, out = run_search("--seeds", "0,1", "--mode", "arch", "--max-steps", "1")
    assert code == 1
    assert "seed 0 diverged" in capsys.readouterr().err
    assert [row["seed"] for row in json.loads((out / "seeds.json").read_text())["searches"]] == [1]


def test_durations_and_lists_of_seeds() -> None:
    assert duration("90m") == 5400
    assert duration("1h30m") == 5400
    assert duration("1d0.5h2s") == 86400 + 1800 + 2
    assert seed_list("4, 2,7") == (4, 2, 7)
