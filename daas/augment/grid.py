"""What a policy does to pictures, drawn: a row per picture, the operations written under each version of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from daas.augment.policy import Policy
from daas.augment.transform import DAASPolicy
from daas.data.files import files_below
from daas.data.formats import EXTENSIONS, read_image
from daas.data.pixels import UNREADABLE, fitted, picture
from daas.errors import BadInput

_LEAST, _GAP, _FONT = 160, 12, 14  # least side of a tile, space between tiles, size of the letters; in pixels


def pictures(folder: Path, count: int, size: int) -> list[Tensor]:
    """Pictures of a folder and its subfolders, evenly spaced in the order of their names.

    Args:
        folder: Where to look.
        count: How many at most.
        size: Shorter side to scale to, and side of the square that is cut from the middle.

    Returns:
        [3, size, size] uint8 each.

    Raises:
        BadInput: No such folder, no pictures in it, or one that cannot be read.
    """
    if not os.path.isdir(folder):
        raise BadInput(f"--images {folder}: no such folder.")
    found = sorted(path for path in files_below(folder) if path.suffix.lower() in EXTENSIONS and os.path.isfile(path))
    if not found:
        raise BadInput(f"--images {folder}: there are no pictures in it ({', '.join(EXTENSIONS)}).")
    chosen = [found[index * len(found) // count] for index in range(count)] if count < len(found) else found
    return [_square(path, size) for path in chosen]


def _square(path: Path, size: int) -> Tensor:
    try:
        with path.open("rb") as file:
            image = fitted(picture(read_image(file)), size)
    except UNREADABLE as error:
        raise BadInput(f"{path} cannot be read as a picture ({error}).") from error
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def grid(policy: Policy, images: Sequence[Tensor], columns: int = 6, seed: int = 0) -> Image.Image:
    """Draws versions of pictures under a policy.

    Args:
        policy: What to draw from.
        images: [3, S, S] uint8 each: one row per picture.
        columns: Versions per picture, beside the picture as it is.
        seed: Of the draws.

    Returns:
        The drawing.
    """
    transform = DAASPolicy(policy)
    random = torch.Generator().manual_seed(seed)
    scale = max(1, -(-_LEAST // images[0].shape[-1]))  # small pictures are enlarged, pixel by pixel
    tile, font = images[0].shape[-1] * scale, ImageFont.load_default(_FONT)
    caption = policy.slots * (_FONT + 3) + 6
    share = sum(policy.operation_share().values())
    head = (
        f"{policy.name}: {len(policy.sub_policies)} sub-policies, {share:.2f} operations per image",
        policy.source,
    )
    canvas = Image.new(
        "RGB",
        (_GAP + (columns + 1) * (tile + _GAP), 4 * _FONT + _GAP + len(images) * (tile + caption + _GAP)),
        "white",
    )
    pen = ImageDraw.Draw(canvas)
    for line, text in enumerate(head):
        pen.text((_GAP, _GAP + line * (_FONT + 6)), _fitting(text, canvas.width - 2 * _GAP, font), "black", font)
    for row, image in enumerate(images):
        draw = transform.sample(columns, random)
        versions = [image, *transform.apply(image.expand(columns, -1, -1, -1), draw)]
        captions = [["original"], *(draw.describe(column) or ["unchanged"] for column in range(columns))]
        top = 4 * _FONT + _GAP + row * (tile + caption + _GAP)
        for column, (version, lines) in enumerate(zip(versions, captions, strict=True)):
            left = _GAP + column * (tile + _GAP)
            picture = Image.fromarray(version.permute(1, 2, 0).contiguous().numpy())
            canvas.paste(picture.resize((tile, tile), Image.Resampling.NEAREST), (left, top))
            pen.rectangle((left - 1, top - 1, left + tile, top + tile), outline="#bbbbbb")
            for line, text in enumerate(lines):
                pen.text((left, top + tile + 4 + line * (_FONT + 3)), _fitting(text, tile, font), "black", font)
    return canvas


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, cut where it would run out of its place."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
