"""What candidates differ in reaches their trainings, and what cannot is told before anything is written."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.layers import DropPath
from torch import nn

import daas.race
from daas.data import channel_stats
from daas.data.given import images_from
from daas.errors import BadInput
from daas.race.candidates import Candidate, network
from daas.race.training import RACED, Trainer, recipe_values
from daas.train.fit import Recipe
from tests.conftest import write_folder
from tests.race.test_race import QUICK, ramps

SHORT = {**QUICK, "epochs": 1}


def module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def rate(model: nn.Module) -> float:
    """The largest drop-path rate."""
    return max((layer.drop_prob for layer in model.modules() if isinstance(layer, DropPath)), default=0.0)


def test_drop_path_is_that_of_the_network_that_trains_and_of_the_printed_command(tmp_path: Path):
    images = images_from(ramps(40))
    net = network("test_resnet")
    entered = [Candidate(net, None, "none", (("drop_path", value),)) for value in (0.0, 0.5)]
    trainer = Trainer(entered, images, Recipe(epochs=1, batch_size=10), 2, 0, "cpu")
    made: list[Any] = [trainer.network_of(one) for one in entered]
    assert [rate(make()) for make in made] == [0.0, 0.5]
    assert trainer(0, 0) != trainer(1, 0)
    found = daas.race(
        write_folder(tmp_path / "images", *ramps(), ("left", "right")),
        [(net, None, {"hflip": 0, "drop_path": 0.25}), (net, None, {"hflip": 0, "drop_path": 0.5})],
        trainings=2, image_size=8, **SHORT,
    )  # fmt: skip
    chosen = found.chosen.values["drop_path"]
    assert rate(found.create_model()) == pytest.approx(chosen)
    words = shlex.split(found.command(tmp_path))
    assert words[words.index("--drop-path") + 1] == str(chosen)
    assert "drop_path" in RACED


def test_a_module_has_no_drop_path_to_race(tmp_path: Path):
    with pytest.raises(BadInput, match=r"candidate Sequential: none, drop_path 0\.5, no flip: drop_path is the rate"):
        daas.race(ramps(), [(module(), None, {"hflip": 0, "drop_path": 0.5}), "none"], network=module(), trainings=4,
                  out=tmp_path / "out", **SHORT)  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", ["left:right", ["left:right"], [("left", "right")], (("left", "right"),)])
def test_classes_that_a_flip_exchanges_are_read_in_every_form(given: Any):
    assert recipe_values({"hflip_swap": given}, "here") == {"hflip_swap": (("left", "right"),)}


@pytest.mark.parametrize("given", ["left", "a:b:c", 5, [5], [("a", "")], None])
def test_what_is_no_pair_of_classes_is_refused(given: Any):
    with pytest.raises(BadInput, match=r"candidate here: hflip_swap is .*; it is CLASS:CLASS"):
        recipe_values({"hflip_swap": given}, "here")


def test_a_flip_with_exchanged_classes_learns_what_a_flip_destroys(small_convnet: str):
    found = daas.race(
        ramps(), ["none,hflip=0.5,hflip_swap=0:1", "none,hflip=0.5"], network=small_convnet, trainings=2, **QUICK
    )
    rows = {row.candidate.policy_words: row.accuracy[0] for row in found.rows}
    assert rows["none, exchanging 0:1, flip"] > 95 > 75 > rows["none, flip"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"hflip_swap": "0:5"}, "--hflip-swap 0:5"),
        ({"opt": "nonsense"}, "nonsense"),
        ({"mixup": 0.2}, "candidate .*mixup 0.2"),
    ],
)
def test_every_recipe_is_tried_before_anything_is_written(values: dict[str, Any], says: str, tmp_path: Path):
    odd = {**SHORT, "batch_size": 15}  # Mixup needs an even number
    with pytest.raises(BadInput, match=says):
        daas.race(ramps(), [(module(), None, {"hflip": 0}), (module(), None, {"hflip": 0, **values})], trainings=4,
                  out=tmp_path / "out", **odd)  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_a_network_for_images_of_one_size_is_made_for_those_that_race():
    found = daas.race(ramps(40, 32), [None], network="test_vit", trainings=2, **SHORT)
    assert found.create_model()(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    made = network("test_vit").create(2, img_size=32)
    assert found.rows[0].parameters == sum(weight.numel() for weight in made.parameters())


def test_images_that_are_too_small_are_told_by_the_options_of_the_race():
    deep = nn.Sequential(nn.Conv2d(3, 4, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(BadInput, match=r"^candidate Sequential: none, flip: .*--image-size") as error:
        daas.race(ramps(), [None], network=deep, trainings=4, **SHORT)
    assert "--img-size" not in str(error.value)


def test_the_winner_is_trained_with_the_normalisation_of_the_race(small_convnet: str, tmp_path: Path):
    folder = write_folder(tmp_path / "images", *ramps(), ("left", "right"))
    given = {"network": small_convnet, "trainings": 2, "image_size": 8, **SHORT}
    found = daas.race(folder, ["none"], **given)
    mean, std = channel_stats(images_from(folder, image_size=8))
    assert found.recipe.mean == pytest.approx(mean, abs=5e-5)
    assert found.recipe.std == pytest.approx(std, abs=5e-5)
    assert f"--mean {' '.join(map(str, found.recipe.mean))} --std" in found.command(tmp_path)
    said = daas.race(folder, ["none"], recipe=Recipe(mean=(0.5, 0.5, 0.5)), **given).recipe
    assert (said.mean, said.std) == ((0.5, 0.5, 0.5), found.recipe.std)


def test_a_module_that_wins_is_copied():
    net = module()
    found = daas.race(ramps(), [None], network=net, trainings=2, **SHORT)
    made = found.create_model()
    assert made is not net
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in made.state_dict().items())
    with pytest.raises(BadInput, match="drop_rate: the winner is a module of your own"):
        found.create_model(drop_rate=0.1)
