"""``backend="auto"`` takes a build of the kernels where a device has shown that it gives the CPU's bytes."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from daas import DAASPolicy, augment
from daas.augment.gpu import Build, block, proof, trusted
from daas.augment.ops import Form, build, choose_backend
from tests.augment.gpu.test_interpreted import run

GPU = torch.device("cuda", 0)
PROVED = """
import torch
from daas.augment.gpu import Build, driver, proof

like = torch.zeros(1, 3, 16, 15, dtype=torch.uint8)
grey, wide = like[:, :1], torch.zeros(1, 3, 130, 129, dtype=torch.uint8)
last = like.contiguous(memory_format=torch.channels_last)
torch.set_default_dtype(torch.bfloat16)
with torch.device("meta"), torch.inference_mode(), torch.autocast("cpu"):
    for images, wanted in ((like, Build(2)), (grey, Build(1, torch.float32)), (wide, Build(2, torch.float16, True)),
                           (last, Build(3, torch.float32, True, True))):
        print(proof.differing(images, wanted, 45 if images is like else 6))
    right = driver.run
    driver.run = lambda images, draw, *given, **how: right(images, draw, *given, **how) ^ (
        draw.op[:, 0] == 4).view(-1, 1, 1, 1)
    print(proof.differing(like, Build(2), 45))
    driver.run = lambda *given, **how: given.none
    print(proof.differing(like, Build(2), 45))
"""


def test_builds_pass_and_what_is_wrong_is_named() -> None:
    """In Triton's interpreter; 45 images are two of each operation in the first slot."""
    *passed, wrong, stopped = run("-c", PROVED, TRITON_INTERPRET="1").splitlines()
    assert passed == ["None"] * 4
    assert wrong == "3 of 45 images differ from Pillow's, the first under Rotate then Color"
    assert stopped == "they do not run there (AttributeError: 'tuple' object has no attribute 'none')"


def test_every_operation_follows_every_other_one() -> None:
    op = proof._draw(400, 2, torch.Generator()).op
    kinds = len(augment.space.OPERATIONS) + len(augment.space.BASE)
    assert len(op.unique(dim=0)) == 400 == kinds**2


def test_no_memory_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> str | None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(proof, "_compared", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        proof.differing(torch.zeros(1, 3, 8, 8), Build(2))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Build]]:
    """A machine that says it has CUDA and Triton; what is asked of its device: pixels and the build."""
    asked: list[tuple[int, Build]] = []

    def differing(like: torch.Tensor, wanted: Build) -> str | None:
        asked.append((like.shape[-1], wanted))
        return "4 of 40 images differ from Pillow's" if like.shape[-1] > 128 else None

    monkeypatch.setattr(augment.gpu, "reason_against", lambda device: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(proof, "differing", differing)
    monkeypatch.setattr(augment.gpu, "_answers", {})
    return asked


def batch(side: int, device: torch.device = GPU, dtype: torch.dtype = torch.uint8, channels: int = 3) -> torch.Tensor:
    """What is asked of a batch."""
    shape = torch.Size((2, channels, side, side))
    plain = {"ndim": 4, "shape": shape, "stride": lambda: (channels * side * side, side * side, side, 1)}
    return SimpleNamespace(device=device, is_floating_point=lambda: dtype.is_floating_point, **plain)  # type: ignore[return-value]  # no CUDA here


def test_a_device_is_asked_once_for_each_build(cuda: list[tuple[int, Build]]) -> None:
    plain = Build(2)
    assert [choose_backend("auto", batch(side), wanted=plain) for side in (32, 128, 30)] == ["triton"] * 3
    assert choose_backend("auto", batch(32, dtype=torch.float32), wanted=plain) == "triton"
    assert cuda == [(32, plain)]
    other = [
        Build(1),
        Build(2, torch.float32),
        Build(2, torch.float16),
        Build(2, channels_last=True),
        Build(2, None, False, True),
    ]
    assert all(trusted(batch(32), one) for one in (*other, *other))
    assert [one for _, one in cuda[1:]] == other
    assert trusted(batch(32, channels=1), plain)
    assert trusted(batch(8), plain)
    assert trusted(batch(32, torch.device("cuda", 1)), plain)
    assert len(cuda) == 9


def test_what_differs_is_warned_of_once(cuda: list[tuple[int, Build]]) -> None:
    with pytest.warns(UserWarning, match=r"not used on cuda:0 for such images: 4 of 40 images differ from Pillow's\."):
        assert choose_backend("auto", batch(129), wanted=Build(2)) == "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_backend("auto", batch(224), wanted=Build(2)) == "torch"
        with pytest.raises(UserWarning):
            trusted(batch(224), Build(1))
        assert not trusted(batch(224), Build(1))
    assert len(cuda) == 2


def test_nothing_is_asked_where_the_kernels_have_no_place(
    cuda: list[tuple[int, Build]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_backend("auto", batch(32, dtype=torch.float32), quantize=False, wanted=Build(2)) == "torch"
    assert choose_backend("torch", batch(32), wanted=Build(2)) == "torch"
    assert choose_backend("auto", batch(32)) == "torch"
    assert choose_backend("auto", batch(32, torch.device("meta")), wanted=Build(2)) == "torch"
    monkeypatch.setattr(augment.ops, "only_fused", lambda: False)
    assert choose_backend("auto", batch(32), wanted=Build(2)) == "torch"
    monkeypatch.setattr(augment.ops, "only_fused", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert choose_backend("auto", batch(32), wanted=Build(2)) == "torch"  # a capture cannot compare
    assert cuda == []
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert choose_backend("auto", batch(32), wanted=Build(2)) == "triton"


def test_a_policy_asks_for_its_own_build(cuda: list[tuple[int, Build]]) -> None:
    statistics = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    policy = DAASPolicy.load("randaugment", normalize=statistics, dtype=torch.bfloat16, channels_last=True)
    assert policy.backend_for(batch(32)) == "triton"
    assert policy.backend_for(batch(32, dtype=torch.float32)) == "triton"
    assert [one for _, one in cuda] == [Build(2, torch.bfloat16, True), Build(2)]
    assert build(batch(32), 1, statistics, Form(), "bilinear") == Build(1, torch.float32, False, True)


def test_pixels_at_a_time() -> None:
    assert [block(pixels) for pixels in (1, 64, 65, 255, 256, 257, 511, 513, 1 << 20)] == [
        64,
        64,
        128,
        256,
        256,
        512,
        512,
        512,
        512,
    ]
