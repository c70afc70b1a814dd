"""One contract over every policy that the package ships."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

import daas
from daas.augment import Policy, find_policy
from daas.augment.importers import from_torchvision, randaugment, trivialaugment

SHIPPED = daas.list_policies()


def test_the_published_ones_are_there() -> None:
    published = {"autoaugment_cifar10", "autoaugment_imagenet", "autoaugment_svhn", "randaugment", "trivialaugment"}
    assert published <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_it_loads_says_where_it_comes_from_and_survives_json(name: str, tmp_path: Path) -> None:
    policy = find_policy(name)
    assert policy.name == name
    assert len(policy.source) > 20
    policy.save(tmp_path / "p.json")
    assert Policy.load(tmp_path / "p.json") == policy
    assert sum(policy.operation_share().values()) > 0.5


@pytest.mark.parametrize(("size", "count"), [(32, 64), (224, 4)])
@pytest.mark.parametrize("name", SHIPPED)
def test_it_applies(name: str, size: int, count: int) -> None:
    images = torch.randint(256, (count, 3, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    transform = daas.DAASPolicy.load(name)
    changed = transform.apply(images, transform.sample(count, torch.Generator().manual_seed(1)))
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    assert (changed != images).flatten(1).any(1).float().mean() > 0.4


def test_files_are_what_the_importers_give() -> None:
    made = [*(from_torchvision(name) for name in ("cifar10", "imagenet", "svhn")), randaugment(), trivialaugment(),
            dataclasses.replace(trivialaugment(image_size=32), name="trivialaugment_32px")]  # fmt: skip
    for policy in made:
        shipped = find_policy(policy.name)
        assert shipped.fill == policy.fill
        for ours, theirs in zip(shipped.sub_policies, policy.sub_policies, strict=True):
            assert ours.weight == pytest.approx(theirs.weight)
            assert [(op.op, op.prob) for op in ours.ops] == [(op.op, op.prob) for op in theirs.ops]
            assert [op.value for op in ours.ops] == pytest.approx([op.value for op in theirs.ops])
