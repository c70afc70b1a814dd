"""What the kernels need to know of each operation: eight whole numbers per image and slot.

The first is a code; then comes what the operation needs: an affine map in 16.16 fixed point (or, bilinear, six float64
as their bits), the columns and rows of a square, a whole number, or the bits of a float32 factor. The kernel
``daas.augment.gpu.drawing.recorded`` writes them.
"""

from __future__ import annotations

from daas.augment.space import BASE, OPERATIONS

WORDS = 8
"""Whole numbers of a record; the last is padding."""
ONE_PROGRAM = 128 * 128
"""Pixels up to which one program has the whole image."""

NOTHING, WARP, BILINEAR, COLOR, SHARPNESS, CUTOUT = range(6)
EQUALIZE, AUTOCONTRAST, INVERT, SOLARIZE, POSTERIZE, BRIGHTNESS, CONTRAST = range(6, 13)  # look-up tables

_CODES = {
    "AutoContrast": AUTOCONTRAST, "Invert": INVERT, "Equalize": EQUALIZE, "Solarize": SOLARIZE,
    "Posterize": POSTERIZE, "Contrast": CONTRAST, "Color": COLOR, "Brightness": BRIGHTNESS, "Sharpness": SHARPNESS,
    "Cutout": CUTOUT, "Grayscale": COLOR,
}  # fmt: skip
CODES = tuple(_CODES.get(row.name, WARP) for row in (*OPERATIONS, *BASE))
"""Of each operation, by its index in ``Draw.op``; those that move pixels are warps."""
