from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import collapse
from benchmarks.collapse import derived, differences, go, go_cpu, page, pushed
from benchmarks.regret_lines import Lines
from daas.search.report.warnings import skip_share
from daas.search.spaces.cells import ArchitectureDistribution


def cells(scale: float = 0.1) -> ArchitectureDistribution:
    random = torch.Generator().manual_seed(2)
    made = ArchitectureDistribution(4, generator=random)
    with torch.no_grad():
        made.alpha.copy_(scale * torch.randn(made.alpha.shape, generator=random))
    return made


def test_cells_are_pushed_until_half_of_the_normal_ones_edges_are_skips():
    made = cells()
    before = skip_share(derived(made, None), "normal")
    raised = pushed(made)
    assert before < 0.5 <= skip_share(derived(made, None), "normal")
    with torch.no_grad():
        made.alpha[0, :, made.primitives.index("skip_connect")] -= 0.05
    assert skip_share(derived(made, None), "normal") < 0.5
    assert raised > 0
    assert pushed(made) == pytest.approx(0.05)


def test_trainings_are_done_once_where_cells_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trained: list[Any] = []
    monkeypatch.setattr(collapse, "searched", lambda seed, folder: (cells(), 9.0))
    monkeypatch.setattr(collapse, "trained", lambda genotype, seed: trained.append(seed) or 90.0 + len(trained))
    lines = Lines(tmp_path / "lines.jsonl")
    go(4, tmp_path, lines)
    assert trained == [0, 0, 1, 1, 2, 2]  # without the limit and with it; as they are, the cells do not differ
    go(4, tmp_path, Lines(tmp_path / "lines.jsonl"))
    assert len(trained) == 6
    assert differences(lines, "pushed") == {4: 1.0}
    states = {line["state"]: line["skips"] for line in lines if line["kind"] == "cells"}
    assert states["searched"]["none"] == states["searched"]["2"]
    assert states["pushed"]["2"][0] == 0.25
    assert states["pushed"]["0"] == [0.0, 0.0]


def test_the_table_says_what_was_seen(tmp_path: Path):
    lines = Lines(tmp_path / "lines.jsonl")
    skips = {name: [0.5, 0.125] for name in collapse.LIMITS}
    for seed in (0, 1):
        lines.append({"kind": "cells", "seed": seed, "state": "pushed", "skips": skips})
    training = {"kind": "training", "state": "pushed", "training": 0}
    for seed, limit, accuracy in ((0, "none", 90.0), (0, "2", 92.0), (1, "none", 90.0), (1, "2", 91.0), (2, "2", 1.0)):
        lines.append({**training, "seed": seed, "limit": limit, "accuracy": accuracy})
    assert differences(lines, "pushed") == {0: 2.0, 1: 1.0}
    assert differences(lines, "searched") == {}
    text = page(lines)
    assert "Seeds 0, 1. Half or more of the normal cell's edges are skips without a limit in 2 of 2." in text
    assert "Over 2 searches: 1.50 (sd 0.71, n = 2) points, 95% interval -4.85 to +7.85." in text


def test_of_cpu_there_are_searches_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []
    monkeypatch.setattr(
        collapse, "searched", lambda seed, folder, preset: asked.append((seed, preset)) or (cells(), 9.0)
    )
    lines = Lines(tmp_path / "lines.jsonl")
    for _ in range(2):
        go_cpu(7, tmp_path, lines)
    assert asked == [(7, "cpu")]
    assert [(line["kind"], line["state"]) for line in lines] == [("cells", "cpu, searched")]
    assert next(iter(lines))["command"] == "python -m benchmarks.collapse --seed 7 --preset cpu"
    text = page(lines)
    assert "## Searches of cpu as they are" in text
    assert "in 0 of 1." in text
    assert "Accuracy" not in text
