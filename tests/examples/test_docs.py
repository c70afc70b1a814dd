"""The Python and the commands of docs/policies.md run as they are printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import daas
from daas.augment import PolicySchedule, find_policy
from daas.augment.__main__ import main

TEXT = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
LIST = [[("Rotate", 0.5, 0.7), ("Cutout", 0.1, 0.2)]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(code, {})


def test_commands_run(two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    two_classes.rename(tmp_path / "my_photos")
    (tmp_path / "archive.py").write_text(f"def fa_reduced_cifar10():\n    p = {LIST}\n    return p\n")
    (tmp_path / "genotype.py").write_text(f"CIFAR10 = a_name = {LIST}\n")
    (tmp_path / "rcifar10_16_wrn.txt").write_text(str(["1", "0", 3, 3, [0] * 60, [5] * 60]))
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    find_policy("randaugment").save(tmp_path / "runs" / "mine" / "policy.json")
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 10
    for command in commands:
        words = shlex.split(command, comments=True)
        assert words[:2] == ["daas", "augment"]
        assert main(words[2:]) == 0, command
    assert PolicySchedule.load(tmp_path / "schedule.json").epochs == 200
    assert main(shlex.split("convert schedule.json --epoch 120 one.json")) == 0


def test_every_shipped_policy_is_named() -> None:
    assert all(f"`{name}`" in TEXT for name in daas.list_policies() if not name.startswith("daas_"))
