"""Captured steps without a GPU: the same step called each time, and a pretended graph that minds what a graph minds."""

from __future__ import annotations

import gc
import json
import re
import weakref
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

from daas import DAASPolicy
from daas.errors import BadInput
from daas.recording import Eager, Uncapturable, undone
from daas.train import assemble, build, captured
from daas.train.assemble import Run
from daas.train.batches import Place
from daas.train.captured import why_eager
from daas.train.fit import Recipe, fit
from daas.train.options import TrainOptions
from daas.train.rates import rates_of
from tests.augment.gpu.test_interpreted import run
from tests.pretended_gpu import DEVICE, PretendedGPU
from tests.pretended_graph import PretendedGraph
from tests.train.conftest import Train, weights
from tests.train.test_fit import TRAIN, VAL, network
from tests.train.test_run import stop_before

CPU, CUDA = Place(torch.device("cpu")), Place(torch.device("cuda"))


def sgd(lr: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Lets trainings take captured steps wherever their options allow it, kept by what a function makes."""

    def use(make: Callable[[], Any]) -> None:
        monkeypatch.setattr(assemble, "why_eager", captured._against)
        monkeypatch.setattr(captured, "recorder", lambda device, alone: make())

    return use


@pytest.mark.parametrize(
    "options",
    [
        "--momentum 0.8 --weight-decay 0.01",
        "--opt momentum --momentum 0",
        "--opt adamw --opt-betas 0.8 0.9 --model-kwargs width=4",
        "--opt adam --clip-grad 0.5 --aa daas:randaugment --cutout 2",
        "--clip-grad 0.01 --clip-mode value --amp --amp-dtype bfloat16",
        "--clip-grad 0.01 --clip-mode agc --channels-last --reprob 0.5",
        "--mixup 0.2 --mixup-off-epoch 1 --sched-on-updates --layer-decay 0.7",
        "--model-ema --model-ema-decay 0.9 --model-ema-warmup --sched onecycle --drop 0.3",
    ],
)
@pytest.mark.parametrize("kept_by", [Eager, PretendedGraph])
def test_the_weights_are_those_of_the_steps_without(
    run_train: Train, capture: Any, options: str, kept_by: Callable[[], Any]
) -> None:
    code, plain = run_train(*options.split(), out="plain")
    assert code == 0
    capture(kept_by)
    code, found = run_train(*options.split(), out="captured")
    assert code == 0
    torch.testing.assert_close(weights(found), weights(plain), rtol=1e-3, atol=2e-5)
    one, other = (json.loads((out / "result.json").read_text())["last"] for out in (plain, found))
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)
    rows = [(out / "summary.csv").read_text().splitlines() for out in (plain, found)]
    losses = [[float(line.split(",")[1]) for line in lines[1:]] for lines in rows]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_stopped_and_resumed_it_comes_to_the_same(
    run_train: Train, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(PretendedGraph)
    options = ("--opt", "adamw", "--batch-size", "64", "--epochs", "3", "--model-ema", "--drop", "0.2")
    _, whole = run_train(*options, out="whole")
    with monkeypatch.context() as patch:
        stop_before(2, patch)
        assert run_train(*options, out="stopped")[0] == 130
    assert run_train(*options, "--resume", "auto", out="stopped")[0] == 0
    assert torch.equal(weights(whole.parent / "stopped"), weights(whole))


def test_resumed_within_an_epoch_it_comes_to_the_same(
    run_train: Train, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(PretendedGraph)
    options = ("--batch-size", "64", "--recovery-interval", "2", "--sched", "onecycle")
    _, whole = run_train(*options, out="whole")
    from daas.train import run as module

    save = module._save

    def stop(run: Run, within_epoch: bool) -> None:
        save(run, within_epoch)
        if within_epoch and run.progress.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_save", stop)
        assert run_train(*options, out="stopped")[0] == 130
    assert run_train(*options, "--resume", "auto", out="stopped")[0] == 0
    assert torch.equal(weights(whole.parent / "stopped"), weights(whole))
    one, other = (
        json.loads((whole.parent / name / "result.json").read_text())["last"] for name in ("whole", "stopped")
    )
    assert one == other


def test_a_step_is_captured_once_and_again_where_the_network_changes(run_train: Train, capture: Any) -> None:
    capture(PretendedGraph)
    PretendedGraph.recorded = 0
    assert run_train("--epochs", "3", "--mixup", "0.2", "--mixup-off-epoch", "1")[0] == 0
    assert PretendedGraph.recorded == 1
    PretendedGraph.recorded = 0
    ramp = (
        "--model",
        "daas_cell_cifar",
        "--model-kwargs",
        "channels=4",
        "layers=3",
        "--drop-path",
        "0.2",
        "--drop-path-ramp",
    )
    assert run_train("--epochs", "2", *ramp, out="ramp", leave_out=("--model", "--model-kwargs"))[0] == 0
    assert PretendedGraph.recorded == 2


def test_a_graph_is_freed_with_its_training(capture: Any) -> None:
    made: list[weakref.ref[PretendedGraph]] = []

    def recorder() -> PretendedGraph:
        one = PretendedGraph()
        made.append(weakref.ref(one))
        return one

    capture(recorder)
    gc.collect()
    gc.disable()
    try:
        found = fit(network, TRAIN, VAL, Recipe(epochs=1, batch_size=16))
        assert found.logits.isfinite().all()
        assert [one() for one in made] == [None]
    finally:
        gc.enable()


def has_fused_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch knows of no fused optimizers on the pretended GPU; they are the CPU's."""
    monkeypatch.setattr(import_module("torch.optim.sgd"), "_device_dtype_check_for_fused", lambda parameter: None)


@pytest.mark.parametrize("options", ["--aa daas:randaugment", "--clip-grad 0.5"])
def test_on_a_pretended_gpu_it_waits_for_nothing(
    run_train: Train, capture: Any, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, here = run_train(*options.split(), out="here")
    has_fused_form(monkeypatch)
    with PretendedGPU() as gpu:
        capture(lambda: PretendedGraph(gpu))
        code, there = run_train(*options.split(), "--device", DEVICE, out="there")
    assert code == 0
    torch.testing.assert_close(weights(there), weights(here), rtol=1e-3, atol=1e-4)


def test_between_two_looks_the_host_waits_for_no_step(capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches, draws and the step: all is sent, nothing is asked for."""
    has_fused_form(monkeypatch)
    with PretendedGPU() as gpu:
        capture(lambda: PretendedGraph(gpu))
        seen: list[tuple[int, int]] = []
        policy = DAASPolicy.load("randaugment", backend="torch")
        recipe = Recipe(epochs=2, batch_size=8)
        watch = lambda: bool(seen.append((len(gpu.waits), len(gpu.blocking))))  # noqa: E731
        fit(network, TRAIN, VAL, recipe, device=DEVICE, augment=policy, stop=watch)
    for epoch in (seen[:8], seen[8:]):
        assert len(epoch) == 8
        assert len(set(epoch[1:-1])) == 1  # the first captures, the last looks


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"torchcompile": "inductor"}, "--torchcompile"),
        ({"grad_accum_steps": 2}, "--grad-accum-steps"),
        ({"grad_checkpointing": True}, "--grad-checkpointing"),
        ({"amp": True}, "--amp-dtype float16 .*bfloat16"),
        ({"sched": "plateau"}, "--sched plateau"),
        ({"opt": "lamb"}, "--opt lamb .*adamw"),
        ({"opt_kwargs": {"maximize": False}}, "--opt-kwargs"),
        ({"graph": "off"}, "--graph off"),
    ],
)
def test_what_does_not_go_with_it_is_named(given: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "why_not_tried", lambda: None)
    options = TrainOptions(**given)
    optimizer = build.optimizer(options, nn.Linear(2, 2), 1)
    assert why_eager(TrainOptions(), CUDA, sgd()) is None
    assert why_eager(TrainOptions(amp=True, amp_dtype="bfloat16", graph="on"), CUDA, sgd()) is None
    reason = why_eager(options, CUDA, optimizer)
    assert reason is not None
    assert re.match(said, reason)
    if options.graph == "auto":
        with pytest.raises(BadInput, match="--graph on: "):
            why_eager(replace(options, graph="on"), CUDA, optimizer)


def test_several_processes_and_other_devices_are_named() -> None:
    assert "2 processes" in str(why_eager(TrainOptions(), replace(CUDA, world=2), sgd()))
    assert "the device is cpu" in str(why_eager(TrainOptions(), CPU, sgd()))


def test_without_cuda_it_is_refused_and_nothing_is_written(
    run_train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_train("--graph", "on", "--device", "cpu")
    assert code == 2
    assert "error: --graph on: CUDA graphs are for CUDA, and the device is cpu" in capsys.readouterr().err
    assert not out.exists()


class Refusing(Eager):
    """Warms up, and then cannot capture anything."""

    def record(self, function: Any, tensors: Any, optimizer: Any) -> None:
        with undone(tensors, optimizer, torch.device("cpu")):
            function()
        raise Uncapturable("it asks for a value")


def test_a_network_that_cannot_be_captured_is_said_once_and_trained(
    run_train: Train, capture: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _, plain = run_train("--aa", "daas:randaugment", out="plain")
    capture(Refusing)
    code, found = run_train("--aa", "daas:randaugment", out="refused")
    assert code == 0
    assert capsys.readouterr().err.count("not captured as a CUDA graph: it asks for a value.") == 1
    torch.testing.assert_close(weights(found), weights(plain), rtol=1e-3, atol=1e-5)
    assert run_train("--graph", "on", out="asked")[0] == 2
    assert "the step cannot be captured: it asks for a value" in capsys.readouterr().err


def test_a_loss_that_is_no_number_is_told_with_its_batch(
    run_train: Train, capture: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train("--lr", "1e30", "--batch-size", "32", out="plain")[0] == 1
    where = re.search(r"epoch \d+, batch \d+", capsys.readouterr().err)
    assert where is not None
    capture(Eager)
    assert run_train("--lr", "1e30", "--batch-size", "32", out="captured")[0] == 1
    said = capsys.readouterr().err
    assert where.group() in said
    assert "with --graph off it is saved" in said


@pytest.mark.parametrize(
    "options",
    [
        *[{"sched": name} for name in ("cosine", "tanh", "step", "multistep", "poly", "onecycle", "none")],
        {"sched": "cosine", "sched_on_updates": True, "warmup_epochs": 2, "warmup_prefix": True},
        {"sched": "step", "decay_epochs": 2, "lr_noise": (0.2, 0.9), "layer_decay": 0.5},
        {"sched": "cosine", "lr_cycle_limit": 2, "lr_cycle_mul": 1.5, "cooldown_epochs": 1, "min_lr": 1e-3},
        {"sched": "poly", "sched_on_updates": True, "lr_k_decay": 0.5, "decay_milestones": (1, 3)},
    ],
)
def test_the_table_is_the_schedule(options: dict[str, Any]) -> None:
    """What the optimizer holds before each update, where the schedule is moved as a training moves it."""
    given = {"epochs": 5, "warmup_epochs": 1, "lr": 0.3, **options}
    chosen, per_epoch = TrainOptions(**given), 4
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    optimizer = build.optimizer(chosen, model, 1)
    schedule, epochs = build.schedule(chosen, optimizer, per_epoch)
    seen = []
    for epoch in range(epochs):
        for update in range(per_epoch):
            seen.append([group["lr"] for group in optimizer.param_groups])
            if schedule is not None:
                schedule.step_update(num_updates=epoch * per_epoch + update + 1, metric=1.0)
        if schedule is not None:
            schedule.step(epoch + 1, None)
    table = rates_of(chosen, optimizer, per_epoch)
    assert table.tolist() == seen
    assert len(table) == epochs * per_epoch
    assert len(set(map(tuple, seen))) > (options["sched"] != "none")


def test_what_is_undone_leaves_no_trace() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    tensors = [*model.parameters(), *model.buffers()]

    def step() -> None:
        optimizer.zero_grad()
        model(torch.rand(4, 3)).square().sum().backward()
        optimizer.step()

    before = [tensor.clone() for tensor in tensors]
    random = torch.get_rng_state()
    with undone(tensors, optimizer, torch.device("cpu")):
        step()
    assert all(torch.equal(*pair) for pair in zip(tensors, before, strict=True))
    assert torch.equal(torch.get_rng_state(), random)
    momenta = [state["momentum_buffer"] for state in optimizer.state.values()]
    assert len(momenta) == 4
    assert not any(bool(momentum.any()) for momentum in momenta)
    step()
    kept, places = [momentum.clone() for momentum in momenta], [momentum.data_ptr() for momentum in momenta]
    with undone(tensors, optimizer, torch.device("cpu")):
        step()
    assert all(torch.equal(*pair) for pair in zip(momenta, kept, strict=True))
    assert [state["momentum_buffer"].data_ptr() for state in optimizer.state.values()] == places


INTERPRETED = """
import torch
from daas import DAASPolicy
from daas.augment import Draw
from daas.train import assemble, captured
from daas.train.fit import Recipe, fit
from tests.pretended_graph import PretendedGraph
from tests.train.test_fit import TRAIN, VAL, network

recipe = Recipe(epochs=1, batch_size=16)
plain = fit(network, TRAIN, VAL, recipe, augment=DAASPolicy.load("randaugment", backend="torch"))
kinds, whose = [], []
finish = captured.BatchAugmentation.finish

@torch.library.custom_op("daas_tests::finish", mutates_args=())  # so that the pretended graph sees the kernels
def finished(images: torch.Tensor, op: torch.Tensor, value: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    kinds.append(images.dtype)
    return finish(whose[-1], images, Draw(op, value, center))

def seen(self, images, draw):
    whose.append(self)
    return finished(images, draw.op, draw.value, draw.center)

captured.BatchAugmentation.finish = seen
assemble.why_eager = captured._against
captured.recorder = lambda device, alone: PretendedGraph()
found = fit(network, TRAIN, VAL, recipe, augment=DAASPolicy.load("randaugment", backend="triton"))
torch.testing.assert_close(found.logits, plain.logits, rtol=1e-3, atol=1e-4)
assert set(kinds) == {torch.uint8} and len(kinds) == 3 + 1 + 4, kinds
print("equal")
"""


def test_bytes_and_the_policys_draw_go_into_the_step() -> None:
    assert "equal" in run("-c", INTERPRETED, TRITON_INTERPRET="1")
