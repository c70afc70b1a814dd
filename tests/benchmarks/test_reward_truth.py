"""Rewards against whole trainings: the correlations, the table, and what a look at a network gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats

from benchmarks import reward_truth
from benchmarks.regret_lines import Lines
from benchmarks.reward_truth import MOMENTS, NETWORK, look, policies
from benchmarks.reward_truth_table import FIGURES, interval, page, spearman
from benchmarks.tasks import task
from daas.data import load_images
from daas.seeds import generator


def test_rank_correlations_are_scipys() -> None:
    a, b = torch.randint(6, (2, 5, 12), generator=generator(1)).double()  # with ties
    wanted = [stats.spearmanr(x.numpy(), y.numpy()).statistic for x, y in zip(a, b, strict=True)]
    assert spearman(a, b).tolist() == pytest.approx(wanted)
    assert float(spearman(torch.ones(4), torch.arange(4.0))) == 0
    low, high = interval(torch.arange(25.0), torch.arange(25.0) + torch.randn(25, generator=generator(2)), 500)
    assert 0.8 < low < high <= 1


def lines_of(tmp_path: Path, trained: int) -> Lines:
    lines, names = Lines(tmp_path / "lines.jsonl"), list(policies())
    for seed in (1, 2):
        figures = {m: {p: dict.fromkeys(FIGURES, float(n)) for n, p in enumerate(names)} for m in MOMENTS}
        lines.append({"regime": "overfits", "seed": seed, "kind": "rewards", "figures": figures})
        for n, policy in enumerate(names if seed == 1 else names[:trained]):
            whole: dict[str, Any] = {"regime": "overfits", "seed": seed, "kind": "whole", "policy": policy}
            lines.append(whole | {"accuracy": float(n), "score": float(n)})
    return lines


@pytest.mark.parametrize(("trained", "seeds"), [(3, "seeds 1."), (25, "seeds 1, 2.")])
def test_the_table_has_the_seeds_that_are_whole(tmp_path: Path, trained: int, seeds: str) -> None:
    text = page(lines_of(tmp_path, trained), ["overfits", "underfits"], list(MOMENTS))
    assert f"overfits: 25 policies, {seeds}" in text
    assert text.count("1.00 (1.00 to 1.00)") == len(FIGURES) * len(MOMENTS)
    assert text.count("-1.00 (-1.00 to -1.00)") == len(FIGURES) * len(MOMENTS)
    assert "underfits" not in text


def test_a_look_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    known = policies()
    assert len(known) == 25
    monkeypatch.setattr(reward_truth, "policies", lambda: {name: known[name] for name in ("none", "Rotate")})
    made = task("tilted", load_images("digits"), 60, 30, 0, seed=1)
    torch.manual_seed(0)
    model = NETWORK.create(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = look(model, made, 1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert set(found["Rotate"]) == set(FIGURES)
    assert found["none"]["- excess, training"] == found["none"]["- excess, validation"] == 0
    assert found["Rotate"]["reward"] != found["none"]["reward"]
