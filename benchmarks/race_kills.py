"""``python -m benchmarks.race_kills``: a race that is killed at random moments, and one that two processes share.

Both must come to the ranking and the scores, to the last digit, of a race that nothing interrupted; the shared one must
do every training once. Also: what the race itself costs beside its trainings, in seconds of a processor.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

import daas.race
from benchmarks.planted import convnet
from benchmarks.timing import table, write
from daas.data import ImageData, load_images
from daas.race.journal import Journal, begun
from daas.race.result import Race
from daas.race.training import Trainer

CANDIDATES = ["none", "none,cutout=8", "none,mixup=0.2", "none,smoothing=0.1", "trivialaugment_32px"]
NETWORK = convnet(10, width=8)


def play(images: ImageData, out: Path, join: bool = False) -> Race:
    """The race, or the rest of it; or its trainings together with the process that began it."""
    return daas.race(
        images, CANDIDATES, network=NETWORK, trainings=24, folds=3, epochs=6, batch_size=40, out=out, resume=not join,
        join=join,
    )  # fmt: skip


def said(race: Race) -> list[tuple[str, list[float]]]:
    """Ranking and scores."""
    return [(row.candidate.name, [score.score for score in row.runs.values()]) for row in race.rows]


def states(out: Path, race: Race) -> Counter[str]:
    """Trials of the journal by state."""
    return Counter(Journal(out, [candidate.name for candidate in race.candidates]).states())


def killed(images: ImageData, out: Path, kills: int, longest: float) -> int:
    """Kills the race at random moments; the number of kills that hit it."""
    context, moments, hit = multiprocessing.get_context("fork"), random.Random(0), 0
    for _ in range(kills):
        process = context.Process(target=play, args=(images, out))
        process.start()
        process.join(moments.uniform(0.0, longest))
        hit += process.is_alive()
        process.kill()
        process.join()
    return hit


def shared(images: ImageData, out: Path) -> None:
    """Two processes on one race."""
    context = multiprocessing.get_context("fork")
    first, second = (context.Process(target=play, args=(images, out, join)) for join in (False, True))
    first.start()
    while not begun(out):
        time.sleep(0.05)
    second.start()
    for process in (first, second):
        process.join()


def cost(images: ImageData, out: Path) -> tuple[Race, float, float]:
    """A race, its seconds of a processor, and those of its trainings."""
    spent, train = [0.0], Trainer.__call__

    def timed(self: Trainer, number: int, run: int) -> Any:
        begin = time.process_time()
        try:
            return train(self, number, run)
        finally:
            spent[0] += time.process_time() - begin

    Trainer.__call__ = timed  # type: ignore[method-assign]  # a clock around each training, taken off below
    begin = time.process_time()
    try:
        return play(images, out), time.process_time() - begin, spent[0]
    finally:
        Trainer.__call__ = train  # type: ignore[method-assign]  # as it was


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = load_images("digits").subset(torch.arange(360))
    with tempfile.TemporaryDirectory() as folder:
        whole, seconds, trainings = cost(images, Path(folder) / "whole")
        start = time.monotonic()
        again = play(images, Path(folder) / "again")
        longest = 1.5 * (time.monotonic() - start) / options.kills  # so that all of them fall into the race
        hit = killed(images, Path(folder) / "killed", options.kills, longest)
        resumed = play(images, Path(folder) / "killed")
        shared(images, Path(folder) / "shared")
        both = play(images, Path(folder) / "shared")
        rows = [
            (name, str(dict(states(Path(folder) / place, whole))), "yes" if said(race) == said(whole) else "no")
            for name, place, race in (
                ("not interrupted, again", "again", again), (f"killed {hit} times, resumed", "killed", resumed),
                ("shared by two processes", "shared", both),
            )
        ]  # fmt: skip
    text = table(["race", "trials by state", "same ranking and scores"], rows)
    beside = seconds - trainings
    text += (
        f"\n\n{whole.trainings} trainings took {trainings:.1f} seconds of a processor, everything else {beside:.1f}: "
        f"at a minute per training {100 * beside / 60 / whole.trainings:.2f}%."
    )
    figures = {"kills": hit, "same": [row[2] for row in rows], "beside": beside, "trainings": trainings}
    write("race_kills", f"python -m benchmarks.race_kills --kills {options.kills}", text, figures)


if __name__ == "__main__":
    main()
