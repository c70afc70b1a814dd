"""AutoAugment, RandAugment and TrivialAugment give the images that torchvision gives, as often as torchvision does."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from PIL import Image
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode, RandAugment, TrivialAugmentWide
from torchvision.transforms.autoaugment import _apply_op

from daas.augment.importers import from_torchvision, randaugment, trivialaugment
from daas.errors import BadInput
from tests.augment.importers.reference import assert_same, ours, picture, theirs


def run(operation: tuple[str, float, bool], image: Image.Image, sign: int) -> Image.Image:
    name, magnitude, signed = operation
    return _apply_op(image, name, sign * magnitude if signed else magnitude, InterpolationMode.NEAREST, None)


def at(space: dict[str, Any], name: str, level: int | None) -> tuple[str, float, bool]:
    magnitudes, signed = space[name]
    return name, float(magnitudes[level]) if level is not None and magnitudes.ndim else 0.0, signed


@pytest.mark.parametrize("size", [32, 47])
@pytest.mark.parametrize("policy", list(AutoAugmentPolicy))
def test_autoaugment_gives_torchvisions_images_as_often(policy: AutoAugmentPolicy, size: int) -> None:
    transform = AutoAugment(policy)
    space = transform._augmentation_space(10, (size, size))
    subs = [(1.0, [(prob, at(space, op, level)) for op, prob, level in sub]) for sub in transform.policies]
    image = picture(size)
    assert_same(ours(from_torchvision(policy, image_size=size), image), theirs(subs, image, run))


@pytest.mark.parametrize(("num_ops", "magnitude", "bins"), [(1, 30, 31), (2, 9, 31), (2, 5, 11)])
def test_randaugment_gives_torchvisions_images_as_often(num_ops: int, magnitude: int, bins: int) -> None:
    space = RandAugment()._augmentation_space(bins, (24, 24))
    ops = [(1.0, at(space, name, magnitude)) for name in space]
    subs = [(1.0, list(chosen)) for chosen in itertools.product(ops, repeat=num_ops)]
    image = picture(24)
    assert_same(ours(randaugment(num_ops, magnitude, bins, image_size=24), image), theirs(subs, image, run))


@pytest.mark.parametrize("bins", [31, 4])
def test_trivialaugment_gives_torchvisions_images_as_often(bins: int) -> None:
    space = TrivialAugmentWide()._augmentation_space(bins)
    subs = [(1.0, [(1.0, at(space, name, level))]) for name in space for level in range(bins)]
    image = picture(40)
    assert_same(ours(trivialaugment(bins, image_size=40), image), theirs(subs, image, run))


def test_without_a_size_translations_are_shares() -> None:
    subs = from_torchvision("cifar10").sub_policies
    values = {op.value for sub in subs for op in sub.ops if op.op == "TranslateX"}
    assert sorted(values) == pytest.approx([150 / 331 * 8 / 9, 150 / 331])


def test_the_pixels_of_trivialaugment_are_a_share_of_the_size() -> None:
    def largest(size: int) -> float:
        ops = [op for sub in trivialaugment(image_size=size).sub_policies for op in sub.ops]
        return max(op.value or 0.0 for op in ops if op.op == "TranslateY")

    assert largest(224) == pytest.approx(32 / 224)
    assert largest(32) == largest(16) == 1.0  # further than the picture is wide is as far as it is wide


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_torchvision("cifar100"), "no AutoAugment policy 'cifar100'; it has imagenet, cifar10, svhn"),
        (lambda: randaugment(magnitude=31), "magnitude is 31; with 31 bins it is 0 to 30"),
        (lambda: randaugment(num_ops=0), "num_ops is 0"),
        (lambda: randaugment(num_ops=5), "more than 50,000 sub-policies"),
        (lambda: trivialaugment(num_magnitude_bins=1), "num_magnitude_bins is 1"),
        (lambda: trivialaugment(image_size=0), "image_size is 0"),
        (lambda: randaugment(image_size=-1), "image_size is -1"),
        (lambda: from_torchvision("svhn", image_size=0), "image_size is 0"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make()
