"""Paths that leave a folder, links that do, pickles under any name."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from daas.errors import BadInput
from daas.files import sha256
from daas.hub.contents import new_folder
from daas.repository import check_paths, files_of, litter_of


@pytest.mark.parametrize("path", ["../a", "a/../b", "/a", "a//b", "./a", "..\\a", "C:\\a", "a\nb", ""])
def test_paths_that_leave(path: str) -> None:
    with pytest.raises(BadInput, match="leaves the folder or is no plain file name"):
        check_paths("x", ["fine.md", path])


@pytest.mark.parametrize("path", ["a.bin", "deep/b.PT", "c.pth", "d.ckpt", "e.pkl", "f.npz", "g.joblib"])
def test_pickles_by_name(path: str) -> None:
    with pytest.raises(BadInput, match="pickle by its name"):
        check_paths("x", [path])


def test_plain_paths() -> None:
    check_paths(
        "x",
        [
            "model.safetensors",
            "deep/er/cells.svg",
            ".gitattributes",
            "a..b.md",
            "LICENSE",
            "LICENSE.txt",
            "summary.csv",
        ],
    )


CODE = [
    "train.py",
    "deep/run.sh",
    "demo.ipynb",
    "lib.so",
    "a.pyc",
    "setup.cfg",
    "x.js",
    "index.html",
    "a.tar",
    "Makefile",
]


@pytest.mark.parametrize(
    "path", [*CODE, "model.h5", "weights.onnx", "a.tar", "LICENSE.py", "README", "deep/summary.csv"]
)
def test_what_is_not_on_the_list_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match=r"A repository may hold weights.*remove the file"):
        check_paths("x", ["README.md", path])


def test_what_a_desktop_leaves_behind_is_left_out(tmp_path: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._README.md", "README.md"):
        (tmp_path / name).write_bytes(b"\0\0\0\1Bud1")
    assert files_of(tmp_path) == ["README.md"]
    assert litter_of(tmp_path) == [".DS_Store", "._README.md", "Thumbs.db", "desktop.ini"]


@pytest.mark.parametrize("content", ["<svg><script>1</script></svg>", '<svg onload="x()"/>', "<!ENTITY a 'b'><svg/>"])
def test_a_picture_that_runs_something_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "cells.svg").write_text("<svg><text>on = 1</text></svg>")
    assert files_of(tmp_path) == ["cells.svg"]
    (tmp_path / "cells.svg").write_text(content)
    with pytest.raises(BadInput, match="active content"):
        files_of(tmp_path)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match="no regular file"):
        files_of(tmp_path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_by_content(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "picture.png").write_bytes(pickle.dumps([1], protocol))
    with pytest.raises(BadInput, match="content is a pickle"):
        files_of(tmp_path)


def test_checkpoints_of_torch_by_content(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "notes.md")
    with pytest.raises(BadInput, match="content is a pickle"):
        files_of(tmp_path)


def test_links_that_leave(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.md").write_text("a")
    (folder / "inside.md").symlink_to(folder / "a.md")
    assert files_of(folder) == ["a.md", "inside.md"]
    (folder / "b.md").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInput, match=r"'b.md', a link that leaves the folder"):
        files_of(folder)


def test_files_and_their_hashes(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.md").write_bytes(b"abc")
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / ".cache" / "huggingface" / "x").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("x")
    assert files_of(tmp_path) == ["deep/b.md"]
    assert sha256(tmp_path / "deep" / "b.md") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(BadInput, match="no such folder"):
        files_of(tmp_path / "nothing")


def test_an_empty_folder_in_which_somebody_works_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with new_folder(Path()) as place:
        (place / "deep").mkdir()
        (place / "deep" / "a").write_text("a")
        assert not any(here.iterdir())
    assert Path("deep/a").read_text() == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    with pytest.raises(BadInput, match="nothing is written over"), new_folder(Path()):
        pass
