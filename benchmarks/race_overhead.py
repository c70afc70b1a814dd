"""``python -m benchmarks.race_overhead``: what a race costs beside its trainings, in seconds of a processor.

A race of N trainings of a few seconds each on the digits, in one process with one worker. The clock of the trainings is
around ``daas.train.fit.fitting`` alone: splits, scores, tests, the journal and the files of the result are the race's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

import daas.race
import daas.race.training as room
from benchmarks.timing import table, write
from daas.data import load_images
from daas.train.fit import Fitted

CANDIDATES = ["none", "none,cutout=8", "none,hflip=0.5", "trivialaugment_32px", "randaugment", "autoaugment_cifar10"]
NETWORK = "wide_resnet40_2_cifar"
"""As a WRN-10-1, the network of the tables."""


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    fitting, spent = room.fitting, []

    def timed(*given: Any, **named: Any) -> Generator[Tensor, None, Fitted]:
        steps = fitting(*given, **named)
        number = len(spent)
        spent.append(0.0)
        while True:
            begin = time.process_time()
            try:
                images = next(steps)
            except StopIteration as end:
                fitted: Fitted = end.value
                return fitted
            finally:
                spent[number] += time.process_time() - begin
            yield images

    room.fitting = timed
    images = load_images("digits").subset(torch.arange(360))
    before = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        found = daas.race(
            images, CANDIDATES, network=timm.create_model(NETWORK, depth=10, widen=1, num_classes=10),
            trainings=options.trainings, folds=3, epochs=options.epochs, out=Path(folder) / "race",
        )  # fmt: skip
    whole = time.process_time() - before
    beside, started = whole - sum(spent), before
    shares = [100 * seconds / sum(spent) for seconds in (beside, beside + started)]
    text = table(
        [
            "trainings", "each, median s", "all of them, s", "the race beside them, s", "share",
            "with the process's start",
        ],
        [
            [
                str(found.trainings), f"{statistics.median(spent):.2f}", f"{sum(spent):.1f}", f"{beside:.2f}",
                f"{shares[0]:.2f}%", f"{shares[1]:.2f}%",
            ]
        ],
    )  # fmt: skip
    text += f"\n\nThe start (imports of torch and of the package, reading the images) is {started:.2f} s."
    figures = {"trainings": spent, "beside": beside, "start": started}
    write("race_overhead", f"python -m benchmarks.race_overhead {' '.join(sys.argv[1:])}".strip(), text, figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trainings", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
