"""Part (b): images/s of policies on batches that lie on the device, from bytes to normalised floats.

Ours draw one sub-policy per image, theirs one policy for the batch; the draw counts. The floor is a byte read and a
float written per value, at the bandwidth of a copy on this device.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.setting import Row, Rows, Setting
from benchmarks.rivals import MEAN, STD, batch_policies, normalized
from daas import DAASPolicy, Policy
from daas.augment import gpu

SIZES = ((32, 256), (32, 1024), (224, 64), (224, 256))
_SMOKE = ((8, 4),)
POLICIES = ("random two-operation policy", "autoaugment_imagenet", "randaugment", "trivialaugment")
_FRESH = 4  # batches that take turns as input
_COPIED = 1 << 28  # bytes that measure the bandwidth


def rows(setting: Setting) -> Rows:
    """One row per contestant and size."""
    began = time.monotonic()
    bandwidth = _bandwidth(setting)
    yield {"what": "copy", "GB/s, read and written": bandwidth / 1e9}
    for size, count in _SMOKE if setting.smoke else SIZES:
        random = torch.Generator().manual_seed(size)
        made = [torch.randint(256, (count, 3, size, size), generator=random, dtype=torch.uint8) for _ in range(_FRESH)]
        batches = [batch.to(setting.device) for batch in made]
        floor = 1000 * 5 * batches[0].numel() / bandwidth
        yield _row("floor: bytes in, floats out, at the bandwidth", size, count, floor, floor)
        for name, run in _contestants(setting.device, size).items():
            if setting.left(began) <= 0:
                return
            spent = setting.milliseconds(_on(run, batches), 30)
            yield _row(name, size, count, spent, floor)


def _on(run: Callable[[Tensor, int], Any], batches: list[Tensor]) -> Callable[[int], Any]:
    return lambda index: run(batches[index % _FRESH], index)


def _row(name: str, size: int, count: int, spent: float, floor: float) -> Row:
    return {
        "what": name, "pixels": size, "batch": count, "ms": spent, "images/s": 1000 * count / spent,
        "times the floor": spent / floor,
    }  # fmt: skip


def _bandwidth(setting: Setting) -> float:
    """Bytes read and written per second by a copy on the device."""
    source = torch.empty(1 << 20 if setting.smoke else _COPIED, dtype=torch.uint8, device=setting.device)
    target = torch.empty_like(source)
    return 2 * source.numel() / (setting.milliseconds(lambda _: target.copy_(source), 20) / 1000)


def _contestants(device: torch.device, size: int) -> dict[str, Callable[[Tensor, int], Any]]:
    """By name: (batch on the device, number) -> normalised floats."""
    found: dict[str, Callable[[Tensor, int], Any]] = {
        "two eager passes, no policy": lambda images, _: normalized(images),
    }
    backends = ("torch",) if gpu.reason_against(device) else ("triton", "torch")
    for backend in backends:
        for name in POLICIES:
            found[f"DAASPolicy, {backend}, {name}"] = _ours(name, backend, device)
    for name, run in batch_policies(size).items():
        found[name] = _theirs(run)
    return found


def _ours(name: str, backend: str, device: torch.device) -> Callable[[Tensor, int], Any]:
    """The Triton kernels with a draw on the device, the others with one on the host."""
    random = name.startswith("random two")
    policy = Policy.random(torch.Generator().manual_seed(0)) if random else DAASPolicy.load(name).policy
    made = DAASPolicy(policy, backend=backend, normalize=(MEAN, STD))
    if backend == "triton":
        return lambda images, step: made.apply(images, made.sample(len(images), device=device, step=step))
    return lambda images, _: made(images)


def _theirs(run: Callable[[Tensor], Tensor]) -> Callable[[Tensor, int], Any]:
    return lambda images, _: run(images)
