"""One whole training on images in memory: what it learns, what it leaves alone, what two of one seed share."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from daas.augment import DAASPolicy, Policy
from daas.data import MemoryImages, channel_stats, images_from
from daas.errors import BadInput
from daas.train import parse
from daas.train.__main__ import main
from daas.train.effects import without_effect
from daas.train.fit import Fitted, Recipe, Stopped, fit
from tests.conftest import register_small_convnet

RECIPE = Recipe(epochs=4, batch_size=16, lr=0.1)


def images(count: int, seed: int, size: int = 8, names: tuple[str, ...] = ("left", "right")) -> MemoryImages:
    """A bright half on one side; the label says which."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    pixels = torch.randint(0, 90, (count, 3, size, size), generator=random)
    pixels[labels == 0, :, :, : size // 2] += 150
    pixels[labels == 1, :, :, size // 2 :] += 150
    return MemoryImages("sides", pixels.to(torch.uint8), labels, names)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 2)
    )


TRAIN, VAL = images(64, 0), images(40, 1)


def trained(recipe: Recipe = RECIPE, **arguments: object) -> Fitted:
    return fit(network, TRAIN, VAL, recipe, **arguments)  # type: ignore[arg-type]  # passed on


def test_it_learns_and_gives_the_logits_of_its_network() -> None:
    found = trained(Recipe(epochs=8, batch_size=16, hflip=0.0))
    assert found.accuracy == 100
    assert len(found.losses) == 8
    assert found.losses[-1] < found.losses[0]
    assert found.logits.shape == (40, 2)
    assert torch.equal(found.labels, VAL.labels)
    assert not found.model.training
    assert found.seconds > 0


def test_flips_that_exchange_classes_destroy_a_training_unless_the_labels_follow() -> None:
    swapped = trained(Recipe(epochs=8, batch_size=16, hflip=0.5, hflip_swap=(("left", "right"),)))
    assert swapped.accuracy == 100
    assert trained(Recipe(epochs=8, batch_size=16, hflip=0.5)).accuracy < 100


def test_one_seed_gives_one_training_whatever_the_global_streams_say() -> None:
    first = trained(Recipe(epochs=2, batch_size=16, mixup=0.3, reprob=0.5))
    torch.manual_seed(99)
    again = trained(Recipe(epochs=2, batch_size=16, mixup=0.3, reprob=0.5))
    assert torch.equal(first.logits, again.logits)
    assert not torch.equal(first.logits, trained(Recipe(epochs=2, batch_size=16, mixup=0.3, reprob=0.5), seed=1).logits)


def test_it_leaves_the_global_streams_and_the_callers_network_alone() -> None:
    mine = network().train()
    before = copy.deepcopy(mine.state_dict())
    torch.manual_seed(3), np.random.seed(3), random.seed(3)  # noqa: NPY002
    fit(mine, TRAIN, VAL, RECIPE)
    after = (torch.rand(1).item(), np.random.rand(), random.random())  # noqa: NPY002
    torch.manual_seed(3), np.random.seed(3), random.seed(3)  # noqa: NPY002
    assert after == (torch.rand(1).item(), np.random.rand(), random.random())  # noqa: NPY002
    assert all(torch.equal(tensor, before[name]) for name, tensor in mine.state_dict().items())
    assert mine.training


class Watching:
    """An augmentation that changes nothing and remembers what it got."""

    def __init__(self, change: Callable[[Tensor], Tensor] = lambda images: images) -> None:
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.change = change

    def __call__(self, images: Tensor, labels: Tensor, _: torch.Generator | None) -> tuple[Tensor, Tensor]:
        self.seen.append((images.clone(), labels.clone()))
        return self.change(images), labels


def test_candidates_of_one_seed_see_the_same_batches_crops_and_flips() -> None:
    first, second = Watching(), Watching(lambda images: 255 - images)
    plain, inverted = trained(augment=first), trained(augment=second)
    assert len(first.seen) == 4 * 4
    for one, two in zip(first.seen, second.seen, strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])
    assert not torch.equal(plain.logits, inverted.logits)
    assert torch.equal(plain.logits, trained().logits)


def test_a_policy_is_drawn_for_the_step() -> None:
    policy = Policy.random(torch.Generator().manual_seed(0))
    found = [trained(augment=p).logits for p in (policy, DAASPolicy(policy), None)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_images_are_normalised_by_the_training_whatever_the_policys_own_normalisation() -> None:
    policy = Policy.random(torch.Generator().manual_seed(0))
    own = DAASPolicy(policy, normalize=((0.0,) * 3, (1 / 255,) * 3), dtype=torch.float64, p=0.5)
    assert torch.equal(trained(augment=own).logits, trained(augment=DAASPolicy(policy, p=0.5)).logits)
    assert own(TRAIN.images[:2]).dtype == torch.float64  # the caller's is as it was


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_soft_targets_mean_what_labels_mean(smoothing: float) -> None:
    def one_hot(images: Tensor, labels: Tensor, _: torch.Generator | None) -> tuple[Tensor, Tensor]:
        return images, nn.functional.one_hot(labels, 2).float()

    recipe = Recipe(epochs=2, batch_size=16, smoothing=smoothing)
    assert torch.allclose(trained(recipe, augment=one_hot).logits, trained(recipe).logits, atol=1e-4)


@pytest.mark.parametrize("mixing", [{"mixup": 0.2}, {"cutmix": 1.0}])
def test_soft_targets_are_not_mixed(mixing: dict[str, float]) -> None:
    def soft(images: Tensor, labels: Tensor, _: torch.Generator | None) -> tuple[Tensor, Tensor]:
        return images, torch.full((len(labels), 2), 0.5)

    with pytest.raises(BadInput, match="mixup and cutmix mix labels, and these images have soft targets"):
        trained(Recipe(epochs=1, batch_size=16, **mixing), augment=soft)


def test_progress_is_told_and_stop_is_asked() -> None:
    told: list[tuple[int, int, float]] = []
    found = trained(progress=lambda *line: told.append(line))
    assert told == [(k + 1, 4, loss) for k, loss in enumerate(found.losses)]
    with pytest.raises(Stopped):
        trained(stop=lambda: len(told) >= 4)


def test_a_loss_that_is_no_number_is_told() -> None:
    with pytest.raises(FloatingPointError, match="the loss is"):
        trained(Recipe(epochs=4, batch_size=16, lr=1e30))


@pytest.mark.parametrize(
    ("recipe", "val", "message"),
    [
        (Recipe(batch_size=65), VAL, "fewer than one batch"),
        (Recipe(hflip=2), VAL, "between 0 and 1"),
        (Recipe(sched="plateau"), VAL, "plateau"),
        (Recipe(opt="sgdd"), VAL, "sgdd cannot be used"),
        (Recipe(hflip_swap=(("left", "up"),)), VAL, "--hflip-swap"),
        (RECIPE, images(8, 1, size=16), "16"),
    ],
)
def test_what_does_not_go_together_is_refused(recipe: Recipe, val: MemoryImages, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        fit(network, TRAIN, val, recipe)


@pytest.mark.parametrize(
    "recipe",
    [Recipe(), Recipe(epochs=3, hflip=0, hflip_swap=(("a", "b"),), mixup=0.2, amp=True, mean=(0.1, 0.2, 0.3), lr=0.3)],
)
def test_a_recipe_is_a_command_line(recipe: Recipe) -> None:
    expected = recipe.options(seed=parse([]).seed)
    if not recipe.amp:  # the format of what is off is not said
        expected = replace(expected, amp_dtype=parse([]).amp_dtype)
    assert parse(recipe.words()) == expected
    assert not any("amp" in text for text in without_effect(parse(recipe.words())))
    known = parse(recipe.words(((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))))
    assert known == replace(expected, mean=recipe.mean or (0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))


def test_with_the_statistics_of_the_images_the_command_normalises_as_fit_does(
    two_classes: Path, tmp_path: Path
) -> None:
    val = shutil.copytree(two_classes, tmp_path / "val")
    known = channel_stats(images_from(two_classes, image_size=16))
    words = [
        "--data-dir", str(two_classes), "--val-dir", str(val), "--model", register_small_convnet(), "--img-size", "16",
        "--output", str(tmp_path), "--experiment", "run", "--device", "cpu",
    ]  # fmt: skip
    assert main([*words, *Recipe(epochs=1, batch_size=20).words(known)]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["mean"], result["std"]) == tuple(map(list, known))


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
def test_statistics_may_be_lists_and_arrays(form: Callable[[list[float]], Any]) -> None:
    recipe = Recipe(epochs=1, batch_size=16, mean=form([0.5, 0.25, 0.125]), std=form([0.25, 0.25, 0.25]))
    assert (recipe.mean, recipe.std) == ((0.5, 0.25, 0.125), (0.25, 0.25, 0.25))
    with pytest.raises(BadInput, match=r"--mean 0\.5 0\.25: expected one number, or three"):
        trained(Recipe(epochs=1, batch_size=16, mean=form([0.5, 0.25])))
