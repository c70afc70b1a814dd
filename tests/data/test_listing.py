"""What lies in folders and archives: nothing that looks like an image is passed over without a word."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Literal

import pytest

from daas.data import load_images
from daas.data.files import folder_source, tar_source
from daas.data.listing import listed_folder, listed_tar
from daas.errors import BadInput
from tests.data.conftest import Tree, below, packed, png


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", **changes: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in changes.items():
        setattr(member, key, value)
    archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("kind", ["CR3", "ARW", "Psd", "svg", "ico", "jxl", "DCM", "exr", "EPS"])
def test_endings_that_nobody_reads_are_counted(kind: str, tree: Tree) -> None:
    root = tree([*below("."), f"cat/a.{kind}", f"dog/b.{kind}", "cat/notes.txt", "cat/labels.csv", "cat/Thumbs.db.bak"])
    (root / "cat" / "Thumbs.db.bak").write_bytes(b"no picture")
    for source in (folder_source(root, "train"), tar_source(packed(root), "train")):
        assert source.unread == {f".{kind.lower()}": 2}
        assert len(source.labels) == 4


def test_endings_that_are_read(tree: Tree) -> None:
    names = ["1.PNG", "2.JPG", "3.jpe", "4.MPO", "5.webp", "6.TIFF", "7.pbm", "8.Bmp", "9.heif", "10.jfif", "11.j2k"]
    assert len(listed_folder(tree(f"cat/{name}" for name in names)).images) == len(names)


def test_images_whose_names_do_not_say_so_are_counted(tree: Tree) -> None:
    root = tree([*below("."), "cat/IMG_0001", "cat/photo.jpg_original", "dog/photo.backup", "dog/README"])
    (root / "dog" / "README").write_text("no picture")
    (root / "dog" / "photo.backup").write_bytes(b"\xff\xd8\xff\xe0 and so on")
    for source in (folder_source(root, "train"), tar_source(packed(root), "train")):
        assert source.unread == {"without an ending that tells an image": 3}


def test_what_is_no_file_is_never_opened(tree: Tree) -> None:
    root = tree(below("."))
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "cat" / "gone.jpg").symlink_to("nowhere.jpg")
    (root / "dog" / "again.png").symlink_to(root / "cat" / "0.png")
    found = folder_source(root, "train")
    assert found.unread == {"pipes, sockets or devices": 1, "broken links": 1}
    assert len(found.labels) == 5


@pytest.mark.parametrize("closed", ["cat", "cat/inner"])
def test_folders_that_cannot_be_opened(closed: str, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree([*below("."), "cat/inner/1.png", "owl/1.png"])
    scandir = os.scandir

    def refusing(path: str = ".") -> object:
        if str(path) == str(root / closed):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    if closed == "cat":
        with pytest.raises(BadInput, match=r"class folders that cannot be opened: cat \(Permission denied\)"):
            folder_source(root, "train")
    else:
        found = load_images(data_dir=root)
        assert any("cat/inner could not be opened (Permission denied)" in text for text in found.warnings)
    monkeypatch.setattr(os, "scandir", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(BadInput, match="cannot be opened"):
        folder_source(root, "train")


def test_links_in_archives(tmp_path: Path) -> None:
    """Hard links lead to their images; symbolic ones are named, also those that stand for whole classes."""
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        for index, name in enumerate(("cat/0.png", "dog/0.png")):
            add(archive, f"set/{name}", png(index))
        add(archive, "set/cat/1.png", type=tarfile.LNKTYPE, linkname="set/dog/0.png")
        add(archive, "set/cat/2.png", type=tarfile.LNKTYPE, linkname="nowhere.png")
        add(archive, "set/dog/1.png", type=tarfile.SYMTYPE, linkname="../cat/0.png")
        add(archive, "set/dog/2.png", type=tarfile.FIFOTYPE)
    found = tar_source(path, "train")
    assert found.unread == {"links to nothing": 1, "symbolic links": 1, "pipes, sockets or devices": 1}
    assert [found.read(index).tobytes() for index in range(3)] == [
        found.read(index).tobytes() for index in (0, 2, 2)
    ]  # fmt: skip
    with tarfile.open(path, "a") as archive:
        add(archive, "set/owl", type=tarfile.SYMTYPE, linkname="dog")
    with pytest.raises(BadInput, match=r"set/owl \(a symbolic link\)"):
        tar_source(path, "train")


def test_members_that_claim_to_be_larger_than_the_archive(tmp_path: Path) -> None:
    """A sparse member's size is not what lies in the archive: it is counted, and never allocated."""
    path = tmp_path / "sparse.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("cat/0.png", "dog/0.png"):
            add(archive, name, png())
        add(archive, "dog/1.png", type=tarfile.GNUTYPE_SPARSE)
    content = bytearray(path.read_bytes())
    start = content.rindex(b"dog/1.png")
    content[start + 483 : start + 495] = b"00777777777\0"  # real size: 1 GiB
    header = content[start : start + 512]
    header[148:156] = b" " * 8
    content[start + 148 : start + 156] = f"{sum(header):06o}\0 ".encode()
    path.write_bytes(content)
    assert tar_source(path, "train").unread == {"sparse members": 1}


def test_archives_that_are_cut_or_continued(tree: Tree) -> None:
    """At every member's end, within members, in a damaged header, with another archive behind the first."""
    path = packed(tree(below(".", count=3)))
    whole = path.read_bytes()
    assert len(listed_tar(path).images) == 6
    with tarfile.open(path) as archive:
        starts = [member.offset for member in archive][1:]
    for end in (*starts, *(start + 700 for start in starts), starts[-1] + 1):
        path.write_bytes(whole[:end])
        with pytest.raises(BadInput, match=r"no whole \.tar"):
            listed_tar(path)
    damaged = bytearray(whole)
    damaged[starts[2] + 150] ^= 1  # its checksum
    for content in (bytes(damaged), whole + whole):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"no whole \.tar"):
            listed_tar(path)
    path.write_bytes(whole + bytes(10240))
    assert len(listed_tar(path).images) == 6


def test_sources_go_to_other_processes(tree: Tree) -> None:
    import pickle

    root = tree(below("."))
    for source in (folder_source(root, "train"), tar_source(packed(root), "train")):
        again = pickle.loads(pickle.dumps(source))  # as multiprocessing does it
        assert again.picture(3).tobytes() == source.picture(3).tobytes()
        assert again.describe(3) == source.describe(3)


def _archive(path: Path, members: list[tuple[str, bytes]], mode: Literal["w", "w:gz"] = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_paths_of_members_are_read_as_tar_unpacks_them(tmp_path: Path) -> None:
    """Absolute ones below the folder, of two of one name the later; those with .. are counted."""
    members = [("/cat/1.png", b"old"), ("dog/1.png", b"x"), ("./cat/1.png", b"newer"), ("cat/../dog/2.png", b"y")]
    found = listed_tar(_archive(tmp_path / "a.tar", [*members, ("../notes.txt", b"")]))
    assert sorted(found.images) == [("cat", "1.png"), ("dog", "1.png")]
    assert dict(zip(found.images, found.places, strict=True))["cat", "1.png"][1] == len(b"newer")
    assert [kind for _, kind in found.unread] == ["paths with ..", "older copies of the same name"]


def test_packed_files_are_named_with_the_way_out(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.tar", [("cat/1.png", b"x")], "w:gz")
    with pytest.raises(BadInput, match=r"but a gzip file. Unpack it"):
        listed_tar(path)
    packed = path.rename(tmp_path / "a.tar.gz")
    with pytest.raises(BadInput, match=r"a.tar.gz is a gzip file and no folder.* unpack"):
        folder_source(packed, "train")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("labels.csv", r"labels.csv is a file and no folder. Where the classes stand in a table .*docs/data.md"),
        ("images.npz", r"images.npz holds arrays. .*daas.search\(\(images, labels\)\)"),
        ("flat", r"1 beside the class folders. Where the classes stand in a table .*docs/data.md"),
        ("https://example.org/a.zip", r"there is no such folder.*Addresses are not read: download it first"),
        ("nowhere", r"there is no such folder. It must hold one folder per class, with images inside\.$"),
    ],
)
def test_what_is_no_folder_of_classes_comes_with_the_way_out(tree: Tree, name: str, said: str) -> None:
    root = tree(["flat/1.png"])
    for file in ("labels.csv", "images.npz"):
        (root / file).write_bytes(b"x")
    with pytest.raises(BadInput, match=said):
        folder_source(Path(name) if "://" in name else root / name, "train")


def test_a_class_that_lies_in_an_archive_is_said(tree: Tree) -> None:
    root = tree(["cat/1.png", "dog/1.png"])
    (root / "owl").mkdir()
    (root / "owl" / "owl.zip").write_bytes(b"PK")
    assert any("no class owl" in note and ".zip" in note for note in folder_source(root, "train").notes)


def test_a_path_that_goes_through_a_class_folder_loses_no_class(tree: Tree) -> None:
    root = tree(below("."))
    assert folder_source(root / "dog" / "..", "train").class_names == ("cat", "dog")


def test_backslashes_in_archives_lead_into_folders(tmp_path: Path) -> None:
    names = [f"train\\{kind}\\{index}.png" for kind in ("cat", "dog") for index in range(2)]
    path = _archive(tmp_path / "windows.tar", [(name, png(seed)) for seed, name in enumerate(names)])
    found = tar_source(path, "train")
    assert (found.class_names, list(found.labels)) == (("cat", "dog"), [0, 0, 1, 1])
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "unpacked" / "cat\\0.png").write_bytes(png())
    with pytest.raises(BadInput, match="backslashes in names"):
        folder_source(tmp_path / "unpacked", "train")


@pytest.mark.parametrize(
    ("image", "label"),
    [("{}.png", "{}.cls"), ("t{}/{}.png", "t{}/{}.cls"), ("{}.seg.png", "{}.cls"), ("{}.png", "{}.json")],
)
def test_shards_of_webdataset_are_named(image: str, label: str, tmp_path: Path) -> None:
    members = [
        (name.format(i % 2, i) if "/" in name else name.format(i), png(i)) for i in range(4) for name in (image, label)
    ]
    path = _archive(tmp_path / "shard.tar", members)
    with pytest.raises(BadInput, match=r"archive of WebDataset.*wds/NAME"):
        tar_source(path, "train")
    with pytest.raises(BadInput, match=r"Name one \.tar file itself"):
        folder_source(tmp_path, "train")


def test_json_beside_images_in_class_folders_is_no_shard(tmp_path: Path) -> None:
    members = [(f"{kind}/{i}.{end}", png(i)) for kind in ("cat", "dog") for i in range(2) for end in ("png", "json")]
    assert len(tar_source(_archive(tmp_path / "a.tar", members), "train").labels) == 4
