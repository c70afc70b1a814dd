from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

import daas
from daas.data import sources
from daas.data.images import DiskImages, MemoryImages
from daas.errors import BadInput
from daas.screen.images import evenly, least_for, two_halves
from daas.screen.options import ScreenOptions
from daas.seeds import generator
from tests.screen.conftest import stripes


def test_images_that_cannot_be_screened_are_refused() -> None:
    with pytest.raises(BadInput, match="images to train on; a screen needs at least 10"):
        daas.screen(stripes(12, 1))
    other = stripes(40, 2)
    with pytest.raises(BadInput, match="have different classes: up, down only in validation"):
        daas.screen(stripes(40, 1), val=replace(other, class_names=("up", "down")))


def test_images_are_chosen_evenly_over_the_classes() -> None:
    images = stripes(100, 1)
    lopsided = replace(images, labels=(torch.arange(100) >= 90).long())
    chosen = evenly(lopsided, 30, 0, 4)
    assert torch.bincount(chosen.labels).tolist() == [20, 10]
    assert evenly(images, 0, 0, 4) is images
    assert not torch.equal(evenly(images, 20, 0, 4).images, evenly(images, 20, 1, 4).images)


def test_images_to_ask_about_may_lack_a_class_and_have_their_own_order() -> None:
    train = replace(stripes(40, 1), class_names=("left", "middle", "right"))
    train.labels.mul_(2)
    asked = stripes(40, 2)
    given = replace(asked, labels=1 - asked.labels, class_names=("right", "left"))
    seen = daas.screen(train, val=given, epochs=1, operations=["HFlip", "Rotate"])
    assert "1 of 3 classes have no images to ask about: middle." in " ".join(seen.warnings)
    _, shown, _ = two_halves(train, given, ScreenOptions(), None)
    assert shown.class_names == train.class_names
    assert torch.equal(shown.labels, 2 * asked.labels)


def test_so_may_images_that_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part, names in (("train", ("ape", "bee", "cow")), ("val", ("bee", "cow"))):
        for number, name in enumerate(names):
            (tmp_path / part / name).mkdir(parents=True)
            for k in range(6):
                colour = (20 * k, 80 * number, 200 if part == "val" else 0)
                Image.new("RGB", (8, 8), colour).save(tmp_path / part / name / f"{k}.png")
    monkeypatch.setattr(sources, "_MEMORY_LIMIT", 0)
    _, shown, facts = two_halves(tmp_path / "train", tmp_path / "val", ScreenOptions(), 8)
    assert isinstance(shown, DiskImages)
    assert (shown.labels.tolist(), shown.class_names) == ([1] * 6 + [2] * 6, ("ape", "bee", "cow"))
    assert [shown.source.labels[i] for i in shown.origin.tolist()] == shown.labels.tolist()
    assert "ape" in facts["image_warnings"][-1]


def many(classes: int, each: int) -> MemoryImages:
    """Images of one pixel."""
    names = tuple(f"c{label}" for label in range(classes))
    images = torch.zeros(classes * each, 3, 1, 1, dtype=torch.uint8)
    return MemoryImages("many", images, torch.arange(classes * each) % classes, names)


def class_by_class(labels: Tensor, most: int, seed: int) -> Tensor:
    """``evenly`` as a loop over the classes: the indices that are left."""
    order = torch.randperm(len(labels), generator=generator(seed, 403))
    rank = torch.empty(len(labels), dtype=torch.int64)
    for label in labels.unique():
        members = order[labels[order] == label]
        rank[members] = torch.arange(len(members))
    return order[rank[order].argsort(stable=True)][:most].sort().values


@pytest.mark.parametrize("seed", range(4))
def test_the_choice_is_that_of_a_loop_over_the_classes(seed: int) -> None:
    labels = torch.randint(7, (300,), generator=generator(seed)).square() % 11  # some classes are rare, some missing
    pixels = torch.arange(300).remainder(256).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 1, 1)
    images = MemoryImages("lopsided", pixels, labels, tuple("abcdefghijk"))
    chosen = class_by_class(labels, 60, seed)
    found = evenly(images, 60, seed, 4)
    assert torch.equal(found.labels, labels[chosen])
    assert torch.equal(found.images, pixels[chosen])


def test_many_classes_keep_images_on_both_sides() -> None:
    images = many(50, 20)
    train, asked, _ = two_halves(images, None, ScreenOptions(max_images=200), None)
    assert torch.bincount(train.labels).tolist() == torch.bincount(asked.labels).tolist() == [2] * 50
    with pytest.raises(BadInput, match="--max-images 199 leaves fewer than 4 images of some of the 50 classes") as said:
        two_halves(images, None, ScreenOptions(max_images=199), None)
    assert "Name at least --max-images 200, or 0 for all 1000." in str(said.value)
    with pytest.raises(BadInput, match="--max-images 99 leaves fewer than 2 images"):
        two_halves(many(50, 3), replace(images, images=images.images + 1), ScreenOptions(max_images=99), None)


def test_a_class_of_few_images_is_no_reason_to_refuse_the_number() -> None:
    images = many(50, 20)
    rare = images.subset(torch.cat([torch.arange(0, 1000, 50)[:1], (images.labels > 0).nonzero().flatten()]))
    assert least_for(rare) == 1 + 49 * 4
    train, asked, facts = two_halves(rare, None, ScreenOptions(max_images=197), None)
    assert len(train) + len(asked) == 197
    assert (
        "1 of 50 classes have no images to train on: c0. The screen's network cannot know them."
        in (facts["image_warnings"])
    )


def test_classes_that_lie_apart_are_refused() -> None:
    with pytest.raises(BadInput, match="0 of 40 classes have images both to train on and to ask about"):
        two_halves(many(40, 1), None, ScreenOptions(), None)
