"""Checkpoints: exact both ways, whole or refused, and an older one survives a failed write."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from daas import checkpoint, files
from daas.errors import BadInput


def test_tensors_and_values_come_back_exactly(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4).T, "b": torch.arange(5), "empty": torch.zeros(0, 2)}
    meta = {"x": [1, 2.5, None, "text"], "y": {"z": True}}
    checkpoint.save(tmp_path / "c", tensors, meta)
    again, values = checkpoint.load(tmp_path / "c")
    assert values == meta
    assert set(again) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(again[name], tensor)
        assert again[name].dtype == tensor.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "c"
    checkpoint.save(path, {"a": torch.randn(100)}, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match="no whole checkpoint"):
        checkpoint.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(BadInput, match=r"no checkpoint of daas.*begins with weights by --initial-checkpoint"):
        checkpoint.load(tmp_path / "plain.safetensors")
    with pytest.raises(BadInput, match="no such checkpoint"):
        checkpoint.load(tmp_path / "none")


def test_an_older_checkpoint_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    checkpoint.save(path, {"a": torch.ones(2)}, {"n": 1})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(BadInput, match=r"No space left.*there before is whole"):
        checkpoint.save(path, {"a": torch.zeros(2)}, {"n": 2})
    assert checkpoint.load(path)[1] == {"n": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["c"]


def test_one_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c"
    checkpoint.save(path, {"a": torch.randn(100)}, {"n": 1})
    content = bytearray(path.read_bytes())
    content[-7] ^= 4
    path.write_bytes(content)
    with pytest.raises(BadInput, match="its checksum is wrong"):
        checkpoint.load(path)
    content[-7] ^= 4
    changed = bytes(content).replace(b'{\\"n\\": 1}', b'{\\"n\\": 2}')
    assert changed != bytes(content)
    path.write_bytes(changed)
    with pytest.raises(BadInput, match="its checksum is wrong"):
        checkpoint.load(path)


def test_the_last_two_are_kept_and_the_newest_whole_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    for n in range(3):
        checkpoint.save(path, {"a": torch.full((50,), n)}, {"n": n}, keep_previous=True)
    before = checkpoint.previous(path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"c.safetensors", "c.previous.safetensors"}
    assert checkpoint.load(before)[1] == {"n": 1}
    found = checkpoint.load_latest(path)
    assert (found.path, found.meta, found.damage) == (path, {"n": 2}, "")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    found = checkpoint.load_latest(path)
    assert (found.path, found.meta, int(found.tensors["a"][0])) == (before, {"n": 1}, 1)
    assert "no whole checkpoint" in found.damage
    path.unlink()  # killed between the two renamings
    assert checkpoint.load_latest(path).damage == ""
    assert checkpoint.load_latest(path).meta == {"n": 1}
    before.write_bytes(b"")
    path.write_bytes(b"")
    with pytest.raises(BadInput, match="The one before it cannot be read either"):
        checkpoint.load_latest(path)
    before.unlink()
    with pytest.raises(BadInput, match="no whole checkpoint"):
        checkpoint.load_latest(path)


@pytest.mark.parametrize("stop", range(5))
def test_killed_anywhere_in_a_write_one_whole_checkpoint_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Before the flush, before and between the two renamings, after them, and with half a file written aside."""
    path = tmp_path / "c.safetensors"
    for n in range(2):
        checkpoint.save(path, {"a": torch.full((50,), n)}, {"n": n}, keep_previous=True)
    calls = []

    def kill_at(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            if len(calls) == stop:
                raise SystemExit  # nothing catches it, as nothing catches SIGKILL
            calls.append(original)
            return original(*arguments)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(files.os, name, kill_at(getattr(os, name)))
    if stop < 4:
        with pytest.raises(SystemExit):
            checkpoint.save(path, {"a": torch.full((50,), 2)}, {"n": 2}, keep_previous=True)
    else:
        (tmp_path / "c.safetensors.part").write_bytes(path.read_bytes()[:99])
    found = checkpoint.load_latest(path)
    assert found.meta["n"] == [1, 1, 1, 2, 1][stop]
    assert torch.equal(found.tensors["a"], torch.full((50,), found.meta["n"]))
    monkeypatch.undo()
    checkpoint.save(path, {"a": torch.full((50,), 9)}, {"n": 9}, keep_previous=True)
    assert checkpoint.load_latest(path).meta == {"n": 9}
    assert checkpoint.load(checkpoint.previous(path))[1] == {"n": found.meta["n"]}


@pytest.mark.parametrize("kind", ["sgd", "adam", "radam"])
def test_a_restored_optimizer_takes_the_same_steps(kind: str) -> None:
    make = {
        "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, 0.1),
        "radam": lambda p: torch.optim.RAdam(p, 0.1),
    }[kind]
    torch.manual_seed(0)
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    optimizer = make(first.parameters())
    x = torch.randn(5, 3)

    def step(model: torch.nn.Module, by: torch.optim.Optimizer) -> None:
        by.zero_grad()
        model(x).square().sum().backward()
        by.step()

    step(first, optimizer)
    second.load_state_dict(first.state_dict())
    other = make(second.parameters())
    tensors = dict(checkpoint.optimizer_tensors(optimizer, first, "o"))
    checkpoint.restore_optimizer(other, second, "o", tensors)
    assert not tensors
    for _ in range(3):
        step(first, optimizer)
        step(second, other)
    assert torch.equal(first.weight, second.weight)
