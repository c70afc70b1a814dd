"""Tasks whose labels are made: which operations change them is known before anything is trained.

Each task takes photographs (or any other images), forgets their classes and gives new labels by doing something to
every image; ``natural`` and ``digits`` keep the labels they have. ``changes`` names the operations that turn an image
of one class into one of another or erase what tells them apart; ``unsure`` those of which one can argue; all others
leave the label alone.

>>> from daas.data import load_images
>>> made = task("tilted", load_images("digits"), 90, 60, 30, seed=1)
>>> len(made.train), made.train.class_names, sorted(made.changes)
(90, ('left', 'straight', 'right'), ['HFlip', 'Rotate', 'VFlip'])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from daas.augment.draw import Draw
from daas.augment.ops import apply
from daas.augment.space import INDEX
from daas.data.images import ImageData, MemoryImages
from daas.errors import BadInput
from daas.seeds import generator

_CHOICE, _LABELS, _MAKING = range(301, 304)  # what a random stream is for
_TONES = ("AutoContrast", "Equalize", "Invert", "Solarize", "Contrast", "Brightness")
_MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_Make = Callable[[Tensor, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Task:
    """Images with made labels.

    Attributes:
        name: Of the task.
        train: To train on.
        val: To choose on.
        test: To judge on.
        changes: Operations that change the label, by construction.
        unsure: Operations of which one can argue; counted neither way.
    """

    name: str
    train: MemoryImages
    val: MemoryImages
    test: MemoryImages
    changes: frozenset[str]
    unsure: frozenset[str]


@dataclass(frozen=True)
class Recipe:
    """How a task's labels are made.

    Attributes:
        classes: Their names; empty keeps the labels that the images have.
        make: (images [n, 3, S, S] uint8, labels [n], generator) -> images of these labels.
        changes: As in ``Task``.
        unsure: As in ``Task``.
    """

    classes: tuple[str, ...]
    make: _Make
    changes: tuple[str, ...]
    unsure: tuple[str, ...] = ()


def task(name: str, photographs: ImageData, n_train: int, n_val: int, n_test: int, seed: int) -> Task:
    """Makes a task; the three parts share no photograph, and classes that are made are equally frequent in each.

    Args:
        name: One of ``TASKS``.
        photographs: What the images are made from.
        n_train: Images to train on.
        n_val: Images to choose on.
        n_test: Images to judge on.
        seed: Of every random choice.

    Raises:
        BadInput: An unknown task, or too few photographs.
    """
    if name not in TASKS:
        raise BadInput(f"task {name!r} is unknown; known are {', '.join(TASKS)}.")
    counts = (n_train, n_val, n_test)
    if sum(counts) > len(photographs):
        raise BadInput(f"{sum(counts)} images are asked for, and {photographs.name} has {len(photographs)}.")
    recipe = TASKS[name]
    order = torch.randperm(len(photographs), generator=generator(seed, _CHOICE))
    parts = []
    for index, chosen in enumerate(order[: sum(counts)].split(counts)):
        images, labels, names = photographs.fetch(chosen), photographs.labels[chosen], photographs.class_names
        if recipe.classes:
            names = recipe.classes
            places = torch.randperm(len(chosen), generator=generator(seed, _LABELS, index))
            labels = places % len(names)
        made = recipe.make(images, labels, generator(seed, _MAKING, index))
        parts.append(MemoryImages(name, made.contiguous(), labels, names))
    return Task(name, *parts, frozenset(recipe.changes), frozenset(recipe.unsure))


def applied(images: Tensor, operation: str, values: Tensor) -> Tensor:
    """One operation on every image, [n] signed magnitudes."""
    count = len(images)
    op = torch.full((count, 1), INDEX[operation])
    return apply(images, Draw(op, values.double().view(count, 1), torch.zeros(count, 1, 2, dtype=torch.float64)))


def _leveled(operation: str, levels: tuple[float, ...]) -> _Make:
    """A label is a magnitude of an operation."""
    return lambda images, labels, _: applied(images, operation, torch.tensor(levels)[labels])


def _kept(images: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
    return images


def _filtered(images: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
    filters = (("Invert", 0.0), ("Solarize", 128.0), ("Posterize", 2.0), ("Equalize", 0.0))
    made = images.clone()
    for label, (operation, value) in enumerate(filters, start=1):
        rows = (labels == label).nonzero().squeeze(1)
        made[rows] = applied(images[rows], operation, torch.full((len(rows),), value))
    return made


def _turned(images: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
    made = images.clone()
    for turns in range(1, 4):
        made[labels == turns] = images[labels == turns].rot90(turns, (2, 3))
    return made


def _marked(images: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
    """A ring of black around white near the middle of one quarter, at most a sixteenth of the side away from it."""
    side = images.shape[-1]
    grid = torch.arange(side, dtype=torch.float32) + 0.5
    away = (torch.rand(len(images), 2, generator=random) - 0.5) * (side / 8)
    column = side * (0.25 + 0.5 * (labels % 2)) + away[:, 0]
    row = side * (0.25 + 0.5 * (labels // 2)) + away[:, 1]
    distance = torch.maximum((grid - column[:, None]).abs()[:, None, :], (grid - row[:, None]).abs()[:, :, None])
    distance = distance.unsqueeze(1) / side
    black = torch.where(distance < 0.14, torch.zeros((), dtype=torch.uint8), images)
    return torch.where(distance < 0.08, torch.full((), 255, dtype=torch.uint8), black)


_LETTER = ("1111", "1000", "1110", "1000", "1000", "1000")


def _lettered(images: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
    """The letter F, or its mirror image, in one of many places and in a colour of its own."""
    count, _, side, _ = images.shape
    glyph = torch.tensor([[float(bit) for bit in line] for line in _LETTER])[None, None]
    size = max(8, side // 2)
    drawn = torch.nn.functional.interpolate(glyph, (size, size * 2 // 3), mode="nearest")[0, 0] > 0.5
    color = (torch.rand(count, 3, generator=random) * 256).to(torch.uint8)
    rows = torch.randint(side - size + 1, (count,), generator=random)
    columns = torch.randint(side - drawn.shape[1] + 1, (count,), generator=random)
    made = images.clone()
    for index in range(count):
        shape = drawn.flip(1) if labels[index] else drawn
        top, left = int(rows[index]), int(columns[index])
        window = made[index, :, top : top + size, left : left + drawn.shape[1]]
        window[:, shape] = color[index][:, None]
    return made


def _blurred(images: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
    """As they are, or smoothed with the kernel of Sharpness."""
    soft = applied(images, "Sharpness", torch.zeros(len(images)))
    return torch.where((labels == 1).view(-1, 1, 1, 1), soft, images)


TASKS: dict[str, Recipe] = {
    "natural": Recipe((), _kept, ()),
    "digits": Recipe((), _kept, (), ("HFlip", "VFlip", "Rot90", "Crop")),
    "filter": Recipe(
        ("plain", "inverted", "solarised", "posterised", "equalised"), _filtered,
        ("Invert", "Solarize", "Equalize"), ("AutoContrast", "Contrast", "Brightness", "Posterize"),
    ),
    "brightness": Recipe(
        ("darkest", "dark", "as it is", "bright", "brightest"), _leveled("Brightness", (0.3, 0.6, 1.0, 1.5, 2.2)),
        ("Brightness", "AutoContrast", "Equalize"), ("Contrast", "Solarize", "Invert", "Cutout"),
    ),
    "colour": Recipe(
        ("grey", "pale", "as it is", "vivid"), _leveled("Color", (0.0, 0.4, 1.0, 2.0)),
        ("Color", "Grayscale"), (*_TONES, "Posterize"),
    ),
    "way up": Recipe(
        ("upright", "left", "upside down", "right"), _turned, ("HFlip", "VFlip", "Rot90"), ("Invert", "Solarize"),
    ),
    "tilted": Recipe(
        ("left", "straight", "right"), _leveled("Rotate", (15.0, 0.0, -15.0)),
        ("HFlip", "VFlip", "Rotate"), ("ShearX", "ShearY", "Rot90", "Crop"),
    ),
    "quarter": Recipe(
        ("top left", "top right", "bottom left", "bottom right"), _marked,
        ("HFlip", "VFlip", "Rot90", "TranslateX", "TranslateY", "Crop"), ("Rotate", "ShearX", "ShearY"),
    ),
    "mirrored": Recipe(("as written", "mirrored"), _lettered, ("HFlip",), ("VFlip", "Rot90", "Crop")),
    "blurred": Recipe(
        ("sharp", "blurred"), _blurred, ("Sharpness",), (*_TONES, *_MOVES, "Posterize", "Crop"),
    ),
}  # fmt: skip
"""The tasks by name. ``way up`` needs photographs in which up can be seen; ``natural`` keeps the classes of any set."""
