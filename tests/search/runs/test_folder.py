"""The output folder: nothing of another run is written over, whatever is resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from daas import checkpoint

Run = Callable[..., tuple[int, Path]]
CHECKPOINT = "checkpoint.safetensors"


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_named_checkpoint_does_not_lead_over_another_run(
    run_search: Run, whole_search: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, other = run_search("--seed", "2", "--max-steps", "2", out="other")
    before = everything(other)
    assert run_search("--resume", str(whole_search / CHECKPOINT), out="other")[0] == 2
    assert "holds another run" in capsys.readouterr().err
    assert everything(other) == before


def test_a_named_checkpoint_goes_on_in_a_new_folder_with_its_history(run_search: Run, whole_search: Path) -> None:
    _, part = run_search("--max-steps", "4", out="part")
    code, new = run_search("--resume", str(part / CHECKPOINT), out="new")
    assert code == 0
    for name in ("genotype.json", "policy.json"):
        assert (new / name).read_bytes() == (whole_search / name).read_bytes()
    steps = [[json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
             for folder in (new, whole_search)]  # fmt: skip
    assert steps[0] == steps[1]


def test_a_finished_checkpoint_needs_its_history(
    run_search: Run, whole_search: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(whole_search / CHECKPOINT, tmp_path / CHECKPOINT)
    code, out = run_search("--resume", str(tmp_path / CHECKPOINT))
    assert code == 2
    assert "nothing left to do" in capsys.readouterr().err
    assert not out.exists()
    shutil.copyfile(whole_search / "metrics.jsonl", tmp_path / "metrics.jsonl")
    assert run_search("--resume", str(tmp_path / CHECKPOINT))[0] == 0
    assert (out / "policy.json").read_bytes() == (whole_search / "policy.json").read_bytes()
    assert (out / CHECKPOINT).exists()


def test_the_checkpoint_before_the_last_one_can_be_named(run_search: Run, whole_search: Path, tmp_path: Path) -> None:
    shutil.copytree(whole_search, tmp_path / "run")
    previous = tmp_path / "run" / "checkpoint.previous.safetensors"
    code, out = run_search("--resume", str(previous))
    assert code == 0
    assert (out / "policy.json").read_bytes() == (whole_search / "policy.json").read_bytes()


def test_a_checkpoint_that_is_a_link_goes_on_in_its_folder(run_search: Run, whole_search: Path, tmp_path: Path) -> None:
    _, out = run_search("--max-steps", "4")
    (out / CHECKPOINT).rename(tmp_path / "elsewhere.safetensors")
    (out / CHECKPOINT).symlink_to(tmp_path / "elsewhere.safetensors")
    assert run_search("--resume", "auto")[0] == 0
    assert (out / "policy.json").read_bytes() == (whole_search / "policy.json").read_bytes()


def test_a_checkpoint_of_the_first_format_is_called_so(run_search: Run, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run_search("--max-steps", "2")
    tensors, meta = checkpoint.load(out / CHECKPOINT)
    checkpoint.save(out / CHECKPOINT, tensors, meta | {"format": "daas-search-checkpoint/1"})
    assert run_search("--resume", "auto")[0] == 2
    assert "by an earlier version" in capsys.readouterr().err
