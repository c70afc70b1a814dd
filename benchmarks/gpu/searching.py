"""Part (c): seconds and memory of an iteration of the search, of DARTS, GDAS and PC-DARTS, from the same cells."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.gpu.setting import Rows, Setting
from benchmarks.search_cost import CONTESTANTS, REFERENCE, Ours, batches
from daas.search.algorithm.estimators import PolicyGradient

PAPER = 390 * (20 + 30)
"""Iterations of the paper's search on CIFAR-10."""
JOINT = "policy-gradient, N=5, M=2"
NAMES = (
    REFERENCE, JOINT, "--mode arch, N=5", "--mode arch --arch-estimator gdas", "PC-DARTS, first order",
    "DARTS, second order", "per-image, fd, N=5, M=2",
)  # fmt: skip


def rows(setting: Setting) -> Rows:
    """One row per kind of iteration, with what it is against DARTS."""
    began = time.monotonic()
    channels, layers, size, many = (4, 3, 4, 3) if setting.smoke else (16, 8, 64, 16)
    makers: dict[str, Callable[[int, int], Any]] = {name: CONTESTANTS[name] for name in NAMES}
    makers[f"policy-gradient, N=5, M={many}"] = lambda c, n: Ours(c, n, PolicyGradient(many, baseline=False))
    first: dict[str, Any] = {}
    for name in makers:
        if setting.left(began) <= 0:
            return
        run = makers[name](channels, layers)
        run.network.to(setting.device)
        data = [tuple(part.to(setting.device) for part in batch) for batch in batches(size)]
        once = partial(run, *data)
        spent = setting.milliseconds(lambda _, once=once: once(), 5, warmup=2) / 1000
        row = {"what": name, "seconds": spent, "peak MB": setting.peak_megabytes(once)}
        first = first or row
        row["time / DARTS"] = spent / first["seconds"]
        if row["peak MB"] is not None:
            row["memory / DARTS"] = row["peak MB"] / first["peak MB"]
        if name == JOINT:
            row["hours of the paper's search"] = PAPER * spent / 3600
        yield row
