"""Part (e): whole trainings per minute of a race, several side by side: WRN-16-2 on 4,000 photographs, 120 epochs."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import torch

import daas
from benchmarks.gpu.setting import Rows, Setting
from benchmarks.rivals import pictures
from daas.models.wide_resnet import WideResNet
from daas.train.fit import Recipe

IMAGES, EPOCHS, BATCH = 4000, 120, 128
WORKERS = (1, 8)
_CLASSES = 10


def rows(setting: Setting) -> Rows:
    """One row per number of trainings at a time."""
    began = time.monotonic()
    count, epochs, batch, size = (60, 1, 10, 8) if setting.smoke else (IMAGES, EPOCHS, BATCH, 32)
    data: Any = setting.archive or (pictures(count, size), torch.arange(count) % _CLASSES)
    recipe = Recipe(epochs=epochs, batch_size=batch, amp=not setting.smoke)
    for index, workers in enumerate((1,) if setting.smoke else WORKERS):
        share = setting.left(began) / (len(WORKERS) - index)
        if share <= 0:
            return
        ends: list[float] = []
        start = time.monotonic()
        options = {"trainings": 4 if setting.smoke else 500, "time_budget": max(1.0, 0.5 * share)}
        race = partial(daas.race, network=WideResNet(16, 1 if setting.smoke else 2, num_classes=_CLASSES))
        race(
            data, [None, "randaugment"], recipe=recipe, image_size=size, folds=4, seed=0,
            workers=workers, device=str(setting.device),
            callbacks=[lambda _, ends=ends, start=start: ends.append(time.monotonic() - start)], **options,
        )  # fmt: skip
        made = str(setting.archive or "made")
        yield {
            "what": "race", "at a time": workers, "trainings": len(ends), "seconds": ends[-1],
            "trainings per minute": 60 * len(ends) / ends[-1], "first after": ends[0], "images": made,
        }  # fmt: skip
