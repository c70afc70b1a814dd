"""What a race cannot be run on, said before anything is written: options, images, a folder that is in use."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch

from daas.data import ImageData
from daas.errors import BadInput
from daas.race.folds import fold_of
from daas.race.journal import JOURNAL, Journal, begun
from daas.race.saving import RESULTS
from daas.ranges import is_number
from daas.train.fit import Recipe

_LOOKS, _PAUSE = 10, 0.2  # at what others do, and seconds between two of them
AT_WORK = (
    "Name --join to work on it together; or wait until that has ended and go on with --resume, or name another folder."
)


def check_whole(**numbers: int | None) -> None:
    """Raises BadInput for a number, by its name, that is not a whole one; None says nothing."""
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise BadInput(f"{name} is {value!r}; it is a whole number.")


def check_options(
    trainings: int | None, time_budget: float | None, folds: int, workers: int, out: str | Path | None, again: bool
) -> None:
    """Numbers that a race can be run with.

    Raises:
        BadInput: One of them is too small, or there is no folder to go on in.
    """
    if trainings is not None and trainings < 2:
        raise BadInput(f"trainings is {trainings}; a race needs at least 2, one for each of two candidates.")
    if time_budget is not None and not (is_number(time_budget) and time_budget > 0):
        raise BadInput(f"time_budget is {time_budget}; it is a number of seconds above 0.")
    if folds < 2:
        raise BadInput(f"folds is {folds}; it is at least 2: some images to train on, some to judge on.")
    if workers < 1:
        raise BadInput(f"workers is {workers}; it is at least 1.")
    if again and out is None:
        raise BadInput("resume and join need the folder of the race: name it with out= (--out).")


def check_images(images: ImageData, folds: int, recipe: Recipe, seed: int) -> None:
    """Every run has a whole batch to train on and something to judge on.

    Raises:
        BadInput: It has not; the message says what to change.
    """
    counts = torch.bincount(images.labels, minlength=len(images.class_names)).tolist()
    single = [name for name, count in zip(images.class_names, counts, strict=True) if count == 1]
    if single:
        raise BadInput(
            f"{images.name} has a single image of {', '.join(single[:5])}{' ...' if len(single) > 5 else ''}; a race "
            "needs at least 2 per class. Add images, or leave the class out."
        )
    sizes = torch.bincount(fold_of(images.labels, folds, seed), minlength=folds)
    if int(sizes.min()) < 2:
        raise BadInput(
            f"{images.name} has {len(images)} images, too few for {folds} folds. Use fewer folds, or more images."
        )
    least = len(images) - int(sizes.max())
    if least < recipe.batch_size:
        raise BadInput(
            f"a training of this race sees {least} of the {len(images)} images, fewer than one batch of "
            f"{recipe.batch_size}. Use a smaller batch_size (--batch-size), or more images."
        )


def checked_folder(out: Path, resume: bool, join: bool) -> Path:
    """The folder of a race, checked.

    Raises:
        BadInput: It holds another race, or none to join.
    """
    if os.path.exists(out) and not os.path.isdir(out):
        raise BadInput(f"--out {out} is a file; name a folder.")
    there = os.path.exists(out / JOURNAL)
    if join and not begun(out):
        missing = "is empty" if there else "is missing"
        raise BadInput(f"--join: there is no race in {out} ({JOURNAL} {missing}). Start one without --join.")
    if there and not (resume or join):
        raise BadInput(f"--out {out} holds a race; go on with it by --resume or --join, or choose another folder.")
    present = [name for name in RESULTS if os.path.exists(out / name)]
    if present and not begun(out):
        lost = f" of a race whose {JOURNAL} is empty" if there else ""
        raise BadInput(
            f"--out {out} holds {', '.join(present)}{lost}, and nothing is written over. Choose another folder."
        )
    if there and not begun(out):
        print(f"{out / JOURNAL} is empty: the race starts from its beginning.", file=sys.stderr)
    return out


def refuse_company(journal: Journal) -> None:
    """Refuses to go on with a race that others, which have joined it, still work on.

    Those that a killed process had started end a moment after it.

    Raises:
        BadInput: They do.
    """
    for _ in range(_LOOKS):
        with journal.locked():
            if not journal.at_work():
                return
        time.sleep(_PAUSE)
    raise BadInput(f"--out {journal.folder}: another process works on its race now. {AT_WORK}")
