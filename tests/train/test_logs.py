"""What people watch while a training runs, and what it says at its end."""

from __future__ import annotations

import csv
import json
import re
import sys
from types import ModuleType

import pytest

from tests.train.conftest import Train


@pytest.mark.parametrize("end", ["done", "interrupted"])
def test_every_run_says_where_its_time_went(
    run_train: Train, end: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if end == "interrupted":
        from daas.train import run as module

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(module, "_after_batch", stop)
    code, out = run_train()
    assert code == (0 if end == "done" else 130)
    found = re.search(r"([\d.]+) images/s .* data ([\d.]+)% and augmentation ([\d.]+)%", capsys.readouterr().out)
    assert found is not None
    assert float(found[1]) > 0
    if end == "done":
        time = json.loads((out / "result.json").read_text())["time"]
        assert 0 < time["data_share"] < 1
        assert 0 < time["augmentation_share"] < 1
        assert time["images_per_second"] == pytest.approx(float(found[1]), abs=0.06)


def test_values_go_to_weights_and_biases(run_train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[object] = []
    service = ModuleType("wandb")
    service.init = lambda **arguments: heard.append(arguments)  # type: ignore[attr-defined]
    service.log = lambda row: heard.append(dict(row))  # type: ignore[attr-defined]
    service.finish = lambda: heard.append("finish")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", service)
    monkeypatch.setattr("timm.utils.summary.wandb", service, raising=False)
    code, out = run_train("--log-wandb", "--wandb-project", "p", "--wandb-tags", "a", "b", "--wandb-resume-id", "7")
    assert code == 0
    begin, *rows, end = heard
    assert isinstance(begin, dict)
    assert (begin["project"], begin["tags"], begin["id"], begin["resume"]) == ("p", ["a", "b"], "7", "must")
    assert begin["config"]["lr"] == 0.05
    written = list(csv.DictReader((out / "summary.csv").open()))
    assert [str(row["eval_top1"]) for row in rows] == [row["eval_top1"] for row in written]  # type: ignore[index]
    assert end == "finish"
