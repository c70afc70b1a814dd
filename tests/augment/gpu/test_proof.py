"""``backend="auto"`` takes the kernels where a device has shown that they give the CPU's bytes, and only there."""

from __future__ import annotations

import sys
import warnings
from types import ModuleType, SimpleNamespace

import pytest
import torch

from daas import DAASPolicy, augment
from daas.augment.gpu import proof, trusted
from daas.augment.ops import choose_backend
from tests.augment.gpu.test_interpreted import run

GPU = torch.device("cuda", 0)
PROVED = """
import torch
from daas.augment.gpu import driver, proof

here = torch.device("cpu")
torch.set_default_dtype(torch.bfloat16)
with torch.device("meta"), torch.inference_mode():
    print(proof.differing(here, False, 45), proof.differing(here, True, 4))
    right = driver.run
    driver.run = lambda images, draw, colors: right(images, draw, colors) ^ (draw.op[:, 0] == 4).view(-1, 1, 1, 1)
    print(proof.differing(here, False, 45))
    driver.run = lambda *given: given.none
    print(proof.differing(here, False, 45))
"""


def test_the_kernels_pass_and_what_is_wrong_is_named() -> None:
    """In Triton's interpreter; 45 images are two of each operation in the first slot."""
    passed, wrong, stopped = run("-c", PROVED, TRITON_INTERPRET="1").splitlines()
    assert passed == "None None"
    assert wrong == "3 of 45 images differ from Pillow's, the first under Rotate then Color"
    assert stopped == "they do not run there (AttributeError: 'tuple' object has no attribute 'none')"


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.device, bool]]:
    """A machine that says it has CUDA and Triton; what is asked of its device."""
    asked: list[tuple[torch.device, bool]] = []

    def differing(device: torch.device, large: bool) -> str | None:
        asked.append((device, large))
        return "4 of 400 images differ from Pillow's" if large else None

    monkeypatch.setattr(augment.gpu, "reason_against", lambda device: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(proof, "differing", differing)
    monkeypatch.setattr(augment.gpu, "_answers", {})
    return asked


def batch(side: int, device: torch.device = GPU, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    """What ``choose_backend`` asks of a batch."""
    shape = torch.Size((2, 3, side, side))
    return SimpleNamespace(device=device, shape=shape, is_floating_point=lambda: dtype.is_floating_point)  # type: ignore[return-value]  # no CUDA here


def test_a_device_is_asked_once_for_small_and_once_for_large_images(cuda: list[tuple[torch.device, bool]]) -> None:
    assert [choose_backend("auto", batch(side)) for side in (32, 128, 8)] == ["triton"] * 3
    assert choose_backend("auto", batch(32, dtype=torch.float32)) == "triton"
    assert trusted(torch.device("cuda"), 9)
    assert cuda == [(GPU, False)]
    with pytest.warns(UserWarning, match=r"not used on cuda:0: 4 of 400 images differ from Pillow's\. torch augments"):
        assert choose_backend("auto", batch(129)) == "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_backend("auto", batch(224)) == "torch"
    assert cuda == [(GPU, False), (GPU, True)]
    assert choose_backend("auto", batch(32, torch.device("cuda", 1))) == "triton"
    assert cuda[2:] == [(torch.device("cuda", 1), False)]


def test_nothing_is_asked_where_the_kernels_have_no_place(
    cuda: list[tuple[torch.device, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_backend("auto", batch(32, dtype=torch.float32), quantize=False) == "torch"
    assert choose_backend("torch", batch(32)) == "torch"
    assert choose_backend("auto", batch(32, torch.device("meta"))) == "torch"
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert choose_backend("auto", batch(32)) == "torch"  # a capture cannot compare
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert cuda == []
    assert choose_backend("auto", batch(32)) == "triton"


def test_draws_follow(cuda: list[tuple[torch.device, bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    draws = ModuleType("daas.augment.gpu.draws")
    draws.sample = lambda tables, count, address: made.append(count)  # type: ignore[attr-defined]  # all that is asked
    monkeypatch.setitem(sys.modules, "daas.augment.gpu.draws", draws)
    monkeypatch.setattr("daas.augment.counter.Tables.on", lambda *given: None)
    monkeypatch.setattr("daas.augment.counter.sample", lambda tables, count, address: None)
    for backend in ("auto", "triton", "torch"):
        DAASPolicy.load("randaugment", backend=backend).sample(len(made) + 5, device="cuda:0")
    assert made == [5, 6]
