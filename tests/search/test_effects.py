"""Options that a mode has no use for are named; those of its own and of presets are not."""

from __future__ import annotations

from typing import Any

import pytest

from daas.search.effects import without_effect
from daas.search.options import PRESETS, SearchConfig
from daas.search.runs import one
from daas.whole import run

FIXED = {"mode": "aug", "model": "resnet18"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mode": "arch", "policies": 3}, "--policies has no effect with --mode arch."),
        ({**FIXED, "channels": 4, "tau_max": 3.0}, "--channels and --tau-max have no effect with --mode aug."),
        ({**FIXED, "max_skips": 1}, "--max-skips has no effect with --mode aug."),
        ({"aug_estimator": "uniform", "aug_lr": 0.5}, "--aug-lr has no effect with --aug-estimator uniform."),
    ],
)
def test_what_changes_nothing_is_said(
    given: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SearchConfig(**given, dataset="digits", max_steps=1)
    monkeypatch.setattr(one, "search", lambda *_: None)
    run.search(config)
    assert capsys.readouterr().err == f"Warning: {said}\n"


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_and_the_options_of_a_mode_are_not(preset: str) -> None:
    for given in ({}, {**FIXED, "policies": 3}, {"mode": "arch", "channels": 4}):
        assert without_effect(SearchConfig(**{"preset": preset, **given})) == []
    sized = {"mode": "aug", "model": "daas_cell_cifar", "model_kwargs": ("channels=4", "layers=3")}
    assert without_effect(SearchConfig(preset=preset, **sized, channels=4, layers=3)) == []
