"""Resident memory of a search over thousands of iterations: it must be flat."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import table, write
from daas.search.options import parse
from daas.search.runs import one as module
from daas.search.runs.one import search
from daas.search.runs.run import Run

SETTLED = 200  # iterations after which caches and allocators have what they need
SEARCH = [
    "--preset", "demo", "--channels", "2", "--layers", "3", "--nodes", "2", "--warmup-epochs", "2",
    "--batch-size", "32", "--architectures", "1", "--no-screen", "--race", "0",
]  # fmt: skip


def resident() -> float:
    """MiB that this process has in memory (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmRSS")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=2000)
    options = parser.parse_args()
    measured: list[tuple[int, float]] = []
    original = module._advance

    def advance(run: Run) -> None:
        original(run)
        if run.step % 10 == 0:
            measured.append((run.step, resident()))

    module._advance = advance
    count = str(options.iterations)
    with tempfile.TemporaryDirectory() as folder:
        search(parse([*SEARCH, "--epochs", count, "--max-steps", count, "--out", str(Path(folder) / "run")]))
    steps, sizes = np.array([step for step, _ in measured]), np.array([size for _, size in measured])
    settled = steps >= SETTLED
    slope, start = np.polyfit(steps[settled], sizes[settled], 1)
    half = settled & (steps > (SETTLED + options.iterations) / 2)
    growth = float(sizes[half].mean() - sizes[settled & ~half].mean())
    shown = [10, 100, SETTLED, *range(500, options.iterations + 1, 500)]
    rows = [[str(step), f"{sizes[steps == step][0]:.1f}"] for step in shown if (steps == step).any()]
    settled_sizes = sizes[settled]
    text = (
        f"{options.iterations} iterations, an epoch every 20 (with metrics, checkpoint and the derived pair measured). "
        f"From iteration {SETTLED} on: {1024 * slope:+.2f} KiB per iteration (least squares), mean of the second half "
        f"{growth:+.2f} MiB beside that of the first, from {settled_sizes.min():.1f} to {settled_sizes.max():.1f} MiB."
        "\n\n" + table(["iteration", "resident (MiB)"], rows)
    )
    write("memory", f"python -m benchmarks.memory --iterations {options.iterations}", text, {
        "seed": 0, "n": int(settled.sum()), "kib_per_iteration": 1024 * float(slope), "mib_at_start": float(start),
        "mib_second_half_minus_first": growth, "measured": measured,
    })  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
