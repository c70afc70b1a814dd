"""``benchmarks/results/reward-truth.md`` from the lines of ``benchmarks.reward_truth`` alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.regret_lines import Lines
from benchmarks.timing import table, write
from daas.seeds import generator

FIGURES = (
    "reward", "cosine", "reward, penalty", "cosine, penalty", "- excess, training", "- excess, validation",
    "accuracy, validation",
)  # fmt: skip
_FEWEST = 10  # policies below which a regime is only counted
_DRAWS = 10_000


@dataclass(frozen=True)
class Regime:
    """What the lines say of one regime.

    Attributes:
        truth: Policy -> mean accuracy and mean minus cross-entropy over the seeds that both kinds of lines have.
        figures: Moment -> figure -> policy -> mean over these seeds.
        seeds: Which.
    """

    truth: dict[str, tuple[float, float]]
    figures: dict[str, dict[str, dict[str, float]]]
    seeds: list[int]


def regime_of(lines: Lines, name: str) -> Regime | None:
    """One regime over the seeds whose rewards and trainings are there; None without any."""
    mine = [line for line in lines if line["regime"] == name]
    rewards = {line["seed"]: line["figures"] for line in mine if line["kind"] == "rewards"}
    whole = {
        seed: {line["policy"]: line for line in mine if line["kind"] == "whole" and line["seed"] == seed}
        for seed in rewards
    }
    most = max(map(len, whole.values()), default=0)
    seeds = [seed for seed, found in whole.items() if found and len(found) == most]
    if not seeds:
        return None
    policies = [policy for policy in whole[seeds[0]] if all(policy in whole[seed] for seed in seeds)]

    def mean(values: Any) -> float:
        return statistics.fmean(values)

    truth = {
        p: (mean(whole[s][p]["accuracy"] for s in seeds), -mean(whole[s][p]["score"] for s in seeds)) for p in policies
    }
    figures = {
        moment: {
            figure: {p: mean(rewards[s][moment][p][figure] for s in seeds) for p in policies} for figure in FIGURES
        }
        for moment in rewards[seeds[0]]
    }
    return Regime(truth, figures, seeds)


def ranks(values: Tensor) -> Tensor:
    """Places along the last dimension, from 0; equal values share the mean of theirs.

    >>> ranks(torch.tensor([3.0, 1.0, 3.0])).tolist()
    [1.5, 0.0, 1.5]
    """
    below = (values.unsqueeze(-2) < values.unsqueeze(-1)).sum(-1)
    equal = (values.unsqueeze(-2) == values.unsqueeze(-1)).sum(-1)
    return below.double() + (equal - 1) / 2


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Rank correlation along the last dimension; 0 where either is constant.

    >>> round(float(spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 4.0, 9.0]))), 6)
    1.0
    """
    first, second = (ranks(part) - ranks(part).mean(-1, keepdim=True) for part in (a, b))
    norm = (first.square().sum(-1) * second.square().sum(-1)).sqrt()
    return (first * second).sum(-1) / norm.clamp_min(1e-12)


def interval(a: Tensor, b: Tensor, draws: int = _DRAWS) -> tuple[float, float]:
    """The central 95% of the correlation over draws of the policies with replacement."""
    picks = torch.randint(len(a), (draws, len(a)), generator=generator(0))
    low, high = spearman(a[picks], b[picks]).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def _cell(a: Tensor, b: Tensor) -> str:
    low, high = interval(a, b)
    return f"{float(spearman(a, b)):.2f} ({low:.2f} to {high:.2f})"


def page(lines: Lines, names: Sequence[str], moments: Sequence[str]) -> str:
    """Markdown: what there is, correlations by regime, figure and moment, and the trainings themselves."""
    found = {name: one for name in names if (one := regime_of(lines, name)) is not None}
    counts = [
        f"{name}: {len(one.truth)} policies, seeds {', '.join(map(str, one.seeds))}" for name, one in found.items()
    ]
    parts = [
        f"{'; '.join(counts) or 'No lines'}.",
        "Spearman's rank correlation with the test accuracy of whole trainings, and the central 95% of a bootstrap "
        "over policies.",
    ]
    enough = {name: one for name, one in found.items() if len(one.truth) >= _FEWEST}
    for number, truth in enumerate(("accuracy", "minus cross-entropy at a fitted temperature")):
        if number:
            parts.append(f"The same with {truth}:")
        rows = [
            [figure, moment, *(
                _cell(torch.tensor(list(one.figures[moment][figure].values()), dtype=torch.float64),
                      torch.tensor([values[number] for values in one.truth.values()], dtype=torch.float64))
                for one in enough.values()
            )]
            for figure in FIGURES for moment in moments
        ]  # fmt: skip
        parts.append(table(["figure", "moment", *enough], rows))
    for name, one in found.items():
        order = sorted(one.truth, key=lambda policy: -one.truth[policy][0])
        parts.append(f"**{name}**, accuracy: {'; '.join(f'{p} {one.truth[p][0]:.1f}' for p in order)}.")
    return "\n\n".join(parts)


def write_table(lines: Lines, names: Sequence[str], moments: Sequence[str]) -> None:
    """Writes and prints ``reward-truth.md``."""
    write("reward-truth", "python -m benchmarks.reward_truth --table", page(lines, names, moments), {})
