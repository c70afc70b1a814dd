"""Which folders are splits, which are classes, and what is refused because it is probably neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from daas.data.files import folder_source, tar_source
from daas.data.images import Source
from daas.data.layout import HELD_OUT, role, unread_sentence
from daas.errors import BadInput
from tests.data.conftest import Tree, below, packed


def read(root: Path, split: str = "train") -> Source:
    """The folder, after its archive gave the same."""
    folder, archive = folder_source(root, split), tar_source(packed(root), split)
    assert folder.class_names == archive.class_names
    assert list(folder.labels) == list(archive.labels)
    assert (folder.held_out, folder.unread, folder.notes) == (archive.held_out, archive.unread, archive.notes)
    return folder


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training", "TESTING"), ("Trainset", "Testset"), ("train_data", "valid_data"), ("TRAIN_IMAGES", "VAL_IMAGES"),
        ("flowers_train", "flowers_val"), ("train-224", "test-224"), ("Fruit-Training", "Fruit-Test"),
        ("trainImages", "testImages"), ("train2017", "val2017"), ("train", "evaluation"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inner", ["", "again", "images"])
def test_folders_that_are_splits(train: str, test: str, inner: str, tree: Tree) -> None:
    """In any case, with the words people add, and one level further down."""
    folders = [f"{name}/{name if inner == 'again' else inner}".strip("/") for name in (train, test)]
    root = tree([*below(folders[0], count=3), *below(folders[1], count=1)])
    found = read(root)
    assert (found.class_names, len(found.labels), found.held_out) == (("cat", "dog"), 6, True)
    for split in ("val", "validation", "test", HELD_OUT):
        assert len(read(root, split).labels) == 2


@pytest.mark.parametrize(
    "classes",
    [("train", "bus"), ("train_station", "test_tube"), ("test_strip", "ruler"), ("trainer", "tester"), ("Val", "Tom")],
)
def test_classes_whose_names_sound_like_splits(classes: tuple[str, ...], tree: Tree) -> None:
    found = read(tree(f"{name}/{index}.png" for name in classes for index in range(2)))
    assert (set(found.class_names), found.held_out) == (set(classes), False)


def test_parts_with_pictures_of_their_own_are_classes(tree: Tree) -> None:
    found = read(tree(["mri_train/1.png", "mri_test/1.png"]))
    assert found.class_names == ("mri_test", "mri_train")


@pytest.mark.parametrize("outer", ["", "archive/", "archive/download/"])
@pytest.mark.parametrize(
    "paths",
    [below("camera_a", "camera_b"), [*below("part1"), *below("part2", classes=("cat",))], below("x", "y", "z")],
)
def test_folders_with_their_sisters_subfolders_are_no_classes(outer: str, paths: list[str], tree: Tree) -> None:
    root = tree(outer + path for path in paths)
    with pytest.raises(BadInput, match=r"folders of the same names \(cat.*probably the classes"):
        folder_source(root, "train")
    with pytest.raises(BadInput, match="probably the classes"):
        tar_source(packed(root), "train")


def test_within_a_split_they_are_none_either(tree: Tree) -> None:
    with pytest.raises(BadInput, match="train: fold1 and fold2 hold no images of their own"):
        folder_source(tree([*below("train/fold1", "train/fold2"), *below("val")]), "train")


def test_classes_may_have_folders_of_their_own(tree: Tree) -> None:
    paths = ["cat/images/1.png", "dog/images/1.png", "owl/2019/1.png", "owl/2020/1.png", "owl/2.png", "elk/2020/1.png"]
    found = read(tree([*paths, "elk/2021/1.png", "elk/1.png"]))
    assert found.class_names == ("cat", "dog", "elk", "owl")
    assert found.unread == {}


def test_the_asked_split_or_the_next_best(tree: Tree) -> None:
    root = tree([*below("train", count=4), *below("validation", count=3), *below("test", count=1)])
    assert [len(read(root, split).labels) for split in ("train", "val", "test", HELD_OUT)] == [8, 6, 2, 6]


def test_a_split_of_any_name_is_a_folder(tree: Tree) -> None:
    root = tree([*below("part1", count=3), *below("part2", count=1)])
    assert len(read(root, "part1").labels) == 6
    assert read(root, "part2").held_out
    with pytest.raises(BadInput, match=r"split 'part3' .* is unknown"):
        folder_source(root, "part3")


def test_images_to_validate_on_are_never_those_to_train_on(tree: Tree) -> None:
    root = tree(below("."))
    for split in ("val", "validation", "test"):
        with pytest.raises(BadInput, match=f"no folder for the {split} split"):
            folder_source(root, split)


def test_what_lies_beside_is_counted(tree: Tree) -> None:
    paths = [*below("data/train"), *below("data/test"), "data/pred/pred/1.png", "data/pred/pred/2.png"]
    found = read(tree([*paths, "sheet.png", "data/train/sheet.png", "data/cat.png"]))
    assert found.class_names == ("cat", "dog")
    assert found.unread == {"in pred/": 2, "beside the class folders": 3}
    assert unread_sentence(found.unread) == "5 files were not read: 3 beside the class folders, 2 in pred/."


@pytest.mark.parametrize("litter", [".ipynb_checkpoints", "__MACOSX", ".git", "@eaDir", "$RECYCLE.BIN"])
def test_litter_is_no_class_and_no_loss(litter: str, tree: Tree) -> None:
    found = read(tree([*below("."), f"{litter}/1.png", f"cat/{litter}/2.png", "cat/._0.png"]))
    assert (found.class_names, len(found.labels), found.unread, found.notes) == (("cat", "dog"), 4, {}, ())


def test_classes_that_are_missing_are_said(tree: Tree) -> None:
    root = tree(
        [*below("train"), "train/owl/", "train/elk/notes.txt", "train/fox/1.CR2", "train/fox/2.dng", "val/ape/"]
    )
    found = read(root)
    assert found.class_names == ("cat", "dog")
    assert found.unread == {".cr2": 1, ".dng": 1}
    assert "no class: elk, owl." in found.notes[0]
    assert "There is no class fox: nothing in its folder can be read (1 .cr2, 1 .dng)" in found.notes[1]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_that_is_empty_in_one_split_is_named(split: str, tree: Tree) -> None:
    other = {"train": "test", "test": "train"}[split]
    root = tree([*below(split), *below(other, classes=("cat", "dog", "owl")), f"{split}/owl/"])
    assert folder_source(root, other).class_names == ("cat", "dog", "owl")
    for source in (lambda: folder_source(root, split), lambda: tar_source(packed(root), split)):
        with pytest.raises(BadInput, match=f"{split} holds no images of owl, and another split does"):
            source()


def test_nothing_that_can_be_read(tree: Tree) -> None:
    with pytest.raises(BadInput, match=r"holds no images in class folders.* 2 files were not read: 2 \.nef"):
        folder_source(tree(["cat/1.NEF", "dog/1.nef"]), "train")
    for name in ("data/train-00000-of-00001.parquet", "data-00000-of-00001.arrow"):
        with pytest.raises(BadInput, match=r"--dataset hfds/FOLDER reads parquet.*load_from_disk"):
            folder_source(tree([name]), "train")


def test_the_order_is_that_of_names_as_text(tree: Tree) -> None:
    found = read(tree(f"{label}/{index}.png" for label in (10, 9, 2) for index in (10, 9)))
    assert found.class_names == ("10", "2", "9")
    assert [found.describe(index).rpartition("/")[2] for index in range(2)] == ["10.png", "9.png"]


def test_roles_need_exactly_one_word_that_says_a_split() -> None:
    assert [role(name) for name in ("train_test", "", "strain", "trainval", "classes")] == [None] * 5
    assert role("Validierung") is None
    assert role("MY_VALID_SET") == ("val", ("my",))


def test_accents_in_two_spellings_are_one_class(tree: Tree) -> None:
    """macOS writes an é as two characters; the same name from another system is the same class."""
    apart, whole = "cafe\u0301", "caf\u00e9"
    root = tree(
        [f"train/{apart}/1.png", f"train/{whole}/2.png", "train/tea/1.png", f"val/{apart}/1.png", "val/tea/1.png"]
    )
    assert read(root).class_names == read(root, "val").class_names == (whole, "tea")
    assert list(read(root).labels) == [0, 0, 1]


def test_classes_that_differ_in_case_alone_are_said(tree: Tree) -> None:
    found = read(tree(["cat/1.png", "Cat/1.png", "dog/1.png"]))
    assert found.class_names == ("Cat", "cat", "dog")
    assert [note for note in found.notes if note.startswith("Cat and cat are classes")]


@pytest.mark.parametrize("other", ["cat ", " cat", "cat\u200b", "\uff43\uff41\uff54", "Cat_"])
def test_classes_that_look_alike_are_said(other: str, tree: Tree) -> None:
    found = read(tree(["cat/1.png", f"{other}/1.png", "dog/1.png"]))
    assert len(found.class_names) == 3
    (note,) = (note for note in found.notes if "are classes whose names differ in spaces" in note)
    assert repr("cat") in note
    assert repr(other) in note


def test_classes_that_differ_otherwise_are_not_said(tree: Tree) -> None:
    names = ["golden retriever", "golden", "a+", "a-", "1-2", "12", "1 2"]
    assert not read(tree(f"{name}/1.png" for name in names)).notes
    assert read(tree(["golden retriever/1.png", "golden_retriever/1.png"]) / ".").notes


@pytest.mark.parametrize("outer", ["train/", ""])
def test_a_set_inside_itself_is_no_class_and_hides_none(outer: str, tree: Tree) -> None:
    with pytest.raises(BadInput, match="/copy holds no images of its own, but folders called like the classes beside"):
        read(tree([*below(outer or ".", count=3), f"{outer}copy/cat/1.png"]))
    with pytest.raises(BadInput, match="/train holds no images of its own"):
        read(tree([*below("a/train", count=3), "a/train/train/cat/1.png", *below("a/val")]) / "a")


def test_the_split_without_class_folders_is_named(tree: Tree) -> None:
    """Competitions have labelled training images and a folder of others."""
    with pytest.raises(BadInput, match=r"/test holds no images in class folders"):
        read(tree([*below("train"), "test/1.png", "test/2.png"]), "val")


def test_a_split_that_is_empty_is_named_with_the_way_out(tree: Tree) -> None:
    root = tree(below("train"))
    (root / "val").mkdir()
    with pytest.raises(BadInput, match=r"images in train alone, and none for the val split. Put images into val/CLASS"):
        read(root, "val")


@pytest.mark.parametrize("name", ["dev", "devel", "holdout", "validate", "dev_set"])
def test_further_names_of_the_validation_split(name: str, tree: Tree) -> None:
    root = tree([*below("train", count=3), *below(name, count=1)])
    assert len(read(root).labels) == 6
    assert len(read(root, HELD_OUT).labels) == 2


def test_a_training_folder_beside_others_is_no_class_without_a_word(tree: Tree) -> None:
    root = tree([*below("train"), "unlabeled/0.png", "unlabeled/1.png"])
    with pytest.raises(BadInput, match=r"photos/train holds no images of its own.*beside unlabeled.*name it"):
        folder_source(root, "train")


@pytest.mark.parametrize(
    ("outer", "inner"), [(("cat", "dog"), ("train", "val")), (("images", "masks"), ("train", "val"))]
)
def test_splits_below_classes_or_kinds_of_files(outer: tuple[str, str], inner: tuple[str, str], tree: Tree) -> None:
    root = tree([path for name in outer for path in below(name, classes=inner)])
    with pytest.raises(
        BadInput, match=f"{outer[0]} and {outer[1]} hold no images of their own, but each its own train"
    ):
        folder_source(root, "train")


def test_a_link_to_nothing_in_the_place_of_a_class_is_named(tree: Tree) -> None:
    root = tree(below("."))
    (root / "owl").symlink_to(root / "unmounted")
    with pytest.raises(BadInput, match=r"cannot be opened: owl \(a link to .*unmounted, which is not there\)"):
        folder_source(root, "train")


def test_a_folder_that_is_two_classes_is_said(tree: Tree) -> None:
    root = tree(below("."))
    (root / "kitty").symlink_to("cat")
    assert [note for note in folder_source(root, "train").notes if "classes cat and kitty are the same images" in note]
