"""What every part is measured on and how: the device, the time, the events."""

from __future__ import annotations

import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]
Rows = Iterator[Row]
_PACKAGES = ("torch", "torchvision", "timm", "kornia", "triton", "timm-daas")


@dataclass(frozen=True)
class Setting:
    """Where and how long.

    Attributes:
        device: Of everything.
        smoke: Whether sizes are tiny: the code is tried and nothing is measured.
        seconds: That a part may take.
        archive: Images for the race and the search; None for made ones and the digits.
    """

    device: torch.device
    smoke: bool = False
    seconds: float = 60.0
    archive: Path | None = None

    def left(self, since: float) -> float:
        """Seconds of the part that are left, where it began at ``since`` (``time.monotonic``)."""
        return self.seconds - (time.monotonic() - since)

    def synchronize(self) -> None:
        """Waits until the device has done everything."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def milliseconds(self, run: Callable[[int], Any], repeats: int, warmup: int = 3) -> float:
        """The median time of a call, from one event on the device to the next; of the host's clock on a CPU.

        Args:
            run: Called with 0, 1, ...: the number of its input, so that it is a fresh one.
            repeats: Timed calls.
            warmup: Calls before.
        """
        repeats, warmup = (1, 1) if self.smoke else (repeats, warmup)
        for index in range(warmup):
            run(index)
        self.synchronize()
        if self.device.type != "cuda":
            times = []
            for index in range(repeats):
                start = time.perf_counter()
                run(index)
                times.append(1000 * (time.perf_counter() - start))
            return statistics.median(times)
        events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        events[0].record()
        for index in range(repeats):
            run(index)
            events[index + 1].record()
        self.synchronize()
        return statistics.median(a.elapsed_time(b) for a, b in pairwise(events))

    def peak_megabytes(self, run: Callable[[], Any]) -> float | None:
        """Memory on the device at the most during a call, what lay there before included; None on a CPU."""
        if self.device.type != "cuda":
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        run()
        self.synchronize()
        return torch.cuda.max_memory_allocated(self.device) / 1e6

    def used_megabytes(self) -> float | None:
        """Memory of the device in use, by graphs and libraries too, without what is held for later; None on a CPU."""
        if self.device.type != "cuda":
            return None
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(self.device)
        return (total - free) / 1e6


def conditions(device: torch.device) -> dict[str, Any]:
    """Card, driver and versions."""
    found: dict[str, Any] = {"card": card(device), "driver": _driver(), "cuda": torch.version.cuda}
    found["python"] = platform.python_version()
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # Triton is not everywhere, and a checkout need not be installed
            found[name] = None
    return found


def card(device: torch.device) -> str:
    """The name of the GPU, or of the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _driver() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return (done.stdout.split() or [None])[0]
