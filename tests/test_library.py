"""What a program does with the library, as a user writes it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import daas
from daas.search.__main__ import main
from tests.conftest import write_folder

SMALL: dict[str, Any] = {"batch_size": 16, "warmup_epochs": 1, "epochs": 1, "screen": False, "race": 0}
PRINTED: dict[str, Any] = {**SMALL, "derive": "printed"}
CELLS = daas.CellSpace(channels=2, layers=3, nodes=2)


def tensors() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randint(256, (64, 3, 8, 8), generator=random, dtype=torch.uint8), torch.arange(64) % 2


class Photos(Dataset[tuple[Tensor, int]]):
    classes = ("cat", "dog")

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return tensors()[0][index], index % 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


def test_tensors_in_a_model_and_a_transform_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stream = torch.get_rng_state()
    found = daas.search(tensors(), network=CELLS, **SMALL)
    assert torch.equal(torch.get_rng_state(), stream)
    assert list(tmp_path.iterdir()) == []  # out=None writes nothing
    model, policy = found.create_model(), found.transform(normalize=((0.5,) * 3, (0.25,) * 3))
    assert model(policy(tensors()[0])).shape == (64, 2)
    assert [line["epoch"] for line in found.metrics] == [1, 2]
    assert found.summary["data"]["train_images"] == 32
    assert "Normal cell" in found.report("page.html").read_text()
    folder = found.save("mine")
    assert sorted(path.name for path in folder.iterdir()) == [
        "genotype.json", "metrics.jsonl", "policy.json", "report.html", "summary.json",
    ]  # fmt: skip
    assert daas.Genotype.load(folder / "genotype.json") == found.genotype
    assert daas.Policy.load(folder / "policy.json") == found.policy
    assert json.loads((folder / "summary.json").read_text()) == found.summary
    with pytest.raises(daas.BadInput, match="holds another run"):
        found.save(folder)


def test_rooms_work_under_another_default_device() -> None:
    data = tensors()
    expected = daas.search(data, network="test_resnet", preset="demo", **PRINTED)
    torch.set_default_device("meta")
    try:
        found = daas.search(data, network="test_resnet", preset="demo", **PRINTED)
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)
    assert found.policy == expected.policy
    assert [line["val_loss"] for line in found.metrics] == [line["val_loss"] for line in expected.metrics]


def test_a_network_of_ones_own_comes_out_as_it_went_in() -> None:
    net = Net().eval()
    net.head.bias.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = daas.search(tensors(), network=net, val=tensors(), **SMALL)
    assert not net.training
    assert [p.requires_grad for p in net.parameters()] == [True] * 5 + [False]
    after = net.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(p.grad is None for p in net.parameters())
    assert found.genotype is None
    assert found.summary["given"]["network"] == "Net"
    with pytest.raises(daas.BadInput, match="given as a module"):
        found.create_model()


def test_a_data_set_and_a_policy_space() -> None:
    space = daas.PolicySpace(slots=1, operations=["Rotate", "Cutout", "Color"])
    found = daas.search(Photos(), image_size=8, network=CELLS, policy=space, **PRINTED)
    assert found.summary["data"]["class_names"] == ["cat", "dog"]
    assert list(found.summary["operation_share"]) == ["Rotate", "Cutout", "Color"]
    assert found.policy is not None
    assert [sub.ops[0].op for sub in found.policy.sub_policies] == ["Rotate", "Cutout", "Color"]


@pytest.mark.parametrize("network", ["name", "genotype"])
def test_a_fixed_network_by_name_and_by_genotype(network: str, small_convnet: str) -> None:
    genotype = daas.models.find_genotype("darts_v2")
    given = small_convnet if network == "name" else genotype
    size = {"model_kwargs": {"width": 2}} if network == "name" else {"channels": 2, "layers": 3}
    found = daas.search(tensors(), network=given, max_steps=1, **SMALL, **size)
    model = found.create_model(num_classes=2)
    assert found.genotype is None
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 2)
    if network == "genotype":
        assert model.genotype == genotype
    else:
        assert next(model.parameters()).shape[0] == 2


def test_a_fixed_policy_and_a_search_of_cells() -> None:
    found = daas.search(tensors(), network=CELLS, policy=daas.DAASPolicy.load("randaugment"), max_steps=1, **SMALL)
    assert found.summary["options"]["mode"] == "arch"
    with pytest.raises(daas.BadInput, match="no policy"):
        found.transform()


def test_a_callback_sees_every_epoch_and_stops_the_search() -> None:
    seen = []

    def stop(line: dict[str, Any]) -> Any:
        seen.append(line["epoch"])
        return np.float64(line["epoch"]) == 2  # True as NumPy has it

    found = daas.search(tensors(), network=CELLS, mode="arch", callbacks=[stop], **{**SMALL, "epochs": 5})
    assert seen == [1, 2]
    assert found.summary["stopped"] == "callback"
    assert found.summary["steps"] == 4


def test_both_halves_one_after_the_other_in_memory(tmp_path: Path) -> None:
    found = daas.search(tensors(), network=CELLS, mode="independent", max_steps=1, **SMALL)
    assert (found.genotype is None, found.policy is None) == (False, False)
    assert len(found.metrics) == 2
    assert found.summary["steps"] == 2
    assert "Normal cell" in found.report(tmp_path / "page.html").read_text()


class Pooled(nn.Module):  # an operation of one's own on an edge
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) + nn.functional.adaptive_avg_pool2d(x, 1)


class Easier(daas.estimators.Estimator):  # prefers policies under which the images are easy
    def credit(self, model: Any, passes: list[Any], v: tuple[Tensor, ...]) -> daas.estimators.Credit:
        rewards = torch.stack([-one.losses.mean() for one in passes])
        return daas.estimators.Credit(daas.estimators.log_probabilities(passes), rewards)


def test_a_primitive_and_an_estimator_of_ones_own(tmp_path: Path) -> None:
    daas.register_primitive("pooled_3x3", Pooled, draw_as="avg")
    cells = daas.CellSpace(channels=2, layers=3, nodes=2, primitives=["skip_connect", "pooled_3x3"])
    found = daas.search(tensors(), network=cells, estimator=Easier(policies=3), **{**PRINTED, "warmup_epochs": 0})
    assert found.summary["given"]["estimator"] == "Easier"
    assert found.summary["primitives"] == ["skip_connect", "pooled_3x3"]
    assert found.policy is not None
    assert len({sub.weight for sub in found.policy.sub_policies}) > 1
    assert "pooled_3x3" in found.report(tmp_path / "page.html").read_text()
    assert found.create_model()(torch.zeros(2, 3, 8, 8)).shape == (2, 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda passes: None, "gives NoneType"),
        (lambda passes: daas.estimators.Credit(daas.estimators.log_probabilities(passes), torch.zeros(2, 1)), "[2, 1]"),
    ],
)
def test_an_estimator_that_gives_no_credit_is_named(given: Any, said: str) -> None:
    class Own(daas.estimators.Estimator):
        def credit(self, model: Any, passes: list[Any], v: tuple[Tensor, ...]) -> daas.estimators.Credit:
            credit: daas.estimators.Credit = given(passes)
            return credit

    with pytest.raises(daas.BadInput) as error:
        daas.search(tensors(), network=CELLS, estimator=Own(policies=2), **{**SMALL, "warmup_epochs": 0})
    assert said in str(error.value)


def test_estimators_by_object_and_by_option_are_the_same() -> None:
    by_object = daas.search(
        tensors(), network=CELLS, estimator=daas.estimators.PerImage(policies=1, reward="fd"), max_steps=1,
        **{**SMALL, "warmup_epochs": 0},
    )  # fmt: skip
    by_option = daas.search(
        tensors(), network=CELLS, aug_estimator="per-image", policies=1, reward="fd", max_steps=1,
        **{**SMALL, "warmup_epochs": 0},
    )  # fmt: skip
    assert by_object.policy == by_option.policy
    assert by_object.summary["options"] == by_option.summary["options"]


def test_python_and_the_command_line_find_the_same_byte_for_byte(tmp_path: Path) -> None:
    images = write_folder(tmp_path / "images", *tensors(), ("dark", "bright"))
    options = {"max_steps": 3, "image_size": 8, "channels": 2, "layers": 3, "nodes": 2, "workers": 1, **SMALL}
    found = daas.search(images, preset="demo", seed=3, out=tmp_path / "python", **options)
    words = [
        word
        for name, value in options.items()
        for word in (["--no-screen"] if name == "screen" else ["--" + name.replace("_", "-"), str(value)])
    ]
    command = ["--preset", "demo", "--data-dir", str(images), "--seed", "3", "--out", str(tmp_path / "command"), *words]
    assert main(command) == 0
    for name in ("genotype.json", "policy.json"):
        assert (tmp_path / "python" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    summaries = [json.loads((tmp_path / who / "summary.json").read_text()) for who in ("python", "command")]
    for summary in summaries:
        del summary["seconds"], summary["options"]["out"], summary["options"]["race_workers"]
    assert summaries[0] == summaries[1]
    assert found.page == tmp_path / "python" / "report.html"


class WithUnusedHead(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x


class Detached(WithUnusedHead):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


@pytest.mark.parametrize(
    "estimator",
    [
        daas.estimators.PolicyGradient(policies=2),
        daas.estimators.PerImage(policies=1, reward="jvp"),
        daas.estimators.PerImage(policies=1, reward="influence"),
        daas.estimators.StraightThrough(),
    ],
)
def test_weights_that_the_logits_do_not_depend_on_do_no_harm(estimator: daas.estimators.Sampling) -> None:
    found = daas.search(tensors(), network=WithUnusedHead(), estimator=estimator, **{**SMALL, "warmup_epochs": 0})
    assert found.policy is not None


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), "lazy or scripted"),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).half(), "model.float()"),
        (Detached(), "no gradient"),
    ],
)
def test_networks_that_no_policy_can_be_learned_with_are_named(network: nn.Module, said: str) -> None:
    with pytest.raises(daas.BadInput) as error:
        daas.search(tensors(), network=network, **SMALL)
    assert said in str(error.value)


def test_a_search_where_gradients_are_off_is_refused() -> None:
    with torch.no_grad(), pytest.raises(daas.BadInput, match=r"outside of torch\.no_grad"):
        daas.search(tensors(), network=CELLS, **SMALL)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epoch": 3}, "unknown option epoch"),
        ({"preset": "tiny"}, "one of demo, cpu"),
        ({"model": "resnet18"}, "pass network"),
        ({"seeds": "0,1"}, "One call is one search"),
        ({"resume": "auto"}, "needs a folder"),
        ({"network": 3}, "of type int"),
        ({"network": CELLS, "layers": 3}, "give it once"),
        ({"network": nn.ReLU()}, "requires_grad"),
        ({"network": nn.Sequential(nn.Flatten(), nn.Linear(192, 2), nn.Softmax(1))}, "Leave out the softmax"),
        ({"network": nn.Sequential(nn.Flatten(), nn.Linear(192, 7))}, "answers in training with [2, 7]"),
        ({"policy": 3}, "of type int"),
        ({"estimator": 3}, "of type int"),
        ({"estimator": daas.estimators.PolicyGradient(), "policies": 2}, "give it once"),
        ({"policy": "randaugment", "mode": "joint"}, "goes with mode arch"),
        ({"val": (tensors()[0], torch.arange(64) % 3)}, "the training images do not have: 2"),
        ({"callbacks": ["print"]}, "A callback is a function"),
        ({"callbacks": print}, "callbacks=[log]"),
    ],
)
def test_what_cannot_be_used_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(daas.BadInput) as error:
        daas.search(tensors(), **{"batch_size": 16, **options})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"operations": ["Rotate", "Rotat"]}, "Did you mean Rotate?"),
        ({"operations": ["Rotate"]}, "at least two"),
        ({"slots": 9}, "Take fewer slots"),
    ],
)
def test_a_policy_space_that_cannot_be(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(daas.BadInput) as error:
        daas.PolicySpace(**arguments)
    assert said in str(error.value)


def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "docs" / "library.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(code, names)
    assert (tmp_path / "runs" / "mine" / "report.html").exists()
    assert "depthwise_3x3" in str(names["found"].summary["primitives"])


def test_importing_changes_nothing_around_it() -> None:
    code = """
import os, random, sys
import matplotlib, numpy, timm, torch
def state():
    return (matplotlib.get_backend(), torch.get_rng_state().tolist(), torch.get_num_threads(), dict(os.environ),
            random.getstate(), str(numpy.random.get_state()))
before = state()
import daas
heavy = [name for name in ("daas.search", "daas.train", "kornia") if name in sys.modules]
daas.search, daas.DAASPolicy, daas.Found, daas.PolicySpace
import daas.whole.api, daas.search.report.page
assert state() == before
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
