"""daas.train(...): the command for a program that holds images, genotype and policy in its hands."""

from __future__ import annotations

import json
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import daas
from daas import BadInput, DAASPolicy, Genotype, Policy, randomness
from daas.data import load_images
from daas.train import parse
from daas.train.__main__ import main
from daas.train.command_line import list_recipes, options_of
from tests.train.conftest import Train, weights


@pytest.fixture
def options(tmp_path: Path, small_convnet: str) -> dict[str, Any]:
    """The training of ``run_train``, for a program."""
    return {
        "model": small_convnet, "img_size": 8, "epochs": 2, "warmup_epochs": 0, "batch_size": 128, "lr": 0.05,
        "hflip": 0, "output": str(tmp_path), "experiment": "mine", "model_kwargs": {"width": 4}, "train_split": "test",
        "val_split": "test",
    }  # fmt: skip


def test_it_is_the_command(run_train: Train, options: dict[str, Any]) -> None:
    _, out = run_train("--aa", "daas:randaugment", out="command")
    found = daas.train("digits", policy="randaugment", **options)
    assert torch.equal(weights(out), weights(Path(found["output"])))
    best = json.loads((Path(found["output"]) / "result.json").read_text())["best"]
    assert found["best_top1"] == best["top1"]
    assert {"top1", "top5", "balanced_accuracy", "loss", "best_epoch"} <= set(found)


def test_the_global_streams_are_as_they_were(options: dict[str, Any]) -> None:
    before = randomness.capture(torch.device("cpu"))
    daas.train("digits", **{**options, "epochs": 1})
    assert torch.equal(randomness.capture(torch.device("cpu")), before)


def test_the_named_tuple_of_darts_is_a_genotype(options: dict[str, Any]) -> None:
    cell = [("skip_connect", 0), ("sep_conv_3x3", 1)]
    given = namedtuple("Genotype", "normal normal_concat reduce reduce_concat")(cell, range(2, 3), cell, [2])
    sizes = {"genotype": given, "channels": 2, "layers": 3}
    for extra in ({"genotype": sizes.pop("genotype")}, {"experiment": "other"}):
        options |= {"model": "daas_cell_cifar", "model_kwargs": dict(sizes), "epochs": 1, **extra}
        found = daas.train("digits", **options)
        result = json.loads((Path(found["output"]) / "result.json").read_text())
        assert result["genotype"]["normal"] == [[["skip_connect", 0], ["sep_conv_3x3", 1]]]
        sizes["genotype"] = options.pop("genotype", given)


@pytest.mark.parametrize("form", ["tensors", "dataset", "images"])
def test_images_may_be_in_memory(run_train: Train, options: dict[str, Any], form: str) -> None:
    digits = load_images("digits", split="test", image_size=8)
    pair = (digits.fetch(torch.arange(len(digits))), digits.labels)
    data = {"tensors": pair, "dataset": TensorDataset(*pair), "images": digits}[form]
    if form != "dataset":
        del options["img_size"]  # that of the images
    found = daas.train(data, val=data, **options)
    assert torch.equal(weights(run_train(out="command")[1]), weights(Path(found["output"])))
    with pytest.raises(BadInput, match="holds another run"):
        daas.train(data, val=data, **options)
    assert daas.train(data, val=data, **options, resume="auto")["top1"] == found["top1"]
    other = (pair[0].flip(3), pair[1])
    with pytest.raises(BadInput, match="its training images changed"):
        daas.train(other, val=data, **options, resume="auto")


def test_policies_and_genotypes_may_be_objects(options: dict[str, Any], tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    policy, genotype = Policy.random(random), Genotype.random(random, name="mine")
    genotype.save(tmp_path / "genotype.json")
    options |= {"model": "daas_cell_cifar", "img_size": 16, "model_kwargs": {"channels": 2, "layers": 3}, "epochs": 1}
    results = []
    for name, one, cells in (("a", policy, genotype), ("b", DAASPolicy(policy), tmp_path / "genotype.json")):
        found = daas.train("digits", policy=one, genotype=cells, **options | {"experiment": name})
        result = json.loads((Path(found["output"]) / "result.json").read_text())
        assert result["policy"] == policy.to_dict()
        assert result["genotype"] == genotype.to_dict()
        results.append(weights(Path(found["output"])))
    assert torch.equal(*results)


def test_a_policy_object_is_taken_without_its_normalisation_and_not_beside_no_aug(options: dict[str, Any]) -> None:
    policy = Policy.random(torch.Generator().manual_seed(0))
    own = DAASPolicy(policy, normalize=((0.0,) * 3, (1 / 255,) * 3))
    runs = {}
    for name, one, no_aug in (("a", policy, False), ("b", own, False), ("c", own, True), ("d", None, True)):
        found = daas.train("digits", policy=one, no_aug=no_aug, **options | {"epochs": 1, "experiment": name})
        runs[name] = weights(Path(found["output"]))
    assert torch.equal(runs["a"], runs["b"])
    assert torch.equal(runs["c"], runs["d"])
    assert not torch.equal(runs["a"], runs["c"])
    results = [json.loads((Path(options["output"]) / name / "result.json").read_text()) for name in "abcd"]
    assert len({(*result["mean"], *result["std"]) for result in results}) == 1
    assert [result["policy"] is None for result in results] == [False, False, True, True]


def test_a_run_with_a_policy_object_is_repeated_with_that_policy(options: dict[str, Any]) -> None:
    policy = replace(Policy.random(torch.Generator().manual_seed(0)), name="randaugment")  # as a shipped one is called
    options |= {"epochs": 1}
    out = Path(daas.train("digits", policy=policy, **options)["output"])
    assert Policy.load(out / "policy.json") == policy
    assert "aa: daas:policy.json" in (out / "args.yaml").read_text()
    again = daas.train(config=str(out / "args.yaml"), experiment="again")
    assert main(["--config", str(out / "args.yaml"), "--experiment", "command"]) == 0
    assert torch.equal(weights(Path(again["output"])), weights(out))
    assert torch.equal(weights(out.with_name("command")), weights(out))
    assert main(["--config", str(out / "args.yaml"), "--resume", "auto"]) == 0  # by another name of the same policy
    with pytest.raises(BadInput, match="its policy changed"):
        daas.train("digits", policy="randaugment", resume="auto", **options)


def test_what_a_run_cannot_be_repeated_with_stands_in_its_arguments(options: dict[str, Any]) -> None:
    images = (torch.zeros(128, 3, 8, 8, dtype=torch.uint8), torch.arange(128) % 10)
    policy = DAASPolicy(Policy.random(torch.Generator().manual_seed(0)), granularity="batch", p=0.5)
    out = Path(daas.train(images, val=images, policy=policy, **options | {"epochs": 1})["output"])
    said = [line for line in (out / "args.yaml").read_text().splitlines() if line.startswith("#")]
    assert said == [
        "# The images were given by a program: to repeat the run, name a folder or a data set of them.",
        "# The policy was given by a program; policy.json beside this file holds it.",
        "# It was applied with granularity='batch', p=0.5, for which there is no option.",
    ]


def test_arguments_of_networks_may_be_numpys_and_no_objects(options: dict[str, Any]) -> None:
    kwargs = {"width": np.int64(4)}
    out = Path(daas.train("digits", **options | {"epochs": 1, "model_kwargs": kwargs})["output"])
    assert json.loads((out / "result.json").read_text())["model_kwargs"] == {"width": 4}
    for name, value in (("model_kwargs", torch.nn.ReLU), ("opt_kwargs", torch.float32)):
        with pytest.raises(
            BadInput, match=rf"--{name.replace('_', '-')} one: a d?type cannot be written to args\.yaml"
        ):
            daas.train("digits", **options | {"experiment": "other", name: {"one": value}})
    assert not Path(options["output"], "other").exists()


@pytest.mark.parametrize("recipe", list_recipes())
def test_recipes_mean_what_they_mean_on_the_command_line(recipe: str) -> None:
    kwargs = {"channels": 4}
    found = options_of({"recipe": recipe, "lr": 3, "model_kwargs": kwargs}, "daas.train")
    assert found == parse(["--recipe", recipe, "--lr", "3", "--model-kwargs", "channels=4"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epoch": 3}, "daas.train: unknown option epoch. Did you mean epochs"),
        ({"epochs": "many"}, "epochs is 'many'; expected int"),
        ({"data_dir": "photos"}, "takes no data_dir; pass data"),
        ({"policy": "randaugment", "aa": "rand-m9"}, "two names of one thing"),
        ({"policy": 3}, "policy is of type int"),
        ({"val": (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4) + 8)}, "10, 11 only in validation"),
        ({"torchscript": True}, "torchscript"),
    ],
)
def test_what_cannot_be_is_told(options: dict[str, Any], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        daas.train("digits", **options | arguments)
    assert not Path(options["output"], "mine").exists()


def test_images_in_memory_need_others_to_validate_on(options: dict[str, Any]) -> None:
    images = (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4) % 2)
    with pytest.raises(BadInput, match="pass both data and val"):
        daas.train(images, **options)
    with pytest.raises(BadInput, match="images in memory take 'pad'"):
        daas.train(images, val=images, train_crop_mode="rrc", **options)
