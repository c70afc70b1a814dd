"""Where images come from: the digits, folders, archives, every mode of picture, and clear refusals."""

from __future__ import annotations

import dataclasses
import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from daas.data import DiskImages, MemoryImages, load_images
from daas.data import sources as module
from daas.data.files import HELD_OUT
from daas.data.sources import open_source, refuse_among_images
from daas.errors import BadInput


def tar_of(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.add(file, file.relative_to(folder))
    return path


def test_digits_never_change() -> None:
    train, test = load_images("digits"), load_images("digits", split="test")
    assert (len(train), len(test), train.image_size) == (1297, 500, 16)
    assert train.class_names == tuple("0123456789")
    both = torch.cat([train.fetch(torch.arange(1297)), test.fetch(torch.arange(500))])
    assert both.shape == (1797, 3, 16, 16)
    assert int(both.long().sum()) == int(load_both_ways().long().sum())
    assert load_images("digits", image_size=8).image_size == 8


def load_both_ways() -> torch.Tensor:
    """All digits in scikit-learn's order, enlarged in the same way: the split loses and doubles none."""
    from sklearn.datasets import load_digits

    small = torch.from_numpy(load_digits().images).float().mul(255 / 16).unsqueeze(1)
    large = torch.nn.functional.interpolate(small, (16, 16), mode="bilinear").round().clamp(0, 255)
    return large.to(torch.uint8).expand(-1, 3, -1, -1)


def test_a_folder_and_its_archive_give_the_same(two_classes: Path, tmp_path: Path) -> None:
    folder = load_images(data_dir=two_classes, workers=2)
    archive = load_images(data_dir=tar_of(two_classes, tmp_path / "two.tar"))
    assert folder.class_names == archive.class_names == ("bright", "dark")
    everything = torch.arange(80)
    assert torch.equal(folder.fetch(everything), archive.fetch(everything))
    assert torch.equal(folder.labels, archive.labels)
    assert folder.image_size == 32
    first = sorted((two_classes / "bright").iterdir())[0]
    exact = load_images(data_dir=two_classes, image_size=16).fetch(torch.tensor([0]))[0]
    assert torch.equal(exact, torch.from_numpy(np.array(Image.open(first))).permute(2, 0, 1))


def test_split_folders_are_found(two_classes: Path, tmp_path: Path) -> None:
    root = tmp_path / "splits"
    root.mkdir()
    two_classes.rename(root / "train")
    for name in ("dark", "bright"):
        (root / "val" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16), (9, 9, 9)).save(root / "val" / name / "a.png")
    assert len(load_images(data_dir=root)) == 80
    assert len(load_images(data_dir=root, split="val")) == 2
    assert len(load_images(data_dir=tar_of(root, tmp_path / "s.tar"), split="val")) == 2


def test_without_split_folders_there_is_no_validation_split(two_classes: Path) -> None:
    with pytest.raises(BadInput, match="no folder for the val split"):
        load_images(data_dir=two_classes, split="val")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA", "I;16"])
def test_pictures_of_every_mode_and_shape(mode: str, tmp_path: Path) -> None:
    for index, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        image = Image.effect_noise((50, 30 + 20 * index), 60)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        else:
            image = image.convert("RGB").convert(mode)
        image.save(tmp_path / name / ("x.jpg" if mode == "CMYK" else "x.png"))
    data = load_images(data_dir=tmp_path, image_size=24)
    images = data.fetch(torch.arange(2))
    assert images.shape == (2, 3, 24, 24)
    assert images.float().std() > 5


ARROW = np.array([[255, 0, 0], [255, 255, 0], [255, 0, 0], [255, 0, 0]], dtype=np.uint8).repeat(8, 0).repeat(8, 1)
"""32 x 24 pixels that look different under all eight orientations."""


def stored(orientation: int) -> Image.Image:
    """The picture as a camera stores it that was held in this EXIF orientation."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    image = Image.fromarray(ARROW).convert("RGB")
    return image if orientation == 1 else image.transpose(undo[orientation])


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_photographs_are_turned_upright(suffix: str, tmp_path: Path) -> None:
    """All eight EXIF orientations give the same upright image, from a folder and from an archive."""
    (tmp_path / "p" / "b").mkdir(parents=True)
    Image.fromarray(ARROW).convert("RGB").save(tmp_path / "p" / "b" / "reference.png")
    (tmp_path / "p" / "a").mkdir()
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"quality": 100} if suffix in ("jpg", "webp") else {}
        stored(orientation).save(tmp_path / "p" / "a" / f"{orientation}.{suffix}", exif=exif, **options)
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        archive.add(tmp_path / "p", ".")
    for place in (tmp_path / "p", tmp_path / "p.tar"):
        data = load_images(data_dir=place, image_size=24)
        images = data.fetch(torch.arange(9)).int()
        assert (images[:8] - images[8]).abs().max() < 40  # lossy formats; a wrong turn differs by 255
        assert data.originals is not None
        assert data.originals["smallest"] == data.originals["largest"] == [24, 32]
        assert data.originals["turned"] == (7 if suffix != "tif" else 0)  # Pillow turns TIFF itself


def test_damaged_exif_data_turn_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(ARROW).save(tmp_path / name / "x.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f", quality=100)
    images = load_images(data_dir=tmp_path, image_size=24).fetch(torch.arange(2))
    assert torch.equal(images[0], images[1])


def test_what_the_images_were_like_is_known(two_classes: Path) -> None:
    Image.new("L", (200, 50)).save(two_classes / "dark" / "wide.png")
    Image.new("RGBA", (3000, 2000)).save(two_classes / "dark" / "large.png")
    found = load_images(data_dir=two_classes, image_size=8, workers=3).originals
    assert found == {
        "smallest": [16, 16], "largest": [3000, 2000], "modes": {"RGB": 80, "L": 1, "RGBA": 1}, "turned": 0,
        "counted": 82, "of": 82,
    }  # fmt: skip
    assert load_images("digits").originals is None


def test_photographs_that_nothing_here_reads_are_named(two_classes: Path) -> None:
    (two_classes / "dark" / "IMG_0001.HEIC").write_bytes(b"\x00\x00\x00\x18ftypheic")
    with pytest.raises(BadInput, match=r"IMG_0001\.HEIC cannot be read"):
        load_images(data_dir=two_classes)


def test_large_sets_are_decoded_when_asked_for(two_classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory = load_images(data_dir=two_classes, image_size=16)
    monkeypatch.setattr(module, "_MEMORY_LIMIT", 1000)
    lazy = load_images(data_dir=two_classes, image_size=16, workers=3)
    assert isinstance(lazy, DiskImages)
    chosen = torch.tensor([5, 70, 3])
    assert torch.equal(lazy.fetch(chosen), in_memory.fetch(chosen))
    part = lazy.subset(torch.tensor([70, 5]))
    assert torch.equal(part.fetch(torch.tensor([1])), in_memory.fetch(torch.tensor([5])))


def test_what_lies_around_the_class_folders_is_looked_through_or_left_alone(two_classes: Path, tmp_path: Path) -> None:
    plain = load_images(data_dir=two_classes, image_size=16)
    (two_classes / "contact_sheet.png").write_bytes(b"no class")
    (two_classes / "dark" / "._00000.png").write_bytes(b"a resource fork")
    (two_classes / "__MACOSX" / "dark").mkdir(parents=True)
    (two_classes / "__MACOSX" / "dark" / "x.png").write_bytes(b"another")
    assert load_images(data_dir=two_classes, image_size=16).class_names == ("bright", "dark")
    wrapped = tmp_path / "wrapped" / "photos"
    wrapped.parent.mkdir()
    two_classes.rename(wrapped)
    (wrapped / "contact_sheet.png").unlink()
    for source in (wrapped.parent, tar_of(wrapped.parent, tmp_path / "w.tar")):
        data = load_images(data_dir=source, image_size=16)
        assert torch.equal(data.fetch(torch.arange(80)), plain.fetch(torch.arange(80)))


def test_a_class_may_be_called_train(two_classes: Path) -> None:
    (two_classes / "dark").rename(two_classes / "train")
    assert load_images(data_dir=two_classes).class_names == ("bright", "train")


def test_unreadable_images_are_named_or_counted(two_classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (two_classes / "dark" / "00000.png").read_bytes()
    (two_classes / "dark" / "00000.png").write_bytes(whole[: len(whole) // 2])
    (two_classes / "bright" / "zz.jpg").write_text("no picture")
    with pytest.raises(BadInput, match=r"(00000\.png|zz\.jpg) cannot be read as an image"):
        load_images(data_dir=two_classes)
    data = load_images(data_dir=two_classes, skip_bad_images=True, workers=3)
    assert (len(data), data.skipped) == (79, 2)
    monkeypatch.setattr(module, "_MEMORY_LIMIT", 1000)
    lazy = load_images(data_dir=two_classes, skip_bad_images=True, workers=3)
    assert isinstance(lazy, DiskImages)
    assert (len(lazy), lazy.skipped) == (79, 2)
    assert torch.equal(lazy.fetch(torch.arange(79)), data.fetch(torch.arange(79)))
    with pytest.raises(BadInput, match=r"zz\.jpg cannot be read"):
        load_images(data_dir=two_classes).fetch(torch.arange(81))


def test_one_class_is_not_enough(two_classes: Path) -> None:
    for file in (two_classes / "dark").iterdir():
        file.unlink()
    with pytest.raises(BadInput, match=r"has 1 class \(bright\)"):
        load_images(data_dir=two_classes)


def test_images_without_a_range_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.random.default_rng(0).random((20, 20), dtype=np.float32)).save(tmp_path / name / "x.tif")
    with pytest.raises(BadInput, match="floating-point pixels"):
        load_images(data_dir=tmp_path)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda root: root / "missing", "no such folder"),
        (lambda root: root / "missing.tar", "no such archive"),
        (lambda root: root, "holds no images in class folders"),
    ],
)
def test_missing_images(prepare: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        load_images(data_dir=prepare(tmp_path))  # type: ignore[operator]  # a function of the folder


def test_a_broken_archive_and_an_unknown_data_set(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(io.BytesIO(b"nonsense" * 200).getvalue())
    with pytest.raises(BadInput, match=r"no whole \.tar"):
        load_images(data_dir=tmp_path / "x.tar")
    with pytest.raises(BadInput, match="could not be opened"):
        load_images("torch/no_such_set", tmp_path)


def test_class_folders_may_be_links(two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("dark", "bright"):
        (linked / name).symlink_to(two_classes / name)
    (linked / "dark" / "back").symlink_to(linked)  # circles end, also those above a relative folder
    (linked / "up").symlink_to("..")
    monkeypatch.chdir(tmp_path)
    assert load_images(data_dir="linked", image_size=16).class_names == ("bright", "dark")
    one, other = (load_images(data_dir=place, image_size=16) for place in (linked, two_classes))
    assert one.class_names == other.class_names
    assert torch.equal(one.fetch(torch.arange(80)), other.fetch(torch.arange(80)))


def test_a_place_named_for_validation_is_read_where_it_is_divided_and_whole_where_it_is_not(
    two_classes: Path, tmp_path: Path
) -> None:
    assert len(load_images(data_dir=two_classes, split=HELD_OUT)) == 80
    divided = tmp_path / "divided"
    for part, sizes in (("train", 5), ("test", 3)):
        for folder in two_classes.iterdir():
            (divided / part / folder.name).mkdir(parents=True)
            for path in sorted(folder.iterdir())[:sizes]:
                path.rename(divided / part / folder.name / path.name)
    assert not load_images(data_dir=two_classes).held_out
    for place in (divided, tar_of(divided, tmp_path / "d.tar")):
        assert len(load_images(data_dir=place, split=HELD_OUT)) == 6
        assert load_images(data_dir=place).held_out
    shutil.rmtree(divided / "test")
    assert len(load_images(data_dir=divided, split=HELD_OUT)) == 10


def test_the_digest_is_of_classes_labels_and_images(two_classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_images(data_dir=two_classes, image_size=16)
    assert isinstance(data, MemoryImages)
    others = [
        dataclasses.replace(data, images=data.images ^ (torch.arange(80) == 79).view(-1, 1, 1, 1)),
        dataclasses.replace(data, labels=1 - data.labels),
        dataclasses.replace(data, class_names=("bright", "darker")),
        load_images(data_dir=two_classes, image_size=8),
        data.subset(torch.arange(79)),
    ]
    assert data.digest() == load_images(data_dir=two_classes, image_size=16, workers=3).digest()
    assert len({data.digest(), *(other.digest() for other in others)}) == 6
    monkeypatch.setattr(module, "_MEMORY_LIMIT", 1000)
    lazy = load_images(data_dir=two_classes, image_size=16)
    assert lazy.digest() == load_images(data_dir=two_classes, image_size=16).digest()
    next((two_classes / "dark").iterdir()).unlink()
    assert load_images(data_dir=two_classes, image_size=16).digest() != lazy.digest()


def test_files_on_disk_are_told_by_size_and_beginning(two_classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MEMORY_LIMIT", 1000)

    def told() -> str:
        return load_images(data_dir=two_classes, image_size=16).digest()

    before = told()
    path = next((two_classes / "dark").iterdir())
    content = path.read_bytes()
    path.touch()
    assert told() == before
    path.write_bytes(content + b"\0")
    assert told() != before
    path.write_bytes(content)
    assert told() == before
    source = open_source("", two_classes)
    first = list(source.fingerprint(range(4)))
    path = Path(source.describe(0))
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert [a == b for a, b in zip(first, source.fingerprint(range(4)), strict=True)] == [True, False, *[True] * 6]


def test_a_copy_in_another_place_is_the_same_set(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MEMORY_LIMIT", 1000)
    copied = shutil.copytree(two_classes, tmp_path / "elsewhere" / "copy")
    packed = tar_of(two_classes, tmp_path / "packed.tar")
    assert len({load_images(data_dir=place, image_size=16).digest() for place in (two_classes, copied, packed)}) == 1
    first = min((copied / "dark").iterdir())
    first.rename(first.with_name("0" + first.name))
    told = [load_images(data_dir=place, image_size=16).digest() for place in (two_classes, copied)]
    assert told[0] != told[1]


def test_one_class_to_validate_on_is_said(two_classes: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        shutil.copytree(two_classes, tmp_path / "set" / split)
    shutil.rmtree(tmp_path / "set" / "val" / "dark")
    val = load_images(data_dir=tmp_path / "set", split="val")
    assert val.class_names == ("bright",)
    assert any("one class in the val images, bright" in text for text in val.warnings)
    shutil.rmtree(tmp_path / "set" / "train" / "dark")
    with pytest.raises(BadInput, match=r"1 class \(bright\) in its train images"):
        load_images(data_dir=tmp_path / "set")


def test_results_do_not_go_among_the_images(two_classes: Path) -> None:
    source = open_source("", two_classes)
    for place in (two_classes / "runs", two_classes, two_classes / "dark" / "x"):
        with pytest.raises(BadInput, match=r"--out .* lies among the class folders"):
            refuse_among_images(place, source)
    refuse_among_images(two_classes.parent / "runs", source)
    refuse_among_images(None, source)


def test_a_name_that_is_too_long_is_no_folder() -> None:
    with pytest.raises(BadInput, match="no such folder"):
        load_images(data_dir="x" * 300)
