"""Opening one file: promised decoders alone, large images at a fraction of their size or not at all."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image

from daas.data import formats as module
from daas.data import load_images
from daas.data.census import Census
from daas.data.files import folder_source
from daas.data.formats import DRAFT_AREA, FORMATS, STORED_SIZE, read_image
from daas.errors import BadInput
from tests.data.conftest import Tree, below, picture

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n"


def written(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    content = io.BytesIO()
    image.save(content, kind, **options)
    content.seek(0)
    return content


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_every_promised_format_is_read(kind: str) -> None:
    Image.init()
    if kind not in Image.SAVE and kind not in Image.SAVE_ALL:
        pytest.skip(f"Pillow was built without {kind}")
    read = read_image(written(picture(0), kind))
    assert read.size == (12, 10)


@pytest.mark.parametrize("content", [EPS, b"8BPS\0\1", b"\0\0\1\0\1\0", b"404 not found", bytes(600)])
def test_nothing_else_is_opened(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encapsulated PostScript above all: Pillow starts an interpreter for it."""
    monkeypatch.setattr("subprocess.check_call", lambda *_: pytest.fail("a program was started"))
    with pytest.raises(ValueError, match="none of PNG"):
        read_image(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
    ],
)
def test_what_lies_in_place_of_an_image_is_named(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_image(io.BytesIO(content))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_disguised_file_is_named(suffix: str, tree: Tree) -> None:
    root = tree(below("."))
    (root / "cat" / f"zz.{suffix}").write_bytes(EPS)
    with pytest.raises(BadInput, match=rf"zz\.{suffix} cannot be read as an image .it is PostScript, and none of PNG"):
        load_images(data_dir=root)
    assert load_images(data_dir=root, skip_bad_images=True).skipped == 1


def test_ordinary_photographs_are_decoded_whole() -> None:
    assert 30e6 < DRAFT_AREA < 40e6
    content = written(picture(1, (400, 300)), "JPEG", quality=95)
    assert read_image(content).tobytes() == Image.open(content).tobytes()


@pytest.mark.parametrize(("area", "factor"), [(12000, 1), (11999, 2), (3000, 2), (2999, 4), (750, 4), (700, 8)])
def test_large_photographs_are_decoded_at_a_fraction(area: int, factor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAFT_AREA", area)
    read = read_image(written(picture(1, (120, 100)), "JPEG"))
    assert read.size == (-(-120 // factor), -(-100 // factor))
    assert read.info.get(STORED_SIZE) == (None if factor == 1 else (120, 100))


def test_the_census_counts_the_size_on_disk(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAFT_AREA", 3000)
    root = tree(below("."))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, (120, 100)).save(root / "cat" / "0.png", "JPEG", exif=exif)
    census = Census()
    folder_source(root, "train").pixels(0, 8, census)
    facts = census.facts(1)
    assert facts is not None
    assert (facts["largest"], facts["turned"]) == ([100, 120], 1)


def test_images_that_are_too_large_are_named_before_they_are_decoded(tree: Tree) -> None:
    root = tree(below("."))
    Image.new("1", (9000, 9000)).save(root / "cat" / "huge.png")
    tracemalloc.start()
    with pytest.raises(BadInput, match=r"huge\.png cannot be read .*9000 x 9000 pixels, more than 64 million"):
        load_images(data_dir=root)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert load_images(data_dir=root, skip_bad_images=True).skipped == 1


@pytest.mark.parametrize("error", [MemoryError(), IndexError("list"), RecursionError("deep"), OverflowError("big")])
def test_errors_of_any_kind_count_as_unreadable(error: Exception, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(below("."))

    def failing(file: BinaryIO) -> Image.Image:
        if file.name.endswith("dog/1.png"):
            raise error
        return read_image(file)

    monkeypatch.setattr("daas.data.files.read_image", failing)
    with pytest.raises(BadInput, match=rf"dog/1\.png cannot be read as an image .{str(error) or 'MemoryError'}"):
        load_images(data_dir=root)
    assert load_images(data_dir=root, skip_bad_images=True).skipped == 1


def test_photographs_of_phones(tree: Tree) -> None:
    heif = pytest.importorskip("pillow_heif")
    root = tree(below("."))
    heif.from_pillow(picture(5, (64, 48))).save(root / "cat" / "IMG_0001.HEIC", quality=95)
    data = load_images(data_dir=root)
    assert len(data) == 5
    source = folder_source(root, "train")
    read = next(source.read(index) for index in range(5) if "HEIC" in source.describe(index))
    assert (read.size, read.mode) == ((64, 48), "RGB")


def test_the_way_to_read_photographs_of_phones_is_named(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(below("."))
    (root / "dog" / "IMG_0001.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(BadInput, match=r"IMG_0001\.heic cannot be read .*pip install 'timm-daas\[heic\]'"):
        load_images(data_dir=root)


def test_the_extra_exists() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'heic = ["pillow-heif"]' in text


@pytest.mark.parametrize(
    ("kind", "head"),
    [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")],
    ids=["zTXt", "iTXt", "iCCP"],
)
def test_comments_and_profiles_that_unpack_to_much_are_said(kind: bytes, head: bytes, tree: Tree) -> None:
    root = tree(below("."))
    path = root / "cat" / "0.png"
    content, inside = path.read_bytes(), kind + head + zlib.compress(bytes(20_000_000))
    chunk = struct.pack(">I", len(inside) - 4) + inside + struct.pack(">I", zlib.crc32(inside))
    path.write_bytes(content[:33] + chunk + content[33:])
    with pytest.raises(
        BadInput, match=r"cat/0\.png cannot be read as an image .a comment or a colour profile in it unpacks to more"
    ):
        load_images(data_dir=root)
    assert load_images(data_dir=root, skip_bad_images=True).skipped == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"<svg xmlns=''/>", "an SVG drawing"), (b"%PDF-1.4", "a PDF document"), (b'{"a": 1}', "JSON")],
)
def test_what_lies_under_the_name_of_an_image_is_said(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=f"it is {said}.*none of PNG"):
        read_image(io.BytesIO(content))
