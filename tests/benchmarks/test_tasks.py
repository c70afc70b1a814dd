from __future__ import annotations

import pytest
import torch

from benchmarks.tasks import TASKS, applied, task
from daas.data.images import MemoryImages
from daas.errors import BadInput

MADE = [name for name, recipe in TASKS.items() if recipe.classes]


def photographs(count: int = 120, side: int = 16) -> MemoryImages:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, side, side), generator=random).to(torch.uint8)
    return MemoryImages("noise", images, torch.arange(count) % 3, ("a", "b", "c"))


@pytest.mark.parametrize("name", TASKS)
def test_parts_are_apart_repeatable_and_as_large_as_asked(name: str) -> None:
    base = photographs()
    made, again, other = (task(name, base, 60, 40, 20, seed) for seed in (1, 1, 2))
    assert [len(part) for part in (made.train, made.val, made.test)] == [60, 40, 20]
    assert torch.equal(made.train.images, again.train.images)
    assert not torch.equal(made.train.images, other.train.images)
    assert made.train.images.shape[1:] == (3, 16, 16)
    assert not made.changes & made.unsure


@pytest.mark.parametrize("name", MADE)
def test_made_classes_are_equally_frequent(name: str) -> None:
    counts = task(name, photographs(), 60, 40, 20, 1).train.labels.bincount()
    assert len(counts) == len(TASKS[name].classes)
    assert counts.max() - counts.min() <= 1


def test_labels_that_are_kept_belong_to_their_images() -> None:
    base = photographs()
    made = task("natural", base, 60, 40, 20, 1)
    where = [(base.images == image).flatten(1).all(1).nonzero().item() for image in made.val.images]
    assert torch.equal(base.labels[torch.tensor(where)], made.val.labels)
    assert made.val.class_names == base.class_names


def test_a_flip_exchanges_what_is_said_to_be_exchanged() -> None:
    side, random = 16, torch.Generator().manual_seed(1)
    plain = torch.full((1, 3, side, side), 90, dtype=torch.uint8)
    marks = [TASKS["quarter"].make(plain, torch.tensor([k]), torch.Generator().manual_seed(1)) for k in range(4)]
    halves = [(mark == 255).float().mean((0, 1, 2)) for mark in marks]
    assert halves[0][: side // 2].sum() > 0 == halves[0][side // 2 :].sum()
    assert halves[1][side // 2 :].sum() > 0 == halves[1][: side // 2].sum()
    letter, mirrored = (TASKS["mirrored"].make(plain, torch.tensor([k]), random) for k in (0, 1))
    shapes = []
    for image in (letter, mirrored.flip(3)):
        drawn = (image != 90).any(1)[0]
        rows, columns = drawn.any(1).nonzero(), drawn.any(0).nonzero()
        shapes.append(drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    assert torch.equal(*shapes)
    assert not torch.equal(shapes[0], shapes[0].flip(1))


def test_tilting_is_the_operation_itself() -> None:
    base = photographs(30)
    made = TASKS["tilted"].make(base.images, torch.zeros(30, dtype=torch.int64), torch.Generator())
    assert torch.equal(made, applied(base.images, "Rotate", torch.full((30,), 15.0)))


def test_bad_requests_are_named() -> None:
    with pytest.raises(BadInput, match=r"'sideways' is unknown; known are natural"):
        task("sideways", photographs(), 1, 1, 1, 0)
    with pytest.raises(BadInput, match=r"150 images are asked for, and noise has 120"):
        task("natural", photographs(), 50, 50, 50, 0)
