"""Paths that leave a folder, links that do, pickles under any name."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from daas.errors import BadInput
from daas.hub.contents import check_paths, files_of, new_folder, sha256


@pytest.mark.parametrize("path", ["../a", "a/../b", "/a", "a//b", "./a", "..\\a", "C:\\a", "a\nb", ""])
def test_paths_that_leave(path: str) -> None:
    with pytest.raises(BadInput, match="leaves the folder or is no plain file name"):
        check_paths("x", ["fine.txt", path])


@pytest.mark.parametrize("path", ["a.bin", "deep/b.PT", "c.pth", "d.ckpt", "e.pkl", "f.npz", "g.joblib"])
def test_pickles_by_name(path: str) -> None:
    with pytest.raises(BadInput, match="pickle by its name"):
        check_paths("x", [path])


def test_plain_paths() -> None:
    check_paths("x", ["model.safetensors", "deep/er/cells.svg", ".gitattributes", "a..b", "LICENSE"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_by_content(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "picture.png").write_bytes(pickle.dumps([1], protocol))
    with pytest.raises(BadInput, match="content is a pickle"):
        files_of(tmp_path)


def test_checkpoints_of_torch_by_content(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "notes.txt")
    with pytest.raises(BadInput, match="content is a pickle"):
        files_of(tmp_path)


def test_links_that_leave(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "inside.txt").symlink_to(folder / "a.txt")
    assert files_of(folder) == ["a.txt", "inside.txt"]
    (folder / "b.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInput, match=r"'b.txt', a link that leaves the folder"):
        files_of(folder)


def test_files_and_their_hashes(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b").write_bytes(b"abc")
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / ".cache" / "huggingface" / "x").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("x")
    assert files_of(tmp_path) == ["deep/b"]
    assert sha256(tmp_path / "deep" / "b") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
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
