"""One reader of JSON and one of YAML: what is no such file is said in one line, and quickly."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from daas import checkpoint, reading
from daas.augment import Policy, PolicySchedule
from daas.errors import BadInput
from daas.models import Genotype

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 93000\n"
NO_JSON = {
    "nested": (b"[" * 100_000, "deep within each other"),
    "nested and closed": (b"[" * 70 + b"]" * 70, "more than 64 deep"),
    "huge integer": (b'{"a": ' + b"9" * 5000 + b"}", "5000 digits"),
    "more than 64 bits": (b'{"a": 9223372036854775808}', "64 bits"),
    "overflow": (b'{"a": 1e999}', "1e999 overflows"),
    "nan": (b'{"a": NaN}', "NaN is no number of JSON"),
    "infinity": (b'{"a": -Infinity}', "-Infinity is no number of JSON"),
    "a key twice": (b'{"a": 1, "a": 2}', "'a' stands twice"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "UTF-16"),
    "utf-16 without its mark": ('{"a": 1}'.encode("utf-16-le"), "zero bytes, as UTF-16"),
    "utf-32": ('{"a": 1}'.encode("utf-32"), "UTF-32"),
    "gzip": (b"\x1f\x8b\x08" + bytes(9), "gunzip"),
    "latin-1": (b'{"a": "d\xf6g"}', "no UTF-8 text"),
    "empty": (b"", "no JSON"),
    "cut off": (b'{"a": [1', "no JSON"),
    "pointer of Git LFS": (POINTER, "git lfs pull"),
    "pickle": (pickle.dumps({"a": 1}), "pickle"),
    "web page": (b"\n<!DOCTYPE html><html>log in</html>", "web page"),
}


@pytest.mark.parametrize("load", [Genotype.load, Policy.load, PolicySchedule.load])
@pytest.mark.parametrize("case", NO_JSON)
def test_what_is_no_json_is_said_in_a_line(tmp_path: Path, case: str, load: type) -> None:
    content, said = NO_JSON[case]
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=said) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("load", [Genotype.load, Policy.load])
def test_what_is_no_file_is_said_in_a_line(tmp_path: Path, load: type) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "none", "no such"),
        (tmp_path, "but a folder"),
        (tmp_path / "pipe", "but a pipe"),
        (tmp_path / ("n" * 300), "name too long"),
        ("a\0b", "null"),
    ):
        with pytest.raises(BadInput, match=f"(?i){said}"):
            load(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(reading.LIMIT + 1)  # takes no room on the disk
    with pytest.raises(BadInput, match="67,108,865 bytes are too many"):
        reading.read_json(path, "genotype")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, -2.5, true, null]}')
    assert reading.read_json(path, "policy") == {"a": [1, -2.5, True, None]}


NO_YAML = {
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "a key twice": "lr: 1\nlr: 2\n",
    "nesting": "[" * 500 + "]" * 500,
    "an object": "a: !!python/object/apply:os.system [true]\n",
    "forced tags": 'a: !!int ""\n',
    "no date": "a: 2001-99-99\n",
    "no whole number": f"a: {'9' * 5000}\n",
    "control characters": "a: \x07\n",
}


@pytest.mark.parametrize("case", NO_YAML)
def test_what_is_no_plain_yaml_is_said_in_a_line(tmp_path: Path, case: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(NO_YAML[case])
    with pytest.raises(BadInput, match="is no YAML") as caught:
        reading.read_yaml(path, "recipe")
    assert "\n" not in str(caught.value)


def test_yaml_of_options_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("lr: 0.1\naa: daas:policy.json\nbetas: [0.9, 0.99]\nmodel_kwargs: {layers: 3}\nempty:\n")
    assert reading.read_yaml(path, "recipe") == {
        "lr": 0.1, "aa": "daas:policy.json", "betas": [0.9, 0.99], "model_kwargs": {"layers": 3}, "empty": None,
    }  # fmt: skip


def test_weights_that_are_something_else_say_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(POINTER)
    with pytest.raises(BadInput, match="git lfs pull"):
        checkpoint.read_tensors(path)
    torch.save({"a": torch.zeros(2)}, path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(BadInput, match="Convert weights to safetensors"):
        checkpoint.load(path)
    path.write_bytes(pickle.dumps({"a": 1}, protocol=2))
    with pytest.raises(BadInput, match="pickle"):
        checkpoint.read_tensors(path)


@pytest.mark.parametrize("length", range(2, 1026, 128))
def test_weights_are_never_taken_for_a_pickle(tmp_path: Path, length: int) -> None:
    """The first bytes of a safetensors file are a length, and may be those that a pickle begins with."""
    path = tmp_path / "model.safetensors"
    for more in range(0, 700, 7):
        save_file({"a": torch.zeros(1)}, path, {"x": "y" * (length + more)})
        assert reading.look_alike(path.read_bytes()[:512]) == ""
