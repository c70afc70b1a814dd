"""What a program has set for all of torch does not reach into a call, and is afterwards as it was."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import daas
from daas.surroundings import usual_torch
from daas.train.fit import Recipe, fit

IMAGES = torch.randint(256, (48, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
DATA = (IMAGES, torch.arange(48) % 2)
CELLS = daas.CellSpace(channels=2, layers=3, nodes=2)
SMALL: dict[str, Any] = {"max_steps": 1, "batch_size": 8, "warmup_epochs": 0, "screen": False, "race": 0}


def search() -> Any:
    return daas.search(DATA, network=CELLS, **SMALL).metrics[-1]["val_loss"]


def step() -> Any:
    return daas.Search(cells=CELLS, num_classes=2).step((IMAGES[:8], DATA[1][:8]), (IMAGES[8:16], DATA[1][8:16]))


def train() -> Any:
    options = {"epochs": 1, "batch_size": 16, "warmup_epochs": 0, "img_size": 32, "output": "out"}
    folder = f"run{len(list(Path().glob('out/*')))}"
    return daas.train(DATA, val=DATA, model="test_resnet", experiment=folder, **options)["loss"]


def screen() -> Any:
    return daas.screen(DATA, epochs=1, operations=["HFlip", "Rotate"]).clean


def race() -> Any:
    candidates = [("test_resnet", None)]
    found = daas.race(DATA, candidates, trainings=2, folds=2, epochs=1, batch_size=16, image_size=32, seed=np.int64(3))
    return [row.accuracy for row in found.rows]


def fitted() -> Any:
    images = daas.data.images_from(DATA)
    recipe = Recipe(epochs=np.int64(1), batch_size=np.int64(16))
    return fit(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), images, images, recipe).losses


@pytest.mark.parametrize("call", [search, step, train, screen, race, fitted])
def test_default_types_and_autocast_stay_outside(
    call: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = call()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert call() == expected
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("call", [search, train, screen, race, fitted])
def test_gradients_that_are_off_are_named(
    call: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for off in (torch.no_grad(), torch.inference_mode()):
        with off, pytest.raises(daas.BadInput, match=r"outside of torch\.no_grad"):
            call()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_error_leaves_everything_as_it_was() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(ValueError, match="within"), usual_torch():
            raise ValueError("within")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_calls_in_threads_take_turns() -> None:
    inside, most, found = 0, 0, []

    def call() -> None:
        nonlocal inside, most
        with usual_torch():
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            found.append(torch.get_default_dtype())
            inside -= 1

    torch.set_default_dtype(torch.float64)
    try:
        with usual_torch(), usual_torch():  # a call within a call waits for nobody
            threads = [threading.Thread(target=call) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.05)
            assert not found
        for thread in threads:
            thread.join(10)
        assert (most, found) == (1, [torch.float32] * 3)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("call", [search, fitted])
def test_in_threads_each_call_gives_what_it_gives_alone(call: Callable[[], Any]) -> None:
    """As Optuna calls an objective with n_jobs above 1."""
    alone = call()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: call(), range(3))) == [alone] * 3


def test_a_process_that_is_forked_during_a_call_waits_for_nobody() -> None:
    def child() -> None:
        with usual_torch():
            os._exit(7)

    in_call, done = threading.Event(), threading.Event()

    def call() -> None:
        with usual_torch():
            in_call.set()
            done.wait(60)

    thread = threading.Thread(target=call)
    thread.start()
    in_call.wait(60)
    forked = multiprocessing.get_context("fork").Process(target=child)
    forked.start()
    forked.join(30)
    done.set()
    thread.join(10)
    assert forked.exitcode == 7


def test_numbers_of_numpy_and_devices_of_torch_are_options() -> None:
    by_hand = {**SMALL, "max_steps": np.int64(1), "lr": np.float32(0.5), "device": torch.device("cpu")}
    found = daas.search(
        DATA,
        network=daas.CellSpace(channels=np.int64(2), layers=3, nodes=2),
        seed=np.int32(3),
        amp=np.False_,
        **by_hand,
    )
    options = found.summary["options"]
    assert (options["lr"], options["amp"], found.summary["seed"]) == (0.5, False, 3)
    space = daas.PolicySpace(slots=np.int64(1), operations=["Rotate", "Color"], limits={"Rotate": np.float64(9)})
    assert type(space.slots) is int
    with pytest.raises(daas.BadInput, match="expected int"):
        daas.search(DATA, network=CELLS, **{**SMALL, "max_steps": np.float64(1)})
    recipe = Recipe(epochs=np.int64(2), lr=np.float32(0.5), mean=(np.float64(0.5),) * 3)
    assert json.dumps(asdict(recipe)) == json.dumps(asdict(Recipe(epochs=2, lr=0.5, mean=(0.5,) * 3)))
