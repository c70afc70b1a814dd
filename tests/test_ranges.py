"""One table says what numeric options may be, for every program and in Python."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

import daas
from daas.errors import BadInput
from daas.options import _kind
from daas.race.options import RaceOptions
from daas.ranges import RANGES, Range, check_range, check_ranges
from daas.screen.options import ScreenOptions
from daas.search.options import SearchConfig
from daas.train.checks import _PAIRS, check
from daas.train.fit import Recipe
from daas.train.options import TrainOptions


@pytest.mark.parametrize("options", [TrainOptions, SearchConfig, ScreenOptions, RaceOptions, Recipe])
def test_every_number_has_a_range(options: type) -> None:
    numbers = {field.name for field in fields(options) if _kind(options, field.name)[0] in (int, float)}
    assert numbers - RANGES.keys() - _PAIRS.keys() <= {"input_size", "decay_milestones"}  # checked by what they are for


@pytest.mark.parametrize("options", [TrainOptions(), SearchConfig(), Recipe()])
def test_the_defaults_lie_in_it(options: object) -> None:
    check_ranges(options)


def test_the_ends_of_a_range() -> None:
    assert [Range(0, 1).holds(value) for value in (-1, 0, 1, 2, float("nan"))] == [False, True, True, False, False]
    open_ended = Range(0, 1, above=True, below=True)
    assert [open_ended.holds(value) for value in (0, 0.5, 1)] == [False, True, False]
    with pytest.raises(BadInput, match="--batch-size 0: it must be at least 1 and at most 1,048,576"):
        check_range("batch_size", 0, RANGES["batch_size"])
    check_range("batch_size", None, RANGES["batch_size"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"opt_betas": (2.0, 2.0)}, "--opt-betas 2.0 2.0: it must be at least 0 and below 1"),
        ({"mixup": 1e300}, "--mixup 1e\\+300"),
        ({"std": (1e-300,) * 3}, "--std 1e-300 1e-300 1e-300: it must be at least 0.0001"),
        ({"mean": (123.7, 116.3, 103.5)}, "between 0 and 1. Shares of the full range are meant: divide levels"),
        ({"std": (58.4, 57.1, 57.4)}, "at most 1. Shares of the full range are meant"),
        ({"scale": (0.0, 0.0), "train_crop_mode": "rrc"}, "the larger above 0"),
        ({"momentum": 5.0}, "below 1"),
        ({"smoothing": 1.0}, "below 1"),
        ({"lr": 1e300}, "at most 1e\\+30"),
        ({"lr_base_size": 0}, "at least 1"),
        ({"workers": 100_000}, "at most 1,024"),
        ({"recount": 100_000}, "at most 64"),
        ({"head_init_scale": 1e300}, "at most 1,000"),
        ({"opt_eps": -1.0}, "between 0 and 1"),
        ({"bce_pos_weight": -3.0}, "above 0"),
    ],
)
def test_trainings(values: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        check(TrainOptions(**values))  # type: ignore[arg-type]  # of many types


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lr": 0.0}, "--lr 0.0: it must be above 0"),
        ({"seed": 10**23}, "--seed 1"),
        ({"image_size": 100_000}, "at most 4,096"),
        ({"channels": 1_000_000}, "at most 4,096"),
        ({"layers": 2}, "at least 3"),
        ({"batch_size": 1}, "at least 2"),
        ({"momentum": 1.0}, "below 1"),
        ({"tau_min": 1e-300}, "at least 0.001"),
        ({"arch_lr": 1e300}, "at most 1e\\+30"),
    ],
)
def test_searches(values: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        SearchConfig(dataset="digits", **values).check()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"recipe": Recipe(lr=0.0)}, "--lr 0.0: it must be above 0"),
        ({"candidates": ["none,lr=0", "none"]}, "--lr 0.0: it must be above 0"),
        ({"folds": 5000}, "--folds 5000"),
        ({"workers": 5000}, "--workers 5000"),
        ({"image_size": 100_000}, "--image-size 100000"),
    ],
)
def test_races(values: dict[str, object], said: str, tmp_path: Path) -> None:
    given = {"candidates": ["none", "none,hflip=0"], "network": "resnet10t", "trainings": 4, **values}
    with pytest.raises(BadInput, match=said):
        daas.race("digits", out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()
