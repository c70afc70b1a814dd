"""Candidates with values from ranges, ``lr=0.03..0.3``: Optuna's quasi-random sampler spreads the draws over them."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Mapping
from typing import Any, get_type_hints

from daas.errors import BadInput
from daas.seeds import seed_of
from daas.train.fit import Recipe

DRAWS = "draws"
"""How many candidates are made of one with ranges."""
_USUAL, _MOST = 6, 64
_RANGE = re.compile(r"^([-+.\deE]+)\.\.([-+.\deE]+)$")
_DIGITS = 3  # significant ones, so that a value can be read and typed again
_RANGES = 111  # what a random stream is for
_Range = tuple[float, float, bool]  # low, high, whole numbers
_WHOLE = {name for name, kind in get_type_hints(Recipe).items() if kind in (int, int | None)}
"""Values that are whole numbers."""


def drawn(values: Mapping[str, Any], where: str, seed: int) -> list[dict[str, Any]]:
    """A candidate's values, once for every draw from their ranges; once, as they are, without a range.

    A range is the text ``LOW..HIGH``. It is drawn from on a logarithmic scale where HIGH is at least ten times LOW and
    LOW is above 0; of what counts something (``cutout``, in pixels) whole numbers are drawn. ``draws=N`` says how many
    (6); those that coincide are one candidate, which is said. The points are from Optuna (``samplers.QMCSampler``: a
    random one, then a scrambled Sobol sequence over all ranges together), and the same for the same seed.

    Args:
        values: By name.
        where: They stand, for errors.
        seed: Of the race.

    Raises:
        BadInput: A range that has no width, or ``draws`` without a range or out of its own.

    >>> drawn({"lr": "0.01..1", "hflip": 0, "draws": 2}, "here", seed=0)
    [{'lr': 0.191, 'hflip': 0}, {'lr': 0.342, 'hflip': 0}]
    """
    given = {name: value for name, value in values.items() if name != DRAWS}
    ranges = {name: found for name, value in given.items() if (found := _range(name, value, where)) is not None}
    draws = values.get(DRAWS, _USUAL)
    if not ranges:
        if DRAWS in values:
            raise BadInput(f"candidate {where}: {DRAWS} needs a range, for example lr=0.03..0.3.")
        return [given]
    if isinstance(draws, bool) or not isinstance(draws, int) or not 1 <= draws <= _MOST:
        raise BadInput(f"candidate {where}: {DRAWS} is {draws}; it is a whole number from 1 to {_MOST}.")
    points = _points(ranges, draws, seed_of(seed, _RANGES) % 2**31)
    different = [point for number, point in enumerate(points) if point not in points[:number]]
    if len(different) < draws:
        print(f"Candidate {where}: of {draws} draws {len(different)} are different.", file=sys.stderr)
    return [{**given, **point} for point in different]


def _range(name: str, value: Any, where: str) -> _Range | None:
    match = _RANGE.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        low, high = map(float, match.groups())
    except ValueError:
        return None  # what reads the values says that it is no number
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadInput(f"candidate {where}: {name} is {value}; a range is LOW..HIGH, the lower number first.")
    return low, high, name in _WHOLE and all(text.lstrip("+-").isdigit() for text in match.groups())


def _points(ranges: Mapping[str, _Range], draws: int, seed: int) -> list[dict[str, float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # the sampler's interface may change
        sampler = optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed)
    study = optuna.create_study(sampler=sampler)
    found = []
    for _ in range(draws):
        trial = study.ask()
        point: dict[str, float] = {}
        for name, (low, high, whole) in ranges.items():
            logarithmic = low > 0 and high >= 10 * low
            if whole:
                point[name] = trial.suggest_int(name, int(low), int(high), log=logarithmic)
            else:
                point[name] = float(f"{trial.suggest_float(name, low, high, log=logarithmic):.{_DIGITS}g}")
        study.tell(trial, 0.0)
        found.append(point)
    return found
