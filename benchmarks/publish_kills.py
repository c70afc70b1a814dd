"""``python -m benchmarks.publish_kills``: a training, an export and a push that are killed at random moments.

SIGKILL at moments drawn uniformly from the time that each takes when nothing interrupts it. A training that is resumed
must end with the weights, the curves and the figures of an uninterrupted one, to the bit; a repository folder must be
there as a whole or not at all; a Hub (a stand-in on the loopback) must hold a whole commit or none, and a second push
must go through.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants

from benchmarks.timing import table, write
from daas.hub import export, push, verify
from daas.models import Genotype
from daas.train.__main__ import main as train
from tests.hub.server import TOKEN, Hub, serve

WORDS = [
    "--dataset", "digits", "--val-split", "test", "--model", "daas_cell_cifar", "--img-size", "16", "--epochs", "3",
    "--warmup-epochs", "0", "--batch-size", "108", "--lr", "0.05", "--hflip", "0", "--recovery-interval", "2",
    "--resume", "auto", "--aa", "daas:trivialaugment_32px",
]  # fmt: skip
REPO = "ada/killed"


def trained(root: Path, cells: Path) -> None:
    """The training in ``root``, or the rest of it."""
    arguments = ["--model-kwargs", "channels=2", "layers=3", f"genotype={cells}"]
    if train([*WORDS, *arguments, "--output", str(root), "--experiment", "run"]):
        raise RuntimeError(f"the training in {root} failed")


def kill(work: Callable[[], Any], seconds: float) -> bool:
    """Runs something in a process of its own and kills it after a while; whether it was still running then."""
    process = multiprocessing.get_context("fork").Process(target=_quietly, args=(work,))
    process.start()
    process.join(seconds)
    hit = process.is_alive()
    process.kill()
    process.join()
    return hit


def kill_one(work: Callable[[], Any], clean: Callable[[], Any], seconds: float, moments: random.Random) -> None:
    """Kills something once while it runs; where it was done before the moment came, another one is drawn."""
    while not kill(work, moments.uniform(0, seconds)):
        clean()


def _quietly(work: Callable[[], Any]) -> None:
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        work()


def taken(work: Callable[[], Any]) -> float:
    """Seconds of something that nothing interrupts, in a process of its own as the killed ones are."""
    begun = time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=_quietly, args=(work,))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the uninterrupted one ended with {process.exitcode}")
    return time.monotonic() - begun


def same_training(one: Path, other: Path) -> bool:
    """Weights, curves and figures of two finished trainings."""
    weights = all((one / name).read_bytes() == (other / name).read_bytes() for name in ("last.safetensors",))
    curves = [list(csv.DictReader((run / "summary.csv").open())) for run in (one, other)]
    figures = [json.loads((run / "result.json").read_text())["last"] for run in (one, other)]
    return weights and curves[0] == curves[1] and figures[0] == figures[1]


def killed_trainings(folder: Path, count: int, moments: random.Random) -> tuple[int, float]:
    """Trainings that end as if nothing had happened, and the seconds of an uninterrupted one."""
    cells, good = folder / "cells.json", 0
    Genotype.random(torch.Generator().manual_seed(0), nodes=2, name="small").save(cells)
    seconds = taken(partial(trained, folder / "whole", cells))
    for trial in range(count):
        root = folder / f"train-{trial}"
        kill_one(partial(trained, root, cells), partial(shutil.rmtree, root), seconds, moments)
        taken(partial(trained, root, cells))
        good += same_training(folder / "whole" / "run", root / "run")
        shutil.rmtree(root)
    return good, seconds


def killed_exports(folder: Path, count: int, moments: random.Random) -> tuple[int, float]:
    """The same for repository folders: each whole or absent after the kill, and there after a second export."""
    run, good = folder / "whole" / "run", 0
    seconds = taken(partial(export, run, folder / "repository"))
    for trial in range(count):
        target = folder / f"export-{trial}"
        kill_one(partial(export, run, target), partial(shutil.rmtree, target), seconds, moments)
        whole = not target.exists() or not verify(str(target)).faults
        if not target.exists():
            export(run, target)
        good += whole and not verify(str(target)).faults
        shutil.rmtree(target)
    return good, seconds


def killed_pushes(folder: Path, count: int, moments: random.Random) -> tuple[int, float]:
    """The same for commits on a Hub: a whole one or none after the kill, and one after a second push."""
    source, good = str(folder / "repository"), 0
    with serve() as hub:
        _talk_to(hub, folder)
        seconds = taken(partial(push, source, REPO))
        wanted = set(hub.repositories[REPO].files())
        for trial in range(count):
            name = f"{REPO}-{trial}"
            kill_one(partial(push, source, name), partial(hub.repositories.pop, name), seconds, moments)
            there = hub.repositories.get(name)
            whole = there is None or all(set(files) == wanted for files in there.commits.values() if len(files) > 1)
            push(source, name)
            good += whole and set(hub.repositories[name].files()) == wanted
    return good, seconds


def _talk_to(hub: Hub, folder: Path) -> None:
    constants.ENDPOINT = hub.url
    constants.HUGGINGFACE_CO_URL_TEMPLATE = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    constants.HF_HUB_CACHE, constants.HF_TOKEN_PATH = str(folder / "cache"), str(folder / "no-token")
    constants.HF_HUB_DISABLE_XET = True
    os.environ["HF_TOKEN"] = TOKEN


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a forked process has no others
    rows: list[list[str]] = []
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for what, run in (("train", killed_trainings), ("export", killed_exports), ("push", killed_pushes)):
            good, seconds = run(Path(name), options.trials, random.Random(options.seed))
            rows.append([what, f"{seconds:.1f}", str(options.trials), str(good)])
            found[what] = {"trials": options.trials, "whole": good, "seconds": seconds}
            print(*rows[-1], flush=True)
    text = table(["what", "uninterrupted (s)", "kills", "as if nothing had happened"], rows)
    write(
        "publish_kills",
        f"python -m benchmarks.publish_kills --trials {options.trials} --seed {options.seed}",
        text,
        found,
    )
    return 0 if all(part["whole"] == part["trials"] for part in found.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
