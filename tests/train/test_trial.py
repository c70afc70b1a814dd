"""One step is tried before anything is written: what it finds, and that it leaves no trace."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from timm.models import register_model
from torch import Tensor, nn

from daas.data import MemoryImages
from daas.errors import BadInput
from daas.models.logits import fault
from daas.randomness import capture
from daas.train.batches import Place
from daas.train.fit import Recipe, _training
from daas.train.training import Training
from daas.train.trial import try_out
from tests.train.conftest import Train


def network(classes: int = 10, **_: object) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, classes),
    )  # fmt: skip


def training(make: Callable[[], nn.Module] = network, size: int = 8, recipe: Recipe | None = None) -> Training:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (20, 3, size, size), generator=random, dtype=torch.uint8)
    data = MemoryImages("made", images, torch.arange(20) % 10, tuple("abcdefghij"))
    return _training(make, data, data, recipe or Recipe(batch_size=10), 0, Place(torch.device("cpu")))


def test_weights_statistics_modes_and_streams_are_what_they_were() -> None:
    run = training(recipe=Recipe(batch_size=10, mixup=0.3, reprob=0.5, opt="lookahead_adamw"))
    run.learner.model[1].eval()  # type: ignore[index]  # a Sequential
    before = {name: tensor.clone() for name, tensor in run.learner.model.state_dict().items()}
    streams = capture(torch.device("cpu"))
    try_out(run)
    after = run.learner.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert torch.equal(capture(torch.device("cpu")), streams)
    assert not run.learner.model[1].training  # type: ignore[index]  # a Sequential
    assert run.learner.model[0].training  # type: ignore[index]  # a Sequential
    assert all(parameter.grad is None for parameter in run.learner.model.parameters())
    assert not run.learner.optimizer.state_dict()["state"]


def test_memory_grows_with_what_is_kept_and_with_the_optimizers_state() -> None:
    images = 10 * 3 * 8 * 8 * 4
    plain = try_out(training())
    assert plain > images
    assert try_out(training(recipe=Recipe(batch_size=20))) - plain > images
    weights = sum(p.nbytes for p in network().parameters())
    adam = try_out(training(recipe=Recipe(batch_size=10, opt="adamw"))) - plain
    assert weights <= adam <= 1.2 * weights + 100  # two slots instead of one


class Model(nn.Module):
    """Answers as a function says."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(10))
        self.answer = answer

    def forward(self, images: Tensor) -> object:
        return self.answer(images.mean((1, 2, 3)).unsqueeze(1) * self.weight)


def out_of_memory(_: Tensor) -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def no_memory(_: Tensor) -> Tensor:
    raise MemoryError


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (out_of_memory, "batch of 10 images of 8 x 8 pixels with --opt sgd: CUDA out of memory.*smaller --batch-size"),
        (no_memory, "smaller --batch-size"),
        (lambda x: x.detach(), "Nothing in this model has a gradient"),
        (lambda x: x.unsqueeze(2).expand(-1, -1, 3).mean((0, 2)).expand(10, 10).unsqueeze(2), "cannot take a step"),
        (lambda x: {"logits": x}, "cannot take a step"),
    ],
)
def test_models_that_cannot_be_trained_are_named(answer: Callable[[Tensor], object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        try_out(training(lambda: Model(answer)))


def test_probabilities_are_no_logits() -> None:
    with pytest.raises(BadInput, match=r"10 images with probabilities, whose rows sum to 1.* Leave out the softmax"):
        try_out(training(lambda: Model(lambda x: (x + torch.arange(x.numel()).view_as(x).remainder(7)).softmax(1))))


def test_the_same_answer_to_all_images_may_sum_to_1() -> None:
    """As that of a classifier whose weights begin with zeros."""
    assert fault(torch.full((4, 2), 0.5), 4, 2) == ""
    assert fault(torch.tensor([[0.5, 0.5], [0.25, 0.75]]), 2, 2).startswith("probabilities")


def test_features_are_no_logits() -> None:
    with pytest.raises(BadInput, match=r"--model Model answers 10 images with \[10, 20\], not with logits \[10, 10\]"):
        try_out(training(lambda: Model(lambda x: x.repeat(1, 2))))


def test_images_that_are_too_small_are_told() -> None:
    def deep() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 7), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(4, 10))

    with pytest.raises(BadInput, match=r"batch of 10 images of 8 x 8 pixels.*too small"):
        try_out(training(deep))


@register_model
def daas_test_deep(pretrained: bool = False, **_: object) -> nn.Module:
    """Batch norm over one value per image."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 10))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "daas_test_deep", "-b", "1", "--model-kwargs"], "Batch norm needs more than one value"),
        (["--opt", "adahessian"], "second derivatives"),
        (["--opt", "kron"], "--opt kron keeps what no checkpoint holds (Q, rng_state)"),
        (["--sched", "step", "--decay-epochs", "0"], "--decay-epochs 0.0: it must be above 0"),
    ],
)
def test_nothing_is_written_where_a_step_fails(
    run_train: Train, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_train(*words)
    said = capsys.readouterr()
    assert code == 2
    assert message in said.err
    assert not out.exists()


def test_a_step_that_cannot_be_compiled_is_told_before_anything_is_written(
    run_train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(graph: torch.fx.GraphModule, inputs: object) -> object:
        raise RuntimeError("no working compiler was found")

    original = torch.compile
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", lambda model, **_: original(model, backend=broken))
    code, out = run_train("--torchcompile")
    said = capsys.readouterr().err
    assert code == 2
    assert "error: --torchcompile inductor: --model daas_test_convnet takes a step as it is, and none when it" in said
    assert "no working compiler was found" in said
    assert not out.exists()


def test_a_warm_up_as_long_as_the_run_is_said(run_train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    run_train("--epochs", "1", "--warmup-epochs", "5")
    assert "the warm-up (--warmup-epochs 5) takes up all 1 epochs" in capsys.readouterr().err
    run_train("--epochs", "2", "--warmup-epochs", "1", out="other")
    assert "warm-up" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--epochs 2", ""),
        ("--epochs 2 --model-ema", "still consists to 100% of the weights that it began with"),
        ("--epochs 2 --model-ema --model-ema-decay 0.2", ""),
        ("--epochs 2 --model-ema --model-ema-warmup", ""),
        ("--epochs 2 --model-ema --model-ema-force-cpu", ""),
    ],
)
def test_a_moving_average_that_does_not_move_is_said(
    flags: str, said: str, run_train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    run_train(*flags.split())
    warned = capsys.readouterr().err
    assert said in warned
    assert bool(said) == ("moving average" in warned)


def test_what_begins_is_said_before_a_step_is_tried(
    run_train: Train, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU that step may take half a minute."""
    said: list[str] = []

    def stop(run: Training) -> int:
        said.append(capsys.readouterr().out)
        raise BadInput("enough")

    monkeypatch.setattr("daas.train.run.try_out", stop)
    run_train()
    assert said[0].startswith("images    ")
    assert "memory" not in said[0]


def test_a_summary_says_what_begins(run_train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train()[0] == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "images    digits: 500 for training, 500 for validation; 10 classes; 8 x 8 pixels\n"
        "network   daas_test_convnet: 0.00 million parameters\n"
        "training  2 epochs of 3 iterations with 128 images: 6 iterations\n"
        "memory    about 0.0"
    )
    assert said.count("images    ") == 1
    first = said.index("epoch   1/2")
    assert re.match(r"An epoch takes \d+ s: about \d+ s for the rest\.\n", said[said.index("\n", first) + 1 :])
    assert said.count("An epoch takes") == 1
