"""A stored picture -> upright RGB -> a square."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin

from daas.data.formats import MAX_ASPECT

UNREADABLE = Exception
"""What decoders raise on files that are no images, not whole, or too large: anything, ``MemoryError`` too."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by EXIF orientation (1 is upright)."""
_DEEP = 16  # bits of grey images with more than 8, where the file does not say


def picture(stored: Image.Image) -> Image.Image:
    """What every part of this package sees of a stored image: upright, RGB, 8 bits; of a long strip the middle.

    >>> picture(Image.new("L", (4, 2), 7)).getpixel((0, 0))
    (7, 7, 7)
    """
    return as_rgb(upright(stored), depth(stored))


def upright(image: Image.Image) -> Image.Image:
    """Turns a photograph as its EXIF orientation says; the same object where there is nothing to turn.

    Damaged EXIF data turn nothing: the pixels are still good.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow's parser raises whatever damaged tags make it raise
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    if turn is None:
        return image
    turned = image.transpose(turn)
    for key in ("exif", "xmp", "XML:com.adobe.xmp"):  # they still say how the image was stored
        turned.info.pop(key, None)
    return turned


def fitted(image: Image.Image, size: int) -> Image.Image:
    """The shorter side of an RGB image resized to ``size`` (bicubic), the centre cropped; untouched where it fits."""
    if image.size == (size, size):
        return image
    width, height = image.size
    scale = size / min(width, height)
    image = image.resize((max(size, round(width * scale)), max(size, round(height * scale))), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def depth(stored: Image.Image) -> int:
    """Bits of a grey image of more than 8: what a TIFF file says, otherwise 16."""
    tags = getattr(stored, "tag_v2", None)
    said = tags.get(TiffImagePlugin.BITSPERSAMPLE, (_DEEP,))[0] if tags else _DEEP
    return said if 8 < said <= _DEEP else _DEEP


def as_rgb(image: Image.Image, depth: int = _DEEP) -> Image.Image:
    """RGB with 8 bits, which are the image itself where it has them; of a long strip the middle.

    Transparent images are laid on white; grey images of more than 8 bits are scaled by their depth.

    Args:
        image: Upright.
        depth: Bits of a grey image of more than 8.

    Raises:
        ValueError: Pixels without a known range: floating-point ones, or integers beyond their depth.
    """
    image = _rgb(image, depth)
    width, height = image.size
    longest = MAX_ASPECT * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))


def _rgb(image: Image.Image, depth: int) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise ValueError("floating-point pixels have no range that is known; save it with 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", rgba.size, (255, 255, 255))
        image.paste(rgba, mask=rgba.getchannel("A"))
    elif image.mode.startswith("I"):
        image = _eight_bits(np.asarray(image), 2**depth - 1)
    return image.convert("RGB")


def _eight_bits(pixels: NDArray[Any], most: int) -> Image.Image:
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > most:
        raise ValueError(
            f"its pixels have values from {low} to {high}, and a range that nothing tells (0 to {most} is read); save "
            "it with 8 or 16 bits"
        )
    scaled = pixels.astype(np.uint32)  # in place from here on: large images
    scaled *= 255
    scaled //= most
    return Image.fromarray(scaled.astype(np.uint8))
