"""Measuring side by side on a noisy machine: contestants take turns, ratios are taken turn by turn."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm


def take_turns(
    contestants: Mapping[str, Callable[[], Any]],
    rounds: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
    turn: float = 0.0,
) -> dict[str, list[float]]:
    """Runs every contestant once per round, in turn.

    Args:
        contestants: By name, what is timed.
        rounds: Timed rounds.
        warmup: Rounds before, not timed.
        clock: ``time.process_time`` for work on one thread, so that what else the machine does is not counted.
        turn: Seconds that a turn takes at least: a short contestant then runs several times in its turn, so that it
            does not pay for the caches and the heap that the one before it left behind.

    Returns:
        Seconds of one run in each round, by contestant.
    """
    runs: dict[str, int] = dict.fromkeys(contestants, 1)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in tqdm(range(-warmup, rounds), desc="rounds", disable=None, leave=False):
        for name, run in contestants.items():
            start = clock()
            for _ in range(runs[name]):
                run()
            seconds = (clock() - start) / runs[name]
            if round_ >= 0:
                times[name].append(seconds)
            else:
                runs[name] = max(1, round(turn / seconds))
    return times


def ratio(slow: Sequence[float], fast: Sequence[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile of slow / fast, round by round."""
    ratios = sorted(a / b for a, b in zip(slow, fast, strict=True))
    if len(ratios) < 2:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, low, high


def ratio_text(slow: Sequence[float], fast: Sequence[float]) -> str:
    """For example ``1.52 (1.48 to 1.55)``: the median and the quartiles of slow / fast."""
    middle, low, high = ratio(slow, fast)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [f"| {' | '.join(t.ljust(w) for t, w in zip(line, widths, strict=True))} |" for line in lines]
    text.insert(1, f"| {' | '.join('-' * width for width in widths)} |")
    return "\n".join(text)


def conditions() -> dict[str, Any]:
    """What a figure depends on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "revision": _revision(),
    }


def _revision() -> str:
    """The commit that is measured; "unknown" outside of a clone."""
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(git, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def write(name: str, command: str, text: str, figures: Mapping[str, Any]) -> None:
    """Prints the table and writes it to ``benchmarks/results/NAME.md``, the figures to ``NAME.json`` beside it."""
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    facts = conditions()
    given = ", ".join(f"{key} {value}" for key, value in facts.items())
    page = f"`{command}`\n\n{given}\n\n{text}\n"
    (folder / f"{name}.md").write_text(page, encoding="utf-8")
    (folder / f"{name}.json").write_text(
        json.dumps({"command": command, "conditions": facts, **figures}, indent=1) + "\n", encoding="utf-8"
    )
    print(page)
