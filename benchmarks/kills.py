"""A search that is killed at random moments and resumed each time ends with the artefacts of an uninterrupted one.

Every trial starts a search in a process of its own (forked, so that it does not wait for imports), kills it with
SIGKILL, resumes it with ``--resume auto``, and compares genotype.json, policy.json, metrics.jsonl (without times) and
every tensor of the last checkpoint. The moment is drawn uniformly: in four of five trials from the time between the
trial's own first checkpoint and the end, so that a busy machine does not move all kills to before there is anything to
lose; in every fifth from the whole time, imports and the first iteration too. A checkpoint is written after every
iteration, so that kills also land while one is being written. At last, one search is killed again and again until it
is done.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import table, write
from daas import checkpoint
from daas.search.__main__ import main as search_main

SEARCH = [
    "--preset", "demo", "--channels", "2", "--layers", "3", "--nodes", "2", "--warmup-epochs", "1", "--epochs", "2",
    "--batch-size", "32", "--max-images", "400", "--architectures", "2", "--save-every", "0", "--resume", "auto",
    "--no-screen", "--race", "0",
]  # fmt: skip


CHECKPOINT = "checkpoint.safetensors"


def start(out: Path) -> int:
    """Starts, or resumes, a search in a process of its own; its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
            code = search_main([*SEARCH, "--out", str(out)])
    finally:
        os._exit(code)


def to_the_end(out: Path) -> tuple[float, float]:
    """Runs, or resumes, until the search is done; seconds until its first checkpoint, and in all."""
    begun, first = time.monotonic(), math.inf
    child = start(out)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if first == math.inf and (out / CHECKPOINT).exists():
            first = time.monotonic() - begun
        time.sleep(0.002)
    if ended[1]:
        raise RuntimeError(f"the search in {out} ended with status {ended[1]}")
    return first, time.monotonic() - begun


def kill_after(out: Path, seconds: float, first: bool = False) -> bool:
    """Starts or resumes a search and kills it; whether it was still running then.

    Args:
        out: Its folder.
        seconds: After which it is killed.
        first: Count them from its first checkpoint on.
    """
    child, begun = start(out), time.monotonic()
    until = math.inf if first else begun + seconds
    while time.monotonic() < until:
        if until == math.inf and (out / CHECKPOINT).exists():
            until = time.monotonic() + seconds
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def step_of(out: Path) -> int:
    """Iterations in the newest whole checkpoint; -1 where there is none yet."""
    path = out / CHECKPOINT
    if not path.exists() and not checkpoint.previous(path).exists():
        return -1
    return int(checkpoint.load_latest(path).meta["progress"]["step"])


def differences(one: Path, other: Path) -> list[str]:
    """Names of the artefacts in which two finished searches differ."""
    found = [
        name for name in ("genotype.json", "policy.json") if (one / name).read_bytes() != (other / name).read_bytes()
    ]
    if _metrics(one) != _metrics(other):
        found.append("metrics.jsonl")
    first, second = (checkpoint.load(folder / CHECKPOINT)[0] for folder in (one, other))
    if set(first) != set(second) or not all(torch.equal(first[name], second[name]) for name in first):
        found.append("checkpoint")
    return found


def _metrics(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a forked process has no others
    moments = random.Random(options.seed)
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        before, takes = to_the_end(whole)
        last = step_of(whole)
        for trial in range(options.trials):
            out = Path(folder) / f"trial-{trial}"
            first = trial % 5 != 4
            longest = takes - before if first else takes
            after = moments.uniform(0, longest)
            while not kill_after(out, after, first):  # it was done before: draw another moment
                shutil.rmtree(out)
                after = moments.uniform(0, longest)
            at, torn = step_of(out), bool(list(out.glob("*.part")))
            to_the_end(out)
            found = differences(whole, out)
            rows.append([
                str(trial + 1), f"{after:.1f} after {'its first checkpoint' if first else 'the start'}", str(at),
                "yes" if torn else "no", ", ".join(found) or "identical",
            ])  # fmt: skip
            print(
                f"trial {trial + 1}: killed after {after:.1f} s at iteration {at} of {last}: {rows[-1][-1]}", flush=True
            )
        chain, out = 0, Path(folder) / "chain"
        while step_of(out) < last:
            chain += kill_after(out, moments.uniform(0.3 * takes, takes))
        to_the_end(out)
        chained = differences(whole, out)
    identical = sum(row[-1] == "identical" for row in rows)
    text = (
        f"An uninterrupted search: {last} iterations in {takes:.1f} s, the first checkpoint after {before:.1f} s. "
        f"Killed once each at random moments (seed {options.seed}) and resumed: {identical} of {len(rows)} identical. "
        f"One search killed {chain} times before it was done: {', '.join(chained) or 'identical'}.\n\n"
        + table(["trial", "killed after (s)", "iteration", "while writing", "artefacts"], rows)
    )
    write("kills", f"python -m benchmarks.kills --trials {options.trials} --seed {options.seed}", text, {
        "seed": options.seed, "n": len(rows), "identical": identical, "seconds_uninterrupted": takes,
        "first_checkpoint": before,
        "iterations": last, "kills_in_a_chain": chain, "chain": chained or "identical", "trials": rows,
    })  # fmt: skip
    return 0 if identical == len(rows) and not chained else 1


if __name__ == "__main__":
    sys.exit(main())
