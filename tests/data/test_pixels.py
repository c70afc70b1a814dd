"""From a stored picture to upright RGB: ranges by depth, strips, squares."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from daas.data.formats import read_image
from daas.data.pixels import fitted, picture


def tiff(values: np.ndarray, bits: int, kind: int = 1) -> Image.Image:
    """An uncompressed grey TIFF file of any depth, read: ``kind`` 1 holds unsigned integers, 2 signed, 3 floats."""
    height, width = values.shape
    if bits == 12:
        packed = bytearray()
        for row in values.tolist():
            for one, two in zip(row[::2], row[1::2], strict=True):
                packed += bytes([one >> 4, (one & 15) << 4 | two >> 8, two & 255])
        data = bytes(packed)
    else:
        data = values.astype(f"<{' uif'[kind]}{bits // 8}").tobytes()
    tags = [
        (256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8 + 2 + 10 * 12 + 4),
        (277, 3, 1), (278, 3, height), (279, 4, len(data)), (339, 3, kind),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHI", tag, form, 1) + struct.pack("<I", value) for tag, form, value in tags)
    return read_image(io.BytesIO(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data))


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(picture(image))[..., 0]


@pytest.mark.parametrize("bits", [12, 16])
def test_grey_values_are_scaled_by_their_depth(bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 64).astype(int).reshape(8, 8)
    found = grey(tiff(values, bits))
    assert (found == values * 255 // (2**bits - 1)).all()
    assert (found.min(), found.max()) == (0, 255)


def test_sixteen_bits_of_a_png() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    content = io.BytesIO()
    Image.fromarray(values).save(content, "PNG")
    content.seek(0)
    assert (grey(read_image(content)) == (values / 257.0).astype(np.uint8)).all()


def test_integers_of_32_bits_are_read_as_far_as_16_bits_go() -> None:
    values = np.arange(64).reshape(8, 8) * 1000
    assert (grey(tiff(values, 32)) == values // 257).all()


@pytest.mark.parametrize(
    ("values", "bits", "kind"), [([[0, 70_000]], 32, 1), ([[-1000, 3000]], 16, 2), ([[-5, 5]], 32, 2)]
)
def test_values_beyond_the_range_are_refused(values: list[list[int]], bits: int, kind: int) -> None:
    with pytest.raises(ValueError, match=rf"values from {values[0][0]} to {values[0][1]}.*save it with 8 or 16 bits"):
        grey(tiff(np.array(values), bits, kind))


def test_floats_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no range that is known; save it with 8 or 16 bits"):
        grey(tiff(np.array([[0.0, 1.0]]), 32, 3))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
def test_transparent_pictures_lie_on_white(mode: str) -> None:
    if mode in ("P", "L"):
        image = Image.new(mode, (4, 2), 1)
        image.info["transparency"] = 1
        if mode == "P":
            image.putpalette([0, 0, 0] * 2)
        image.paste(0, (0, 0, 2, 2))
    else:
        image = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
        image.paste((0, 0, 0, 255), (0, 0, 2, 2))
        image = image.convert(mode)
    found = np.asarray(picture(image))
    assert (found[:, :2] == 0).all()
    assert (found[:, 2:] == 255).all()


def test_ordinary_pictures_are_not_copied() -> None:
    image = Image.new("RGB", (8, 8))
    assert picture(image) is image


@pytest.mark.parametrize("size", [(1, 500_000), (500_000, 1), (3, 900), (900, 3)])
def test_strips_cost_what_their_middle_costs(size: tuple[int, int]) -> None:
    """A line of half a million pixels, resized to a shorter side of 64, would have two gigapixels."""
    found = picture(Image.new("RGB", size, (5, 6, 7)))
    assert max(found.size) == 100 * min(size)
    assert np.asarray(fitted(found, 64)).shape == (64, 64, 3)


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (100, 7), (20, 20), (19, 20)])
def test_the_middle_of_the_resized_picture_is_cut_out(size: tuple[int, int]) -> None:
    image = Image.effect_noise(size, 90).convert("RGB")
    scale = 16 / min(size)
    whole = image.resize((max(16, round(size[0] * scale)), max(16, round(size[1] * scale))), Image.Resampling.BICUBIC)
    left, top = (whole.width - 16) // 2, (whole.height - 16) // 2
    assert fitted(image, 16).tobytes() == whole.crop((left, top, left + 16, top + 16)).tobytes()
