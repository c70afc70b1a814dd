"""The loop in one's own hands: fed as the search feeds itself, it finds the same; what cannot be used is named."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import daas
from daas.errors import BadInput
from daas.search.options import SearchConfig
from daas.search.runs.build import build_data
from daas.search.runs.plan import Plan

CELLS = daas.CellSpace(channels=2, layers=3, nodes=2, architectures=1)
CPU = torch.device("cpu")


def batch(seed: int = 0, classes: int = 2) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (8, 3, 8, 8), generator=random, dtype=torch.uint8)
    return images, torch.randint(classes, (8,), generator=random)


def convnet() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, 2))  # fmt: skip


def test_fed_as_the_search_feeds_itself_it_finds_the_same() -> None:
    options: dict[str, Any] = {
        "preset": "demo", "batch_size": 64, "warmup_epochs": 1, "epochs": 1, "max_images": 256, "derive": "printed",
        "screen": False, "race": 0,
    }  # fmt: skip
    whole = daas.search("digits", network=CELLS, seed=2, **options)
    config = SearchConfig(dataset="digits", seed=2, **options)
    data = build_data(config)
    plan = Plan(config, data.train.steps_per_epoch)
    normalize = (data.mean, data.std)
    loop = daas.Search(
        cells=CELLS, num_classes=10, normalize=normalize, seed=2, preset="demo", derive="printed", hflip=0.0
    )
    for step in range(plan.last_step):
        loop.step(
            data.train_batch(step, CPU), data.val_batch(step, CPU), lr=plan.eta(step),
            temperature=plan.temperature(step), warm_up=not plan.joint(step),
        )  # fmt: skip
    found = loop.derive()
    assert found.genotype is not None
    assert whole.genotype is not None
    assert (found.genotype.normal, found.genotype.reduce) == (whole.genotype.normal, whole.genotype.reduce)
    assert found.policy is not None
    assert whole.policy is not None
    assert found.policy.sub_policies == whole.policy.sub_policies


def test_a_module_of_ones_own_and_an_estimator(tmp_path: Any) -> None:
    net, stream = convnet(), torch.get_rng_state()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    space = daas.PolicySpace(slots=1, operations=["Rotate", "Invert"])
    loop = daas.Search(
        network=net, policies=space, estimator=daas.estimators.PerImage(policies=1), aug_lr=0.5, derive="printed"
    )
    first = loop.step(batch(0), batch(1))
    assert first["step"] == 1
    assert 0 <= first["val_accuracy"] <= 100
    loop.step(batch(2), batch(3))
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    found = loop.derive()
    assert found.genotype is None
    assert found.policy is not None
    weights = [sub.weight for sub in found.policy.sub_policies]
    assert weights[0] != pytest.approx(weights[1])  # it has learned something
    found.save(tmp_path / "found")
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["policy.json", "summary.json"]
    with pytest.raises(daas.BadInput, match="no report"):
        found.report(tmp_path / "page.html")


def test_the_warm_up_and_a_fixed_policy_leave_policies_alone() -> None:
    loop = daas.Search(cells=CELLS, num_classes=2, derive="printed")
    loop.step(batch(0), batch(1), warm_up=True)
    policy = loop.derive().policy
    assert policy is not None
    assert len({sub.weight for sub in policy.sub_policies}) == 1
    fixed = daas.Search(cells=CELLS, num_classes=2, policies="randaugment")
    fixed.step(batch(0), batch(1))
    assert fixed.derive().policy is None
    with pytest.raises(BadInput, match=r"unknown option chanels\. Did you mean channels"):
        fixed.derive().create_model(chanels=3)
    model = fixed.derive().create_model()
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "num_classes is missing"),
        ({"cells": CELLS, "network": convnet()}, "give one of them"),
        ({"cells": CELLS, "num_classes": 2, "epochs": 3}, "no step depends on it"),
        ({"cells": CELLS, "num_classes": 2, "mode": "independent"}, "joint, arch or aug"),
        ({"cells": CELLS, "num_classes": 2, "estimator": "best"}, "best"),
    ],
)
def test_what_cannot_be_searched_is_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(daas.BadInput) as error:
        daas.Search(**arguments)
    assert said in str(error.value)


def test_batches_that_cannot_be_used_are_named() -> None:
    loop = daas.Search(network=convnet())
    images, labels = batch()
    for given in (images, (images.float(), labels), (images[:, :, :7], labels), (images, labels[:3])):
        with pytest.raises(daas.BadInput, match="The train batch is"):
            loop.step(given, (images, labels))
    with pytest.raises(daas.BadInput, match="before the first step"):
        loop.derive()
    with pytest.raises(daas.BadInput, match="from -1 to 1; those of 2 classes go from 0 to 1"):
        loop.step((images, labels), (images, labels - labels.new_tensor([1] + [0] * 7)))
    for wrong in ({"lr": -0.1}, {"temperature": 0.0}, {"lr": float("nan")}):
        with pytest.raises(daas.BadInput, match="greater than 0"):
            loop.step((images, labels), (images, labels), **wrong)


def test_pretrained_weights_see_the_images_that_they_are_used_to() -> None:
    known = timm.get_pretrained_cfg("daas_cifar10_micro")
    assert known is not None
    options: dict[str, Any] = {"network": "daas_cifar10_micro", "num_classes": 2}

    def statistics(**more: Any) -> tuple[Any, Any]:
        loop = daas.Search(**options, **more)
        loop.step(batch(0), batch(1))
        data = loop.derive().summary["data"]
        return data["mean"], data["std"]

    assert statistics(pretrained=True) == (known.mean, known.std)
    own = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert statistics(pretrained=True, normalize=own) == own
    assert statistics() == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_a_loop_of_ones_own_has_its_presets_limit_of_skips() -> None:
    for given, limit in (({}, 2), ({"max_skips": 4}, 4), ({"preset": "paper-cifar10"}, None)):
        search = daas.Search(cells=daas.CellSpace(channels=2, layers=3), num_classes=2, **{"preset": "demo", **given})
        assert search.config.max_skips == limit
