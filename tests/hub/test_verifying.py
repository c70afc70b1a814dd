"""Every way in which a repository folder can be wrong is found, and said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import daas
from daas.errors import BadInput
from daas.files import sha256
from daas.hub import verify

Edit = Callable[[str, str, str], Path]


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def reseal(folder: Path) -> None:
    """Writes checksums that fit what is there now, as somebody could who means to deceive."""

    def fit(values: dict[str, Any]) -> None:
        values["files"] = {name: sha256(folder / name) for name in values["files"]}

    change_json(folder / "verification.json", fit)


def test_a_good_folder(exported: Path) -> None:
    report = verify(exported)
    assert report.faults == []
    text = str(report)
    for what in ("checksums of 10 files", "genotype 'small'", "policy 'chance', 225 sub-policies", "equal to the bit"):
        assert what in text


def test_tampered_weights(repository: Path) -> None:
    path = repository / "model.safetensors"
    state = load_file(path)
    state["head.fc.weight"][0, 0] += 0.25
    save_file(state, path)
    faults = verify(repository).faults
    assert faults[0].startswith("model.safetensors is not the file that was exported: SHA-256 ")
    assert "the model's logits are off by" in faults[1]
    reseal(repository)
    assert ["logits are off" in fault for fault in verify(repository).faults] == [True]


def test_weights_that_are_no_numbers(repository: Path) -> None:
    path = repository / "model.safetensors"
    state = load_file(path)
    state["head.fc.bias"] += float("nan")
    save_file(state, path)
    reseal(repository)
    assert "logits are off by nan" in verify(repository).faults[0]


def test_weights_with_other_names_and_shapes(repository: Path) -> None:
    path = repository / "model.safetensors"
    state = load_file(path)
    state["extra"] = state.pop("head.fc.bias")
    state["head.fc.weight"] = torch.zeros(10, 3)
    save_file(state, path)
    faults = " | ".join(verify(repository).faults)
    assert "lacks 1 tensor(s) of the network, first head.fc.bias (does the genotype belong to these weights?)" in faults
    assert "has 1 tensor(s) that the network does not, first extra" in faults
    assert "head.fc.weight has shape (10, 3); the network's is (10, 16)" in faults


def test_a_genotype_of_other_cells(repository: Path) -> None:
    other = daas.Genotype.random(torch.Generator().manual_seed(1), nodes=2, name="small")
    other.save(repository / "genotype.json")
    assert any("genotype.json and the genotype in config.json differ" in fault for fault in verify(repository).faults)
    change_json(repository / "config.json", lambda v: v["model_args"].update(genotype=other.to_dict()))
    reseal(repository)
    assert any("does the genotype belong to these weights?" in fault for fault in verify(repository).faults)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["model_args"].pop("genotype"), "genotype in genotype.json and none in config.json"),
        (lambda v: v["model_args"].update(genotype="/etc/passwd"), "must stand there whole, as a JSON object"),
        (
            lambda v: v["model_args"]["genotype"].update(normal=[]),
            "config.json: genotype, normal cell: expected a list",
        ),
        (lambda v: v["model_args"].update(channels=1), "describes no model that timm can build: channels=1"),
        (lambda v: v["model_args"].update(nonsense=1), "describes no model that timm can build"),
        (lambda v: v["model_args"].update(channels=64), "does the genotype belong to these weights?"),
        (lambda v: v.update(architecture="no_such_net"), "known neither to timm nor to daas"),
        (lambda v: v.update(model_args=3), "no model configuration of timm"),
        (lambda v: v.pop("pretrained_cfg"), "no model configuration of timm"),
        (lambda v: v["pretrained_cfg"].update(hf_hub_filename="x.bin"), "hf_hub_filename leads to other weights"),
        (lambda v: v["pretrained_cfg"].update(url="http://127.0.0.1/x"), "url leads to other weights"),
        (lambda v: v["pretrained_cfg"].update(custom_load=True), "custom_load leads to other weights"),
        (lambda v: v["pretrained_cfg"].update(mean=None), "as lists of numbers"),
        (lambda v: v["pretrained_cfg"].update(input_size=[3, 10**6, 10**6]), "each from 1 to 4096"),
        (lambda v: v["pretrained_cfg"].update(std=[1, 1, 0]), "std none that is 0"),
        (lambda v: v["model_args"].update(num_classes=7), "num_classes is 10, model_args.num_classes is 7"),
        (lambda v: v.update(num_classes="10"), "num_classes is '10'; it is a whole number"),
        (lambda v: v.update(label_names=["a", "b"]), "the number of label_names is 2"),
    ],
)
def test_a_false_configuration(repository: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    change_json(repository / "config.json", change)
    reseal(repository)
    assert message in " | ".join(verify(repository).faults)


def test_a_false_policy(edited: Edit) -> None:
    folder = edited("policy.json", '"op": "ShearX"', '"op": "Explode"')
    faults = verify(folder).faults
    assert faults[0].startswith("policy.json is not the file that was exported")
    assert "unknown operation 'Explode'" in faults[1]


def test_an_edited_card_is_a_note(edited: Edit) -> None:
    report = verify(edited("README.md", "# small", "# Small, and good"))
    assert report.faults == []
    assert "README.md was edited after the export" in report.notes[0]


def test_files_that_come_and_go(repository: Path) -> None:
    (repository / "more.txt").write_text("more")
    (repository / "cells.svg").unlink()
    (repository / "LICENSE").unlink()
    faults = verify(repository).faults
    assert faults == [
        "missing: LICENSE",
        "gone since the export: cells.svg",
        "in no checksum, so added after the export: more.txt",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format="daas-hub/9"), "reads the format 'daas-hub/1'"),
        (lambda v: v.update(files={"a": 1}), "are texts"),
        (lambda v: v.update(logits=[["x"]]), "no table of numbers"),
        (lambda v: v.update(logits=[[0.0]]), "must be 2 rows of finite numbers; found shape (1, 1)"),
        (lambda v: v.update(logits=[[0.0], [1e999]]), "no number of JSON"),
        (lambda v: v.update(logits=[[0.0], [0.0]]), "logits of shape (2, 10); written down (2, 1)"),
    ],
)
def test_a_false_verification_file(repository: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    change_json(repository / "verification.json", change)
    assert message in " | ".join(verify(repository).faults)


@pytest.mark.parametrize("name", ["config.json", "verification.json", "genotype.json", "policy.json"])
def test_broken_json(repository: Path, name: str) -> None:
    (repository / name).write_bytes(b'{"a": \xff')
    assert any(f"{name}" in fault and "no JSON" in fault for fault in verify(repository).faults)


def test_broken_weights(repository: Path) -> None:
    (repository / "model.safetensors").write_bytes(b"\x80\x02nothing")
    assert any("this is a pickle" in fault for fault in verify(repository).faults)


def test_an_empty_folder(tmp_path: Path) -> None:
    report = verify(tmp_path)
    assert report.faults[0] == (
        "missing: config.json, model.safetensors, README.md, LICENSE, recipe.yaml, verification.json"
    )


def test_the_folder_of_a_training_is_called_so(run_folder: Path) -> None:
    assert "the folder of a training, of which daas hub export makes a repository" in verify(run_folder).faults[0]
    with pytest.raises(BadInput, match="is a file; name the folder that it lies in"):
        verify(run_folder / "last.safetensors")


def test_neither_folder_nor_repository(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="write user/name"):
        verify(tmp_path / "nothing")
