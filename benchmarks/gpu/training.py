"""Part (d): images/s in training and the policy's share: launched, captured, compiled steps, beside timm's parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import timm
import torch
from timm.optim import create_optimizer_v2
from torch import nn

from benchmarks.gpu.setting import Row, Rows, Setting
from benchmarks.rivals import MEAN, STD
from daas import DAASPolicy, Policy
from daas.augment import gpu
from daas.data import MemoryImages
from daas.errors import BadInput
from daas.train.fit import Recipe, fitting, streams_as_before
from daas.train.options import TrainOptions

MODELS = (("daas_cifar10", 32, 96), ("resnet50", 224, 64))
_SMOKE = (("test_resnet", 32, 4),)
_CLASSES = 10


@dataclass(frozen=True)
class _Recipe(Recipe):
    """A recipe with further options of ``daas.train``."""

    further: dict[str, Any] = field(default_factory=dict)

    def options(self, seed: int = 0) -> TrainOptions:
        values = {name: value for name, value in vars(self).items() if name != "further"}
        return replace(Recipe(**values).options(seed), **self.further)


def rows(setting: Setting) -> Rows:
    """One row per network and way to train it."""
    began = time.monotonic()
    for model, size, batch in _SMOKE if setting.smoke else MODELS:
        yield from _of(setting, model, size, batch, began)


def _of(setting: Setting, model: str, size: int, batch: int, began: float) -> Rows:
    count = batch * (4 if setting.smoke else 16)
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, size, size), generator=random, dtype=torch.uint8)
    images = MemoryImages("random", pixels, torch.arange(count) % _CLASSES, tuple("0123456789"))
    policy = Policy.random(torch.Generator().manual_seed(0))
    triton = gpu.reason_against(setting.device) is None
    captured = "on" if setting.device.type == "cuda" else "auto"
    ways: dict[str, tuple[dict[str, Any], DAASPolicy | None]] = {
        "launched": ({"graph": "off"}, None),
        "launched, policy (torch)": ({"graph": "off"}, DAASPolicy(policy, backend="torch")),
        "captured": ({"graph": captured}, None),
        "captured, policy (torch)": ({"graph": captured}, DAASPolicy(policy, backend="torch")),
        "compiled": ({"torchcompile": "eager" if setting.smoke else "inductor"}, None),
    }
    if triton:
        ways["captured, policy (triton)"] = ({"graph": captured}, DAASPolicy(policy, backend="triton"))
    without: dict[str, float] = {}
    yield _row("timm's parts in a plain loop", model, _rate(setting, _timms(setting, model, images, batch), batch))
    for name, (further, applied) in sorted(ways.items(), key=lambda way: way[0] == "compiled"):  # which takes longest
        if setting.left(began) <= 0:
            return
        recipe = _Recipe(
            epochs=1000, batch_size=batch, mean=MEAN, std=STD, amp=True, amp_dtype="bfloat16", channels_last=True,
            further=further,
        )  # fmt: skip
        make = partial(timm.create_model, model, num_classes=_CLASSES)
        steps = fitting(make, images, images, recipe, augment=applied, device=setting.device)
        try:
            with streams_as_before(setting.device):
                rate = _rate(setting, steps, batch)
        except BadInput as error:  # it cannot be captured or compiled, which is a result too
            yield {"what": name, "model": model, "error": str(error)}
            continue
        row = _row(name, model, rate)
        without[name] = rate
        if ", policy" in name:
            row["policy's share"] = 1 - rate / without[name.split(",")[0]]
        yield row


def _row(name: str, model: str, rate: float) -> Row:
    return {"what": name, "model": model, "images/s": rate}


def _rate(setting: Setting, steps: Iterator[Any], batch: int) -> float:
    """Images per second, after the first steps, which compile and capture."""
    warmup, most, seconds = (1, 2, 1.0) if setting.smoke else (10, 200, 3.0)
    for _ in range(warmup):
        next(steps)
    setting.synchronize()
    start, done = time.perf_counter(), 0
    while done < most and (done % 10 or time.perf_counter() - start < seconds):
        next(steps)
        done += 1
    setting.synchronize()
    return done * batch / (time.perf_counter() - start)


def _timms(setting: Setting, model: str, images: MemoryImages, batch: int) -> Iterator[None]:
    """Timm's network, optimizer and loop, on images that are there and normalised; no augmentation."""
    device = setting.device
    network = timm.create_model(model, num_classes=_CLASSES).to(device, memory_format=torch.channels_last).train()
    optimizer = create_optimizer_v2(network, opt="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in (MEAN, STD))
    there, labels = images.images[:batch].to(device), images.labels[:batch].to(device)
    while True:
        floats = there.float().sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = nn.functional.cross_entropy(network(floats), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield
