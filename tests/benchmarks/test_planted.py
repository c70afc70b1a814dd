"""The runs of the planted operations: which are done, and what an option changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import planted
from daas.data.images import MemoryImages
from daas.search.algorithm.estimators import PolicyGradient


class Built(Exception):
    """The search would start now."""


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    fixed = [
        "planted",
        "--data-dir",
        "none",
        "--operations",
        "Invert",
        "--estimators",
        "policy-gradient",
        "--seeds",
        "0",
    ]
    monkeypatch.setattr(sys, "argv", [*fixed, *arguments])
    planted.main()


def test_a_run_with_a_baseline_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []

    def run(images: object, key: dict[str, Any], options: object) -> dict[str, Any]:
        started.append("baseline" in key)
        return {**key, "share": 0.5, "rank": 1}

    monkeypatch.setattr(planted, "RESULTS", tmp_path / "planted.jsonl")
    monkeypatch.setattr(planted, "run", run)
    monkeypatch.setattr(planted, "load_images", lambda **_: None)
    monkeypatch.setattr(planted, "write", lambda *_: None)
    for arguments in ([], ["--baseline"], [], ["--baseline"]):
        call(monkeypatch, *arguments)
    assert started == [False, True]
    lines = [json.loads(line) for line in (tmp_path / "planted.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line.get("baseline") for line in lines] == [None, "leave-one-out"]


@pytest.mark.parametrize("baseline", [False, True])
def test_the_baseline_reaches_the_search(baseline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def build(seed: int, classes: int, data: object, estimator: PolicyGradient, *_: object) -> None:
        seen.append(estimator.baseline)
        raise Built

    images = MemoryImages("two", torch.zeros(8, 3, 8, 8, dtype=torch.uint8), torch.arange(8) % 2, ["a", "b"])
    monkeypatch.setattr(planted, "build", build)
    monkeypatch.setattr(planted, "load_images", lambda **_: images)
    monkeypatch.setattr(planted, "_read", list)
    with pytest.raises(Built):
        call(monkeypatch, "--images", "4", *(["--baseline"] if baseline else []))
    assert seen == [baseline]


def test_the_rank_is_the_place_by_share_and_the_mean_place_of_equal_ones() -> None:
    assert [planted.rank_of(name, {"a": 0.3, "b": 0.5, "c": 0.2}) for name in "abc"] == [2, 1, 3]
    assert planted.rank_of("c", dict.fromkeys("abcdefghijklmno", 1 / 15)) == 8
    assert planted.rank_of("a", {"a": 0.25, "b": 0.25, "c": 0.5}) == 2.5
