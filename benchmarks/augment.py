"""``python -m benchmarks.augment``: images/s from a uint8 batch to a normalised float batch, one core.

Contestants take turns of at least 0.05 s on one thread; times are those of the processor, so other work on the machine
does not count.
Speeds are medians over rounds, ratios are taken round by round and given with their quartiles.
The policy is a random one of the whole search space: 225 pairs of the 15 operations, probabilities uniform in 0 to 1.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.rivals import contestants, pictures
from benchmarks.timing import ratio, ratio_text, table, take_turns, write

SIZES = {32: 256, 224: 32}  # pixels: batch
PARTS = ("32px", "224px", "first-call")
OURS = {"compiled": "DAASPolicy, numba", "torch": "DAASPolicy, torch"}
FLOOR = "float copy of the batch (floor)"
_KORNIA = [f"Kornia {name}, one policy for the batch" for name in ("AutoAugment", "RandAugment", "TrivialAugment")]
_SHARED = [f"torchvision {name}, one policy for the batch" for name in ("AutoAugment", "RandAugment")]
_PIL, _GROUPED = "the same policy, PIL", "Kornia's functions, grouped by operation"
GOALS: dict[tuple[str, int], list[tuple[list[str], float]]] = {
    ("compiled", 32): [([_PIL], 30), (_KORNIA, 10), (_SHARED, 3)],
    ("compiled", 224): [([_PIL], 9), (_KORNIA, 14), (_SHARED, 5)],
    ("torch", 32): [([_PIL], 4), ([_GROUPED], 2.5)],
    ("torch", 224): [([_PIL], 2), ([_GROUPED], 3)],
}
_FIRST_CALL = """
import time, torch, daas
torch.set_num_threads(1)
from daas.augment import Policy
policy = daas.DAASPolicy(Policy.random(torch.Generator().manual_seed(0)), backend="numba")
images = torch.zeros(256, 3, 32, 32, dtype=torch.uint8)
ready = time.process_time(); policy(images); first = time.process_time(); policy(images)
print(first - ready, time.process_time() - first)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="by default all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    text, figures = ["Images: octaves of smooth colour noise, the spectrum of photographs (made, not read)."], {}
    for size, batch in SIZES.items():
        if f"{size}px" in options.parts:
            runs = contestants(pictures(batch, size))
            times = take_turns(runs, options.rounds, clock=time.process_time, turn=0.05)
            memory = {name: peak_memory(run) for name, run in runs.items()}
            figures[f"{size} px"] = {"seconds": times, "peak memory MiB": memory}
            text += [f"{size} x {size} pixels, batches of {batch}", _speeds(times, memory, batch), _goals(times, size)]
    if "first-call" in options.parts:
        seconds = first_calls()
        figures["first call"] = seconds
        rows = [[name, f"{first:.2f}", f"{1000 * second:.2f}"] for name, (first, second) in seconds.items()]
        text += ["The first batch in a new process, compiled path", table(["", "first batch, s", "second, ms"], rows)]
    name = "augment" if set(options.parts) == set(PARTS) else f"augment_{'_'.join(options.parts)}".replace("-", "_")
    command = f"python -m benchmarks.augment --rounds {options.rounds}"
    if name != "augment":
        command += f" --parts {' '.join(options.parts)}"
    write(name, command, "\n\n".join(text), figures)


def _speeds(times: Mapping[str, list[float]], memory: Mapping[str, float], batch: int) -> str:
    middle = {name: sorted(seconds)[len(seconds) // 2] for name, seconds in times.items()}
    rows = [
        [
            name,
            f"{batch / middle[name]:,.0f}",
            f"{100 * ratio(times[FLOOR], seconds)[0]:.1f} %",
            *(ratio_text(seconds, times[ours]) for ours in OURS.values()),
            f"{memory[name]:.1f}",
        ]
        for name, seconds in times.items()
    ]
    head = ["", "images/s", "of the floor", "slower than numba", "slower than torch", "peak memory, MiB"]
    return table(head, rows)


def _goals(times: Mapping[str, list[float]], size: int) -> str:
    rows = []
    for (path, at), goals in GOALS.items():
        for rivals, goal in goals if at == size else []:
            for rival in rivals:
                reached = ratio(times[rival], times[OURS[path]])[0]
                verdict = "reached" if reached >= goal else "missed"
                rows.append([path, rival, f"{goal:g}", ratio_text(times[rival], times[OURS[path]]), verdict])
    return table(["path", "against", "goal", "times faster", ""], rows)


def peak_memory(run: Callable[[], Any]) -> float:
    """MiB that one call takes above what the process holds before it (Linux: the high-water mark is reset first)."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def first_calls() -> dict[str, tuple[float, float]]:
    """Seconds of the first and of the second batch of fresh processes, without and with the compiled code on disk."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        result = {}
        for name in ("compiling", "from the cache"):
            done = subprocess.run(
                [sys.executable, "-c", _FIRST_CALL], env=environment, capture_output=True, text=True, check=True
            )
            first, second = map(float, done.stdout.split())
            result[name] = (first, second)
    return result


if __name__ == "__main__":
    main()
