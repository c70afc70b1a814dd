"""Eight pictures that look a little like photographs, made of noise and light: nobody else has rights in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Field = NDArray[np.float64]
SIDE = 224
_ROWS, _COLUMNS = np.mgrid[0:SIDE, 0:SIDE] / SIDE


def noise(random: np.random.Generator, octaves: int = 6, fade: float = 0.5, stretch: int = 1) -> Field:
    """Fractal noise.

    Args:
        random: Where it comes from.
        octaves: Sizes of its spots: from the whole picture down by halves.
        fade: Height of a size's spots as a share of that of the next larger ones.
        stretch: How many times wider than high the spots are.

    Returns:
        [SIDE, SIDE] within [0, 1].
    """
    total = np.zeros((SIDE, SIDE))
    for octave in range(octaves):
        rows = 2 ** (octave + 1)
        spots = random.random((rows * stretch + 1, rows + 1)).astype(np.float32)
        smooth = Image.fromarray(spots).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        total += fade**octave * np.asarray(smooth, dtype=np.float64)
    total -= total.min()
    return total / total.max()


def blend(low: tuple[int, int, int], high: tuple[int, int, int], share: Field) -> Field:
    """Colours between two, [SIDE, SIDE, 3], by a share per pixel."""
    return np.asarray(low) + share[..., None] * (np.asarray(high, dtype=np.float64) - np.asarray(low))


def over(under: Field, colour: Field, where: Field) -> Field:
    """Lays one picture over another, where and as far as ``where`` [SIDE, SIDE] within [0, 1] says."""
    return under + where[..., None] * (colour - under)


def disc(row: float, column: float, radius: float, soft: float = 0.01) -> Field:
    """1 within a circle, 0 outside, with a soft edge; all as shares of the side."""
    distance = np.hypot(_ROWS - row, _COLUMNS - column)
    return np.clip((radius - distance) / soft + 0.5, 0, 1)


def below(line: Field, soft: float = 0.006) -> Field:
    """1 below a line [SIDE] of heights, 0 above it."""
    return np.clip((_ROWS - line[None]) / soft + 0.5, 0, 1)


def mountains(random: np.random.Generator) -> Field:
    """A lake before two ridges under a clouded sky."""
    picture = blend((90, 140, 205), (205, 222, 238), np.clip(_ROWS * 1.7, 0, 1))
    picture = over(picture, blend((225, 225, 230), (255, 255, 255), _ROWS), np.clip(2.2 * noise(random) - 1.2, 0, 1))
    for height, dark, light in ((0.34, (105, 125, 150), (150, 165, 185)), (0.46, (48, 72, 58), (88, 112, 80))):
        ridge = height + 0.32 * (noise(random)[0] - 0.5)
        picture = over(picture, blend(dark, light, noise(random, fade=0.7)), below(ridge))
    lake = blend((40, 84, 112), (120, 160, 180), noise(random, stretch=6))
    return over(picture, lake, below(np.full(SIDE, 0.70)))


def dusk(random: np.random.Generator) -> Field:
    """The sun low over the sea."""
    picture = blend((58, 48, 100), (250, 158, 84), np.clip(_ROWS * 1.55, 0, 1) ** 1.4)
    picture = over(picture, blend((255, 238, 190), (255, 226, 150), _ROWS), disc(0.50, 0.34, 0.09))
    sea = blend((30, 42, 78), (214, 128, 86), noise(random, stretch=8) * np.clip(1.7 - _ROWS * 1.3, 0, 1))
    glitter = np.exp(-(((_COLUMNS - 0.34) / (0.03 + 0.2 * (_ROWS - 0.6))) ** 2)) * noise(random, stretch=16)
    sea = over(sea, blend((255, 222, 160), (255, 222, 160), _ROWS), np.clip(1.3 * glitter, 0, 1))
    return over(picture, sea, below(np.full(SIDE, 0.60)))


def apple(random: np.random.Generator) -> Field:
    """A red apple on a wooden table."""
    wall = blend((196, 186, 166), (226, 219, 203), noise(random, fade=0.4))
    table = blend((110, 72, 40), (168, 118, 70), noise(random, octaves=6, fade=0.7, stretch=8))
    picture = over(wall, table, below(np.full(SIDE, 0.62)))
    picture = over(picture, np.zeros_like(picture), 0.45 * disc(0.80, 0.58, 0.22, 0.12))
    light = np.clip(1.15 - 2.1 * np.hypot(_ROWS - 0.42, _COLUMNS - 0.42), 0.12, 1)
    skin = blend((92, 8, 14), (226, 52, 40), np.clip(light * (0.8 + 0.35 * noise(random)), 0, 1))
    picture = over(picture, skin, np.maximum(disc(0.57, 0.46, 0.23), disc(0.57, 0.58, 0.23)))
    picture = over(picture, np.full_like(picture, 255), 0.75 * disc(0.45, 0.42, 0.035, 0.05))
    stem = ((np.abs(_COLUMNS - 0.52 - 0.15 * (0.36 - _ROWS)) < 0.011) & (_ROWS > 0.26) & (_ROWS < 0.39)).astype(float)
    return over(picture, blend((70, 46, 24), (96, 66, 36), _ROWS), stem)


def leaf(random: np.random.Generator) -> Field:
    """A leaf with its veins before blurred green."""
    ground = blend((44, 66, 30), (128, 150, 72), noise(random, octaves=3))
    along, across = (_COLUMNS + 1 - _ROWS) / 2, _COLUMNS + _ROWS - 1
    half = np.clip(0.36 * np.sin(np.pi * np.clip((along - 0.12) / 0.76, 0, 1)) ** 0.8, 0, 1)
    inside = np.clip((half - np.abs(across)) / 0.012, 0, 1)
    green = blend((34, 106, 36), (148, 194, 70), np.clip(0.35 + 0.9 * across + 0.4 * noise(random), 0, 1))
    veins = (np.abs(across) < 0.010) | (np.abs((along - 0.55 * np.abs(across)) % 0.085) < 0.007)
    return over(over(ground, green, inside), blend((190, 216, 130), (190, 216, 130), _ROWS), inside * veins * 0.8)


def house(random: np.random.Generator) -> Field:
    """A brick wall with a door on the left and a window on the right."""
    rows, columns = (_ROWS * 26).astype(int), _COLUMNS * 13
    number = (columns + 0.5 * (rows % 2)).astype(int)
    tone = np.random.default_rng(5).random((40, 40))[rows, number]
    picture = blend((118, 52, 40), (176, 88, 66), 0.6 * tone + 0.4 * noise(random, fade=0.8))
    joint = ((_ROWS * 26) % 1 < 0.13) | ((columns + 0.5 * (rows % 2)) % 1 < 0.06)
    picture = over(picture, blend((186, 178, 166), (186, 178, 166), _ROWS), joint.astype(float))
    door = ((_COLUMNS > 0.12) & (_COLUMNS < 0.40) & (_ROWS > 0.34)).astype(float)
    picture = over(picture, blend((24, 60, 66), (38, 92, 96), noise(random, stretch=1)), door)
    picture = over(picture, blend((230, 200, 90), (230, 200, 90), _ROWS), disc(0.68, 0.36, 0.018))
    frame = ((_COLUMNS > 0.56) & (_COLUMNS < 0.92) & (_ROWS > 0.22) & (_ROWS < 0.62)).astype(float)
    pane = ((np.abs(_COLUMNS - 0.74) > 0.012) & (np.abs(_ROWS - 0.42) > 0.012)).astype(float)
    pane *= ((_COLUMNS > 0.58) & (_COLUMNS < 0.90) & (_ROWS > 0.24) & (_ROWS < 0.60)).astype(float)
    picture = over(picture, np.full_like(picture, 236), frame)
    return over(picture, blend((70, 100, 130), (178, 202, 220), np.clip(1.3 * (_COLUMNS - _ROWS) + 0.3, 0, 1)), pane)


def arrow(random: np.random.Generator) -> Field:
    """A blue traffic sign whose arrow points to the left: what a flip would turn into another sign."""
    picture = blend((126, 150, 160), (214, 224, 226), np.clip(1 - _ROWS + 0.3 * noise(random), 0, 1))
    picture = over(
        picture, blend((48, 74, 44), (96, 122, 70), noise(random, fade=0.8)), below(0.8 + 0.06 * noise(random)[0])
    )
    post = ((np.abs(_COLUMNS - 0.5) < 0.022) & (_ROWS > 0.5)).astype(float)
    picture = over(picture, blend((90, 94, 98), (176, 180, 184), np.clip((_COLUMNS - 0.47) * 16, 0, 1)), post)
    picture = over(picture, np.full_like(picture, 244), disc(0.40, 0.5, 0.32))
    picture = over(picture, blend((20, 62, 148), (34, 88, 186), noise(random, octaves=3)), disc(0.40, 0.5, 0.295))
    shaft = (np.abs(_ROWS - 0.40) < 0.042) & (_COLUMNS > 0.40) & (_COLUMNS < 0.70)
    head = (_COLUMNS > 0.28) & (_COLUMNS < 0.46) & (np.abs(_ROWS - 0.40) < 0.8 * (_COLUMNS - 0.28))
    return over(picture, np.full_like(picture, 248), (shaft | head).astype(float))


def flower(random: np.random.Generator) -> Field:
    """A flower with twelve petals."""
    picture = blend((40, 62, 34), (92, 120, 62), noise(random, octaves=4))
    angle, distance = np.arctan2(_ROWS - 0.48, _COLUMNS - 0.5), np.hypot(_ROWS - 0.48, _COLUMNS - 0.5)
    reach = 0.27 + 0.13 * np.abs(np.cos(6 * angle))
    petals = blend((206, 70, 132), (252, 206, 226), np.clip(distance / 0.4 + 0.25 * noise(random) - 0.1, 0, 1))
    picture = over(picture, petals, np.clip((reach - distance) / 0.012, 0, 1))
    return over(picture, blend((170, 112, 16), (252, 206, 60), noise(random, fade=0.9)), disc(0.48, 0.5, 0.095))


def street(random: np.random.Generator) -> Field:
    """A road at night under three lamps."""
    picture = blend((10, 14, 34), (44, 46, 78), np.clip(_ROWS * 1.5, 0, 1))
    skyline = 0.44 + 0.10 * np.repeat(random.random(14), SIDE // 14)
    dark = blend((16, 18, 28), (30, 32, 44), noise(random))
    picture = over(picture, dark, below(skyline, 0.002))
    lit = random.random((32, 32))[(_ROWS * 32).astype(int), (_COLUMNS * 32).astype(int)] > 0.83
    windows = lit & ((_ROWS * 32) % 1 > 0.4) & ((_COLUMNS * 32) % 1 > 0.5) & (below(skyline) > 0.5) & (_ROWS < 0.66)
    picture = over(picture, blend((240, 206, 120), (240, 206, 120), _ROWS), 0.85 * windows)
    road = blend((34, 34, 40), (74, 72, 72), noise(random, fade=0.9))
    picture = over(picture, road, below(np.full(SIDE, 0.68)))
    dash = (np.abs(_COLUMNS - 0.5) < 0.03 * (_ROWS - 0.6)) & ((1 / (_ROWS - 0.55 + 1e-6)) % 1 < 0.5) & (_ROWS > 0.70)
    picture = over(picture, np.full_like(picture, 220), dash.astype(float))
    for column in (0.16, 0.5, 0.84):
        glow = np.exp(-(np.hypot(_ROWS - 0.30, _COLUMNS - column) ** 2) / 0.010)
        picture = over(picture, blend((255, 224, 150), (255, 224, 150), _ROWS), 0.9 * glow)
    return picture


SCENES: tuple[Callable[[np.random.Generator], Field], ...] = (
    mountains, dusk, apple, leaf, house, arrow, flower, street,
)  # fmt: skip
"""Each makes [SIDE, SIDE, 3] within [0, 255]."""


def picture(number: int) -> Image.Image:
    """One of the eight, with a little grain, as a photograph has; the same at every call."""
    random = np.random.default_rng(number)
    made = SCENES[number](random)
    grain = random.normal(0, 4, made.shape)
    return Image.fromarray(np.clip(made + grain, 0, 255).astype(np.uint8)).filter(ImageFilter.SMOOTH)
