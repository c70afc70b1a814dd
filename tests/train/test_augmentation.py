"""A batch's way into the network: squares that are cut out, shares of a batch, normalisation, mixing."""

from __future__ import annotations

import pytest
import torch

from daas.data import crop_flip
from daas.errors import BadInput
from daas.seeds import generator
from daas.train import TrainOptions
from daas.train.augmentation import BatchAugmentation, cutout
from daas.train.batches import Batch, Place
from daas.train.labels import exchange

BATCH = torch.arange(1, 6 * 3 * 12 * 10 + 1, dtype=torch.float32).view(6, 3, 12, 10)


def test_cutout_zeroes_one_square_per_image_in_all_channels() -> None:
    gone = cutout(BATCH, 4, generator(0)) == 0
    assert torch.equal(gone[:, 0], gone[:, 2])
    rows, columns = gone[:, 0].any(2).sum(1), gone[:, 0].any(1).sum(1)
    assert torch.equal(gone[:, 0].sum((1, 2)), rows * columns)
    assert 2 <= int(rows.min()) <= int(rows.max()) <= 4
    assert len({tuple(map(tuple, image.nonzero().tolist())) for image in gone[:, 0]}) > 1


def test_the_centres_of_cutout_are_uniform_over_the_pixels() -> None:
    gone = cutout(torch.ones(20_000, 1, 4, 4), 1, generator(0))[:, 0] == 0
    assert torch.allclose(gone.float().mean(0), torch.full((4, 4), 1 / 16), atol=0.006)


@pytest.mark.parametrize(("first", "count"), [(0, 2), (2, 2), (3, 3)])
def test_a_share_of_a_batch_is_treated_like_the_whole(first: int, count: int) -> None:
    rows = slice(first, first + count)
    whole = cutout(BATCH, 4, generator(1))
    assert torch.equal(cutout(BATCH[rows], 4, generator(1), first, 6), whole[rows])
    images = torch.randint(256, (6, 3, 8, 8), generator=generator(2), dtype=torch.uint8)
    moved = crop_flip(images, generator(3), 2, 0.5)
    assert torch.equal(crop_flip(images[rows], generator(3), 2, 0.5, first, 6), moved[rows])


def test_mixing_and_augmentation_follow_the_epoch() -> None:
    options = TrainOptions(
        mixup=0.5, batch_size=6, no_aug=True, cutout=4, reprob=0.5, mixup_off_epoch=1, no_prefetcher=True
    )
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    names = [str(label) for label in range(10)]
    augment = BatchAugmentation(options, Place(torch.device("cpu")), {"mean": mean, "std": std}, names, 10)
    images = torch.randint(256, (6, 3, 8, 8), generator=generator(2), dtype=torch.uint8)
    augment.set_epoch(1)
    batch, targets = augment(Batch(images, torch.arange(6)))
    shift, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    assert torch.allclose(batch, (images / 255.0 - shift) / scale, atol=1e-5)  # neither cut out nor erased
    assert torch.equal(targets.argmax(1), torch.arange(6))
    augment.set_epoch(0)
    assert not torch.allclose(augment(Batch(images, torch.arange(6)))[0], batch)


def test_a_flip_exchanges_the_labels_that_it_should() -> None:
    options = TrainOptions(batch_size=6, hflip=0.5, crop_padding=0, hflip_swap=("left:right",), train_crop_mode="pad")
    statistics = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}
    augment = BatchAugmentation(options, Place(torch.device("cpu")), statistics, ["left", "right", "straight"], 3)
    images = torch.randint(256, (6, 3, 8, 8), generator=generator(2), dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    seen = set()
    for step in range(20):
        batch, targets = augment(Batch(images, labels, step))
        flipped = (batch == images.flip(3)).flatten(1).all(1)
        assert torch.equal(flipped, ~(batch == images).flatten(1).all(1))
        assert torch.equal(targets, torch.where(flipped, torch.tensor([1, 0, 2])[labels], labels))
        seen |= set(zip(labels.tolist(), targets.tolist(), strict=True))
    assert seen == {(0, 0), (0, 1), (1, 1), (1, 0), (2, 2)}


@pytest.mark.parametrize("pair", ["left", "left:up", "left:left", "left:right:straight"])
def test_what_is_no_pair_of_classes_is_refused(pair: str) -> None:
    with pytest.raises(BadInput, match="--hflip-swap"):
        exchange([pair], ["left", "right", "straight"])
    with pytest.raises(BadInput, match="named once"):
        exchange(["left:right", "straight:left"], ["left", "right", "straight"])


def test_names_of_exchanged_classes_may_hold_colons() -> None:
    found = exchange(["a:b:c"], ["c", "a:b"])
    assert found is not None
    assert found.tolist() == [1, 0]
