"""What a training is put together from: compiled models, the networks and schedules of recipes."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from daas.errors import BadInput
from daas.train import build, parse
from daas.train.checks import check
from daas.train.command_line import list_recipes
from tests.train.conftest import Train, weights


def test_compiled_models_train_and_save_the_same_names(
    run_train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []
    original = torch.compile

    def compiled(model: torch.nn.Module, **arguments: object) -> object:
        asked.append(arguments)
        return original(model, backend="eager")

    monkeypatch.setattr(torch, "compile", compiled)
    flags = ["--torchcompile", "--torchcompile-mode", "reduce-overhead", "--epochs", "1"]
    plain, fast = (run_train(*words, out=f"{k}") for k, words in enumerate((["--epochs", "1"], flags)))
    assert (plain[0], fast[0]) == (0, 0)
    assert "steps     compiled by inductor" in capsys.readouterr().out
    assert asked == [{"backend": "inductor", "mode": "reduce-overhead"}]
    assert torch.allclose(weights(plain[1]), weights(fast[1]), atol=1e-5)
    assert load_file(plain[1] / "last.safetensors").keys() == load_file(fast[1] / "last.safetensors").keys()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("num_classes=5", "this is --num-classes. Write --num-classes 5."),
        ("device=meta", "this is --device"),
        ("pretrained=true", "pretrained is no argument of a network: --pretrained"),
        ("model=x", "unexpected keyword argument 'model'"),
        ("start=1", "unexpected keyword argument 'start'"),
    ],
)
def test_arguments_of_a_model_that_are_options_are_named(word: str, said: str) -> None:
    options = parse(["--dataset", "digits", "--model", "test_resnet", "--model-kwargs", word])
    with pytest.raises(BadInput, match=re.escape(said)):
        build.network(options, 3)


def test_a_policy_does_not_break_the_graph_of_a_compiled_step(
    run_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is one graph, and the policy runs before it: bytes become floats outside."""
    graphs: list[torch.fx.GraphModule] = []
    original = torch.compile

    def kept(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph)
        return graph.forward

    def compiled(model: torch.nn.Module, **arguments: object) -> object:
        return original(model, backend=kept, fullgraph=True)

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", compiled)
    assert run_train("--torchcompile", "--epochs", "2", "--aa", "daas:randaugment", out="compiled")[0] == 0
    assert len(graphs) == 1


@pytest.mark.parametrize("recipe", [name for name in list_recipes() if name not in ("digits-cpu", "finetune")])
def test_recipes_build_their_networks(recipe: str) -> None:
    options = parse(["--recipe", recipe])
    check(options)
    with torch.device("meta"):
        model = build.network(options, 10)
    size = build.data_config(options)["input_size"]
    assert size == ((3, 224, 224) if recipe == "imagenet" else (3, 32, 32))
    assert build.optimizer(options, model, 1).param_groups[0]["lr"] == options.lr
    assert build.schedule(options, build.optimizer(options, model, 1), 10)[1] == options.epochs


@pytest.mark.parametrize("model", ["test_resnet", "test_vit", "darts_v2_cifar"])
def test_fine_tuning_moves_early_layers_less(model: str) -> None:
    """Over the width of the network its rate falls by a factor per layer; the rate itself follows the batch."""
    options = parse(["--recipe", "finetune", "--model", model, "--no-pretrained", "--batch-size", "64"])
    check(options)
    assert parse(["--recipe", "finetune"]).pretrained
    with torch.device("meta"):
        made = build.optimizer(options, build.network(options, 3), 1)
    scales = sorted({group["lr_scale"] for group in made.param_groups})
    assert scales[-1] == 1.0
    assert len(scales) > 3
    assert all(low == pytest.approx(0.75 * high) for low, high in pairwise(scales))
    assert made.param_groups[0]["lr"] == pytest.approx(1e-3 * 64 / 256)
    plan, epochs = build.schedule(options, made, 10)
    assert epochs == 30
    plan.step_update(25)  # within the warm-up
    head = max(made.param_groups, key=lambda group: group["lr_scale"])
    assert 0 < head["lr"] < 1e-3 * 64 / 256
    assert min(group["lr"] / head["lr"] for group in made.param_groups) == pytest.approx(scales[0])


def test_the_classifier_that_is_scaled_is_the_one_that_was_loaded(run_train: Train) -> None:
    leave_out = ("--model", "--model-kwargs", "--img-size")
    net = ["--model", "test_resnet", "--img-size", "32", "--epochs", "1"]
    code, first = run_train(*net, out="first", leave_out=leave_out)
    assert code == 0
    start = str(first / "last.safetensors")
    options = [*net, "--initial-checkpoint", start, "--head-init-scale", "0.5"]
    leave_out = (*leave_out, "--lr")
    _, scaled = run_train(*options, "--lr", "0", out="scaled", leave_out=leave_out)
    _, biased = run_train(*options, "--lr", "0", "--head-init-bias", "3", out="biased", leave_out=leave_out)
    before, after = load_file(first / "last.safetensors"), load_file(scaled / "last.safetensors")
    learned = [name for name in before if name.endswith(("weight", "bias"))]
    head = {name for name in learned if not torch.equal(before[name], after[name])}
    assert {name.rpartition(".")[2] for name in head} == {"weight", "bias"}  # timm's script scales both
    assert all(torch.equal(0.5 * before[name], after[name]) for name in head)
    bias = next(name for name in head if name.endswith("bias"))
    assert load_file(biased / "last.safetensors")[bias].unique().tolist() == [3.0]


def test_arguments_of_networks_may_be_named_where_there_is_an_option_too() -> None:
    model = build.network(parse(["--model", "resnet10t", "--model-kwargs", "drop_rate=0.25"]), 3)
    assert model.drop_rate == 0.25
    assert build.network(parse(["--model", "resnet10t", "--drop", "0.5"]), 3).drop_rate == 0.5
