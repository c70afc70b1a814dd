"""One training of a race: ``daas.train``'s own code on one split, whole, and its score."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from daas.data import ImageData
from daas.errors import BadInput
from daas.options import typed
from daas.race.candidates import Candidate, Network
from daas.race.folds import fold_of, split, training_seed
from daas.race.statistics import Score, score
from daas.ranges import SOME_RATE, check_ranges
from daas.train.checks import check
from daas.train.fit import Recipe, fitting, streams_as_before, try_fit

_SAME_FOR_ALL = ("epochs", "batch_size", "mean", "std")  # or trainings would not be of one length, or not paired
RACED = tuple(field.name for field in fields(Recipe) if field.name not in _SAME_FOR_ALL)
"""Values of a training that candidates may differ in."""


def recipe_values(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values of a candidate's recipe, checked.

    Args:
        values: By the names of ``daas.train``'s options.
        where: They stand, for errors.

    Raises:
        BadInput: A name that cannot be raced, or a value of another type.

    >>> recipe_values({"hflip": 0, "cutout": 8}, "here")
    {'hflip': 0.0, 'cutout': 8}
    >>> recipe_values({"hflip": 0.5, "hflip_swap": "left:right"}, "here")
    {'hflip': 0.5, 'hflip_swap': (('left', 'right'),)}
    """
    for name in values:
        if name not in RACED:
            raise BadInput(f"candidate {where}: {name} cannot be raced. What can is {', '.join(RACED)}, and network.")
    swap = {name: value for name, value in values.items() if name == "hflip_swap"}
    found = typed(Recipe, {name: value for name, value in values.items() if name not in swap}, f"candidate {where}")
    return {**found, **{name: _pairs(value, where) for name, value in swap.items()}}


def _pairs(given: Any, where: str) -> tuple[tuple[str, str], ...]:
    """Pairs of classes: ``LEFT:RIGHT``, a list of such texts, or of two names each."""
    several = [given] if isinstance(given, str) else given
    found = []
    for one in several if isinstance(several, (list, tuple)) else [several]:
        parts = one.split(":") if isinstance(one, str) else one
        if not isinstance(parts, (list, tuple)) or len(parts) != 2 or not all(isinstance(p, str) and p for p in parts):
            raise BadInput(
                f"candidate {where}: hflip_swap is {given!r}; it is CLASS:CLASS, or a list of pairs of class names "
                "(which may hold colons), each two that a horizontal flip turns into each other."
            )
        found.append((parts[0], parts[1]))
    return tuple(found)


@dataclass(frozen=True)
class Trainer:
    """Does the trainings of a race; it can be sent to another process.

    Attributes:
        candidates: By number.
        data: All images.
        recipe: Of all trainings, but for what a candidate says itself.
        folds: K.
        seed: Of the race.
        device: Where to train; on a CPU with one thread.
    """

    candidates: Sequence[Candidate]
    data: ImageData
    recipe: Recipe
    folds: int
    seed: int
    device: str

    def recipe_of(self, candidate: Candidate) -> Recipe:
        """The whole recipe of a candidate."""
        return replace(self.recipe, **{**candidate.network.statistics, **candidate.values})

    def network_of(self, candidate: Candidate) -> nn.Module | Callable[[], nn.Module]:
        """The network of a candidate, or what makes it, for these images and with its drop-path rate."""
        fitted = candidate.network.fitted(self.data.image_size, self.recipe_of(candidate).drop_path)
        return candidate.network.maker(self.data.class_names, **fitted)

    @cached_property
    def dealt(self) -> Tensor:
        """[N] int64, the fold of each image."""
        return fold_of(self.data.labels, self.folds, self.seed)

    def try_out(self) -> None:
        """Tries a step of every network with every recipe that it has, before anything is written.

        Raises:
            BadInput: Which option, or why a step fails.
        """
        check_ranges(self.recipe, lr=SOME_RATE)
        check(self.recipe.options(0))
        tried: list[tuple[Network, Recipe]] = []
        few = self.data.subset(torch.arange(min(len(self.data), self.recipe.batch_size)))
        with _one_thread(self.device):
            for candidate in self.candidates:
                this = (candidate.network, self.recipe_of(candidate))
                if this not in tried:
                    tried.append(this)
                    self._try(candidate, few)

    def _try(self, candidate: Candidate, few: ImageData) -> None:
        network, recipe = candidate.network, self.recipe_of(candidate)
        try:
            check_ranges(recipe, lr=SOME_RATE)
            check(recipe.options(0))
            if network.module is not None and recipe.drop_path is not None:
                raise BadInput("drop_path is the rate of a timm model; a module has its own.")
            try_fit(self.network_of(candidate), few, self.data, recipe, self.device)
        except BadInput as error:  # daas.train names its own options and the module's class
            said = str(error).replace("--img-size", "--image-size")
            raise BadInput(f"candidate {candidate.name}: {said}") from error

    def __call__(self, number: int, run: int) -> Score | None:
        """Trains a candidate on the images of a run; None where its loss diverged."""
        with _one_thread(self.device), streams_as_before(self.device):
            steps = self._steps(number, run, alone=True)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    reached: Score | None = end.value
                    return reached

    def steps(self, number: int, run: int) -> Generator[None, None, Score | None]:
        """The same in pieces, for several trainings side by side: on CUDA on a stream of its own."""
        steps = self._steps(number, run, alone=False)
        device = torch.device(self.device)
        stream: Any = None
        if device.type == "cuda":
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))  # the images are there
        while True:
            with torch.cuda.stream(stream):  # which does nothing where there is none
                try:
                    next(steps)
                except StopIteration as end:
                    reached: Score | None = end.value
                    return reached
            yield

    def _steps(self, number: int, run: int, alone: bool) -> Generator[Any, None, Score | None]:
        candidate, seed = self.candidates[number], training_seed(self.seed, run)
        train, val = (self.data.subset(part) for part in split(self.dealt, self.folds, run))
        try:
            fitted = yield from fitting(
                self.network_of(candidate),
                train,
                val,
                self.recipe_of(candidate),
                augment=candidate.policy,
                seed=seed,
                device=self.device,
                alone=alone,
            )
        except FloatingPointError:
            return None
        return score(fitted.logits, fitted.labels) if bool(torch.isfinite(fitted.logits).all()) else None


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """On a CPU a training has one thread: the cores are for other trainings, and sums do not depend on their number."""
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
