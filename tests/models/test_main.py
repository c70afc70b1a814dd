"""``daas models``: the table, drawings, differences, exit codes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from daas.models.__main__ import main
from daas.models.table import Row
from daas.models.zoo import find_genotype


def test_the_table_has_every_model_and_its_printed_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--json", "--count"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == counted, (
        "daas.models.table.counts(rows(count=True)) gives daas/models/counts.json"
    )
    rows = {row["model"]: row for row in counted}
    assert len(rows) >= 44
    assert rows["darts_v2_cifar"]["params"] == 3_349_342
    assert rows["darts_v2_cifar"]["macs"] == 528_359_040
    assert rows["darts_v2_imagenet"]["printed"] == {"params_m": 4.7, "macs_m": 574, "top1": 73.3}
    unlike = {name: Row(**row).differing() for name, row in rows.items()}
    assert unlike["darts_v2_imagenet"] == ["macs_m"]
    assert unlike["snas_mild_imagenet"] == ["params_m", "macs_m"]
    assert unlike["fairdarts_b_imagenet"] == unlike["darts_v2_cifar"] == []
    assert {name for name, keys in unlike.items() if keys} == {name for name, row in rows.items() if row["note"]}
    assert rows["pnasnet5_imagenet"]["layers"] == 9
    published = {
        "wide_resnet40_2_cifar": 2.2, "wide_resnet28_10_cifar": 36.5, "shake_shake26_2x32d_cifar": 2.9,
        "shake_shake26_2x96d_cifar": 26.2, "shake_shake26_2x112d_cifar": 35.6,
    }  # fmt: skip
    for name, millions in published.items():
        assert round(rows[name]["params"] / 1e6, 1) == millions
    assert rows["pyramid_net272_a200_cifar"]["params"] == 26_210_842
    monkeypatch.setattr("daas.models.__main__.rows", lambda count: [Row(**row) for row in rows.values()])
    assert main([]) == 0
    text = capsys.readouterr().out.splitlines()
    assert len(text) >= len(rows) + 2
    assert len({len(line) for line in text}) == 1
    assert any("darts_v2_cifar" in line and "3.35" in line and "528" in line for line in text)
    assert any("darts_v2_imagenet" in line and "≠ 574" in line and "| 4.7 |" in " ".join(line.split()) for line in text)


def test_drawings_show_both_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cell.svg"
    assert main(["--draw", "nasnet_a_cifar", str(out)]) == 0
    text = ET.parse(out).getroot().itertext()
    words = " ".join(text)
    assert "normal cell" in words
    assert "reduction cell" in words
    genotype = find_genotype("nasnet_a")
    for node in (*genotype.normal, *genotype.reduce):
        for primitive, _ in node:
            assert primitive in words
    find_genotype("darts_v1").save(tmp_path / "mine.json")
    assert main(["--draw", str(tmp_path / "mine.json"), str(out)]) == 0
    for model in ("daas_cifar10_nano", "daas_cell_cifar", "darts_v2_imagenet"):
        assert main(["--draw", model, str(out)]) == 0
    for arguments, message in (
        (["darts_v2", "x.png"], ".svg"),
        (["resnet18", "x.svg"], "neither"),
        (["nothing", "x.svg"], "neither a file nor"),
    ):
        assert main(["--draw", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert main(["--draw", "darts_v2", str(tmp_path / "no" / "x.svg")]) == 2
    assert "could not be written" in capsys.readouterr().err
    assert main(["--draw", "darts_v2", str(out), "--json"]) == 2
    assert "a drawing is an .svg file" in capsys.readouterr().err


def test_differences(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--diff", "darts_v1", "darts_v2_imagenet"]) == 0
    assert "normal node 3: + sep_conv_3x3 from 0" in capsys.readouterr().out
    assert main(["--diff", "darts_v1", "darts_v1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["--diff", "darts_v1_cifar", "darts_v1"]) == 0
    assert capsys.readouterr().out == "the same cells\n"
