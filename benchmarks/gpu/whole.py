"""Part (f): a search from images to a pair, as long as the time allows: CIFAR-10 as JPEG, or the digits."""

from __future__ import annotations

import time
from typing import Any

import daas
from benchmarks.gpu.setting import Rows, Setting


def rows(setting: Setting) -> Rows:
    """One row: how far it came, what it took, and what it found."""
    data: Any = setting.archive or "digits"
    options: dict[str, Any] = {"amp": True, "time_budget": f"{max(1, int(0.7 * setting.seconds))}s"}
    if setting.smoke:
        options = {"max_steps": 2, "channels": 2, "layers": 3, "nodes": 2, "batch_size": 8, "max_images": 160}
    start = time.monotonic()
    found = daas.search(data, preset="paper-cifar10", seed=0, device=str(setting.device), **options)
    summary = found.summary
    yield {
        "what": "search, joint, 8 cells, 16 channels, N = 5, M = 2" if not setting.smoke else "search, tiny",
        "images": str(data), "iterations": summary["steps"], "of": summary.get("planned_steps"),
        "seconds": time.monotonic() - start, "seconds of the iterations": summary["seconds"],
        "val_accuracy": summary.get("val_accuracy"),
    }  # fmt: skip
