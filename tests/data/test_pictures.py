"""Images for loaders that crop and resize them: the same files, order, labels and orientation as everywhere."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_loader

from daas.data import load_images
from daas.data.facts import facts_of
from daas.data.files import folder_source
from daas.data.overlap import refuse_training_images
from daas.data.pictures import Pictures, class_map
from daas.data.pixels import fitted
from daas.data.sources import open_source
from daas.errors import BadInput
from tests.data.conftest import Tree, below, packed, picture


def strange(root: Path) -> Path:
    """Adds what two readings would see differently."""
    exif = Image.Exif()
    exif[0x0112] = 8
    picture(1, (40, 24)).save(root / "cat" / "turned.jpg", exif=exif, quality=95)
    Image.fromarray((np.arange(400).reshape(20, 20) * 160).astype(np.uint16)).save(root / "dog" / "deep.png")
    Image.new("RGBA", (30, 20), (200, 0, 0, 90)).save(root / "dog" / "clear.webp", lossless=True)
    picture(2).save(root / "cat" / "10.bmp")
    picture(3).save(root / "cat" / "9.tif")
    picture(4).save(root / "beside.png")
    return root


def test_both_readings_are_one(tree: Tree) -> None:
    root = strange(tree([*below("."), ".hidden/1.png"]))
    for place in (root, packed(root)):
        squares, pictures = load_images(data_dir=place, image_size=16), Pictures(open_source("", place))
        assert pictures.classes == squares.class_names == ("cat", "dog")
        assert len(pictures) == len(squares) == 9
        for index, square in enumerate(squares.fetch(torch.arange(9))):
            image, label = pictures[index]
            assert label == squares.labels[index]
            assert torch.equal(torch.from_numpy(np.array(fitted(image, 16))).permute(2, 0, 1), square)
        assert facts_of(pictures) == facts_of(squares)
        assert pictures.unread == {"beside the class folders": 1}


@pytest.mark.parametrize("workers", [0, 2])
def test_timms_loader_takes_them(workers: int, tree: Tree) -> None:
    pictures = Pictures(folder_source(strange(tree(below("."))), "train"))
    loader = create_loader(
        pictures, (3, 8, 8), batch_size=4, use_prefetcher=False, num_workers=workers, persistent_workers=False
    )
    images, labels = zip(*loader, strict=True)
    assert torch.cat(images).shape == (9, 3, 8, 8)
    assert torch.cat(labels).tolist() == [0] * 5 + [1] * 4


def test_unreadable_images_are_named_or_skipped_and_counted(tree: Tree) -> None:
    root = tree(below(".", count=3))
    (root / "cat" / "1.png").write_bytes(b"no picture")
    source = folder_source(root, "train")
    with pytest.raises(BadInput, match=r"cat/1\.png cannot be read as an image"):
        Pictures(source)
    found = Pictures(source, skip_bad_images=True, threads=2)
    assert (len(found), found.skipped) == (5, 1)
    assert [found[index][1] for index in range(5)] == [0, 0, 1, 1, 1]
    (root / "dog" / "2.png").write_bytes(b"no picture any more")
    with pytest.raises(BadInput, match=r"dog/2\.png cannot be read"):
        found[4]


def test_a_class_does_not_vanish_with_its_unreadable_images(tree: Tree) -> None:
    root = tree(below(".", classes=("cat", "dog", "owl")))
    for path in (root / "owl").iterdir():
        path.write_bytes(b"")
    for read in (
        lambda: Pictures(folder_source(root, "train"), skip_bad_images=True),
        lambda: load_images(data_dir=root, image_size=8, skip_bad_images=True),
    ):
        with pytest.raises(BadInput, match=r"none of the images of owl can be read .*owl/0\.png"):
            read()


def test_labels_of_ones_own(tree: Tree, tmp_path: Path) -> None:
    root = tree(below(".", classes=("cat", "dog", "owl")))
    (tmp_path / "map.txt").write_text("owl\nape\ncat\n")
    (root / "within.txt").write_text("dog\n")
    found = Pictures(folder_source(root, "train"), labels=class_map(str(tmp_path / "map.txt"), str(root)))
    assert found.classes == ("owl", "ape", "cat")
    assert [found[index][1] for index in range(len(found))] == [2, 2, 0, 0]
    assert found.unread == {"of classes that have no label": 2}
    assert "2 files were not read" in found.warnings[0]
    assert class_map("within.txt", str(root)) == {"dog": 0}
    assert found.warnings[1].endswith("No folder belongs to 1 of 3 labels: ape.")
    with pytest.raises(BadInput, match=r"no images are left\. Its classes are cat, dog, owl; labels are given to elk"):
        Pictures(folder_source(root, "train"), labels={"elk": 0})
    (tmp_path / "map.pkl").write_bytes(b"\x80\x04\x95")
    with pytest.raises(BadInput, match="this is a pickle"):
        class_map(str(tmp_path / "map.pkl"), "")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("\ufeffcat\r\ndog\r\n", ["cat", "dog"]),
        (" dog \ncat\n\n\n", ["dog", "cat"]),
        ("cafe\u0301\ncat\n", ["caf\u00e9", "cat"]),
        ("cat\n\ndog\n", "line 2 is empty"),
        ("cat\ndog\ncat\n", "line 3 is cat again, as line 1"),
    ],
)
def test_a_class_map_is_one_name_per_line(content: str, names: list[str] | str, tmp_path: Path) -> None:
    path = tmp_path / "map.txt"
    path.write_bytes(content.encode())
    if isinstance(names, list):
        assert class_map(str(path), "") == {name: label for label, name in enumerate(names)}
        return
    with pytest.raises(BadInput, match=names):
        class_map(str(path), "")


def test_a_class_map_of_another_kind_says_what_it_holds(tree: Tree) -> None:
    source = folder_source(tree(below(".")), "train")
    with pytest.raises(
        BadInput, match=r"classes are cat, dog; labels are given to cat,0, dog,1\. A class map has the name"
    ):
        Pictures(source, labels={"cat,0": 0, "dog,1": 1})


@pytest.mark.parametrize("archive", [False, True])
def test_training_images_are_told_from_others_by_their_folders(archive: bool, tree: Tree, tmp_path: Path) -> None:
    root = tree([*below("train"), *below("val")])
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    places = [packed(root)] * 2 if archive else [root, linked]
    train, again, val = (
        open_source("", place, split=split)
        for place, split in ((places[0], "train"), (places[1], "train"), (places[0], "val"))
    )
    refuse_training_images(train, val)
    with pytest.raises(BadInput, match="Validation would use the training images"):
        refuse_training_images(train, again)


def test_pillows_words_about_damaged_metadata_stay_off_the_terminal(tree: Tree) -> None:
    root = tree(below("."))
    damaged = b"Exif\0\0II*\0\x08\0\0\0\x05\0"
    for name in ("cat", "dog"):
        picture(1, (40, 24)).save(root / name / "x.jpg", exif=damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_images(data_dir=root, image_size=8, workers=2)) == 6
        assert Pictures(folder_source(root, "train"))[2][1] == 0
    with pytest.warns(UserWarning, match="Corrupt EXIF"), Image.open(root / "cat" / "x.jpg") as image:
        image.getexif()  # elsewhere they are as they were
