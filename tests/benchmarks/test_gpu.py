"""The code of every part of ``python -m benchmarks.gpu``, on the CPU and with tiny sizes; nothing is measured."""

from __future__ import annotations

import json
import math
from importlib import import_module
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import parity
from benchmarks.gpu.__main__ import PARTS, main
from benchmarks.gpu.setting import Setting

SMOKE = Setting(torch.device("cpu"), smoke=True, seconds=600.0)
SAYS = {
    "a": {"torch": "differ"},
    "b": {
        "DAASPolicy, torch, randaugment": "images/s", "Kornia AutoAugment, one policy for the batch": "images/s",
        "torchvision TrivialAugment, one policy for the batch": "times the floor",
    },
    "c": {
        "policy-gradient, N=5, M=2": "hours of the paper's search", "policy-gradient, N=5, M=3": "seconds",
        "DARTS, second order": "time / DARTS", "PC-DARTS, first order": "seconds",
        "policy-gradient, N=5, M=2, graphs": "graphs", "policy-gradient, N=5, M=3, graphs": "time / DARTS",
        "--mode aug, cells of DARTS, M=2, graphs": "seconds",
    },
    "d": {"launched": "images/s", "captured, policy (torch)": "policy's share", "compiled": "images/s"},
    "e": {"race": "trainings per minute"},
    "f": {"search, tiny": "iterations"},
}  # fmt: skip
"""By part: rows that must be there, and a figure of each."""


@pytest.mark.parametrize("part", PARTS)
def test_every_part_runs(part: str) -> None:
    rows = {row["what"]: row for row in import_module(PARTS[part]).rows(SMOKE)}
    assert not [row for row in rows.values() if "error" in row or row.get("differ")]
    for what, figure in SAYS[part].items():
        assert math.isfinite(rows[what][figure])
    json.dumps(list(rows.values()))


@pytest.mark.parametrize("part", ["b", "c", "d"])
def test_a_part_ends_when_its_time_is_up(part: str) -> None:
    all_rows = {"b": 13, "c": 15, "d": 6}[part]
    assert len(list(import_module(PARTS[part]).rows(Setting(torch.device("cpu"), True, seconds=0.0)))) < all_rows


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: there is no GPU")
    assert said.err.count("\n") == 1


def test_parts_alone_are_written_with_their_conditions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    out = tmp_path / "gpu.json"
    assert main(["--part", "a", "--device", "cpu", "--smoke", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["command"].startswith("python -m benchmarks.gpu --part a")
    assert {"card", "driver", "torch", "timm", "kornia"} <= set(found["conditions"])
    assert list(found["parts"]) == ["a"]
    assert found["parts"]["a"]["rows"][0]["differ"] == 0
    assert all(part["rows"] and part["ended"] is None and not part["failed"] for part in found["parts"].values())


@pytest.mark.parametrize("reason", [None, "3 of 400 images differ"])
def test_what_auto_takes_and_why_is_a_row(monkeypatch: pytest.MonkeyPatch, reason: str | None) -> None:
    monkeypatch.setattr("daas.augment.gpu.proof.differing", lambda like, wanted: reason)
    row = parity.comparison(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    assert row.pop("seconds") >= 0
    takes = "torch" if reason else "triton"
    assert row == {"what": "auto, normalised", "pixels": 8, "takes": takes, "reason": reason}
