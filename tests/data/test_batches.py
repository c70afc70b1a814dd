"""Batches by step, halves by class, crops and flips against a loop over images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from daas.data import BatchStream, MemoryImages, channel_stats, crop_flip, load_images, stratified_halves
from daas.errors import BadInput
from daas.seeds import generator


def numbered(count: int) -> MemoryImages:
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()
    return MemoryImages("numbered", images, torch.arange(count) % 3, ("a", "b", "c"))


def test_a_stream_visits_every_image_once_per_epoch_in_new_orders() -> None:
    stream = BatchStream(numbered(20), 6, seed=1)
    assert stream.steps_per_epoch == 3
    epochs = [torch.cat([stream.batch(3 * e + k)[0][:, 0, 0, 0] for k in range(3)]) for e in range(3)]
    for seen in epochs:
        assert len(seen.unique()) == 18
    assert not torch.equal(epochs[0], epochs[1])


def test_a_step_always_has_the_same_batch_whatever_was_asked_before() -> None:
    a, b = BatchStream(numbered(20), 6, seed=1), BatchStream(numbered(20), 6, seed=1)
    backwards = [b.batch(step) for step in (7, 2, 0)]
    for (images, labels), step in zip(backwards, (7, 2, 0), strict=True):
        assert torch.equal(a.batch(step)[0], images)
        assert torch.equal(a.batch(step)[1], labels)
    assert not torch.equal(BatchStream(numbered(20), 6, seed=2).batch(0)[0], a.batch(0)[0])


def test_too_few_images_are_refused() -> None:
    with pytest.raises(BadInput, match="20 images here, fewer than one batch of 21"):
        BatchStream(numbered(20), 21, seed=0)


def test_halves_are_disjoint_complete_and_balanced() -> None:
    labels = load_images("digits").labels
    first, second = stratified_halves(labels, seed=4)
    assert torch.equal(torch.cat([first, second]).sort().values, torch.arange(len(labels)))
    difference = torch.bincount(labels[first]) - torch.bincount(labels[second])
    assert difference.abs().max() <= 1
    assert abs(len(first) - len(second)) <= 1
    assert not torch.equal(first, stratified_halves(labels, seed=5)[0])


def halved_class_by_class(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The halves as they are meant: one class after the other."""
    order = torch.randperm(len(labels), generator=generator(seed, 0))
    first, second = [], []
    for position, label in enumerate(labels.unique().tolist()):
        members = order[labels[order] == label]
        half = (len(members) + position % 2) // 2
        first.append(members[:half])
        second.append(members[half:])
    return torch.cat(first).sort().values, torch.cat(second).sort().values


@pytest.mark.parametrize("seed", range(3))
def test_halves_are_those_of_halving_class_by_class(seed: int) -> None:
    labels = torch.randint(12, (301,), generator=torch.Generator().manual_seed(seed))
    labels[labels == 7] = 20  # classes may be missing
    found, meant = stratified_halves(labels, seed), halved_class_by_class(labels, seed)
    assert all(torch.equal(*pair) for pair in zip(found, meant, strict=True))


def test_channel_stats_are_those_of_all_pixels() -> None:
    data = load_images("digits")
    pixels = data.fetch(torch.arange(len(data))).double() / 255
    mean, std = channel_stats(data)
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(pixels.transpose(0, 1).flatten(1).std(1, correction=0).tolist())


def test_crop_flip_is_a_crop_of_the_padded_image_or_of_its_mirror() -> None:
    images = torch.randint(1, 256, (200, 3, 6, 5), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    moved = crop_flip(images, torch.Generator().manual_seed(1), padding=2, hflip=0.25)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    flips, offsets = 0, set()
    for image, source in zip(moved, padded, strict=True):
        found = [
            (flip, y, x)
            for flip in (False, True)
            for y in range(5)
            for x in range(5)
            if torch.equal(image, crop(source, flip, y, x))
        ]
        assert len(found) == 1
        flips += found[0][0]
        offsets.add(found[0][1:])
    assert 0.12 < flips / 200 < 0.4
    assert len(offsets) == 25


def crop(padded: torch.Tensor, flip: bool, y: int, x: int) -> torch.Tensor:
    source = padded.flip(2) if flip else padded
    return source[:, y : y + 6, x : x + 5]


def test_crop_flip_can_be_off() -> None:
    images = torch.randint(256, (4, 3, 6, 6), dtype=torch.uint8)
    assert torch.equal(crop_flip(images, torch.Generator(), 0, 0.0), images)
    assert torch.equal(crop_flip(images, torch.Generator(), 0, 1.0), images.flip(3))
