"""``benchmarks/results/regret.md`` from the lines of ``benchmarks.regret`` alone."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.regret_comparisons import comparisons
from benchmarks.regret_judged import SHELF, Judged, Seeds, judged
from benchmarks.regret_lines import Lines
from benchmarks.timing import table, write
from daas.seeds import generator

README = Path(__file__).parents[1] / "README.md"
DOCS = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN, END = "<!-- regret: written by python -m benchmarks.regret --table -->\n", "<!-- regret: end -->\n"
WAYS = (
    "random policy", "random search", "search", "screen", "race", "screen, race", "screen, race, best mean",
    "screen, search, race",
)  # fmt: skip
GOALS = (*SHELF, "random policy", "screen", "screen, race")
_WORDS = {
    "screen": "**what the screen allows**, its flip",
    "screen, race": "**the race's choice after the screen**",
    "random policy": "a random policy, flip",
}


def interval(values: Sequence[Seeds], draws: int = 10_000) -> tuple[float, float]:
    """95% interval of the mean over tasks of the mean over seeds: bootstrap over tasks, and over seeds within."""
    random = generator(0)
    means = torch.zeros(draws)
    chosen = torch.randint(len(values), (draws, len(values)), generator=random)
    for index, seeds in enumerate(values):
        mine = torch.tensor(list(seeds.values()))
        times = (chosen == index).sum(1)
        picks = torch.randint(len(mine), (draws, len(values), len(mine)), generator=random)
        drawn = mine[picks].mean(2)  # a fresh draw of the seeds for every time the task is drawn
        use = torch.arange(len(values)) < times[:, None]
        means += (drawn * use).sum(1) / len(values)
    low, high = means.quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def page(lines: Lines, tasks: Sequence[str], seeds: Sequence[int]) -> str:
    """Markdown: what is missing, regrets by way, accuracies by task."""
    by_task = judged(lines)
    regrets = {name: one.regret() for name, one in by_task.items()}
    every = (*SHELF, *WAYS)
    done = [(name, seed) for name in tasks for seed in seeds if _whole(by_task.get(name), seed, every)]
    goals = [(name, seed) for name in tasks for seed in seeds if _whole(by_task.get(name), seed, GOALS)]
    parts = [
        f"{len(done)} of {len(tasks) * len(seeds)} (task, seed) are complete: "
        f"{_named(done)}. With the ways that the goals speak of: {_named(goals)}. "
        f"{sum(line['kind'] != 'choice' for line in lines)} trainings, "
        f"{sum(line.get('seconds', 0.0) for line in lines) / 3600:.1f} hours.",
        "Regret in points: accuracy of the task's best candidate minus that of what was taken, mean over the seeds.",
    ]
    parts.append(by_task_and_way(lines, tasks))
    parts.append("\n".join(f"- {said}" for said in comparisons(by_task)))
    for name in (name for name in tasks if name in regrets):
        one = by_task[name]
        best, values = one.best()
        chosen = [
            f"{way}: {', '.join(f'{seed} {c}' for seed, c in sorted(one.choices[way].items()))}" for way in one.choices
        ]
        parts.append(
            f"**{name}**: best {best} {statistics.fmean(values.values()):.1f} "
            f"(seeds {', '.join(map(str, sorted(values)))}). Choices by seed: {'; '.join(chosen) or 'none yet'}."
        )
        order = sorted(one.accuracy, key=lambda c: -statistics.fmean(one.accuracy[c].values()))
        parts.append("; ".join(f"{c} {statistics.fmean(one.accuracy[c].values()):.1f}" for c in order) + ".")
    return "\n\n".join([*parts, *_under_way(lines, goals)])


def by_task_and_way(lines: Iterable[Mapping[str, Any]], tasks: Sequence[str]) -> str:
    """Regrets as a table: a row for each way, a column for each task, in brackets the runs."""
    regrets = {name: one.regret() for name, one in judged(lines).items()}
    names = [name for name in tasks if name in regrets]
    ways = [way for way in (*SHELF, *WAYS) if any(regrets[name].get(way) for name in names)]
    head = ["way", "tasks", "mean (95% interval)", "worst", *names]
    return table(head, [_row(way, names, regrets) for way in ways])


def _named(done: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {seed}" for name, seed in done) or "none"


def short(lines: Iterable[Mapping[str, Any]]) -> str:
    """The README's table: regrets where every way that the goals speak of is judged, by task and seed.

    Args:
        lines: Of ``benchmarks.regret``.

    Returns:
        Markdown; of what is off the shelf, a row for each without cutout.
    """
    by_task = judged(lines)
    regrets: dict[str, dict[str, Seeds]] = {}
    for name, one in by_task.items():
        seeds = [seed for seed in one.best()[1] if _whole(one, seed, GOALS)]
        if seeds:
            regrets[name] = {way: {s: r[s] for s in seeds} for way, r in one.regret().items() if set(seeds) <= set(r)}
    rows = []
    for way in (*(way for way in SHELF if "cutout" not in way), "random policy", "screen", "screen, race"):
        means = [statistics.fmean(regret[way].values()) for regret in regrets.values()]
        rows.append([_WORDS.get(way, way), f"{statistics.fmean(means):.1f}", f"{max(means):.1f}"])
    runs = sum(len(regret["screen"]) for regret in regrets.values())
    head = [f"what is taken ({len(regrets)} tasks, {runs} runs)", "mean regret", "worst"]
    return table(head, rows) + "\n"


def _under_way(lines: Lines, done: Sequence[tuple[str, int]]) -> list[str]:
    """Validation accuracies of the trainings that choices are made from, where a (task, seed) is not complete."""
    runs: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if line["kind"] == "run" and (line["task"], line["seed"]) not in done:
            runs[line["task"], line["seed"]][line["candidate"]].append(line["accuracy"])
    found = []
    for (name, seed), candidates in runs.items():
        order = sorted(candidates, key=lambda c: -statistics.fmean(candidates[c]))
        listed = "; ".join(f"{c} {statistics.fmean(candidates[c]):.1f} ({len(candidates[c])})" for c in order)
        found.append(
            f"Under way, {name}, seed {seed}: accuracy on validation folds (trainings), from which nothing is chosen "
            f"yet: {listed}."
        )
    return found


def _whole(one: Judged | None, seed: int, ways: Iterable[str]) -> bool:
    """Whether every one of these ways has been gone and judged."""
    return one is not None and all(seed in one.by_way().get(way, {}) for way in ways)


def _row(way: str, names: Sequence[str], regrets: Mapping[str, Mapping[str, Seeds]]) -> list[str]:
    found = {name: regrets[name][way] for name in names if regrets[name].get(way)}
    means = [statistics.fmean(seeds.values()) for seeds in found.values()]
    low, high = interval(list(found.values()))
    cells = [
        f"{statistics.fmean(found[name].values()):.1f} ({len(found[name])})" if name in found else "" for name in names
    ]
    return [
        way,
        str(len(found)),
        f"{statistics.fmean(means):.1f} ({low:.1f} to {high:.1f})",
        f"{max(means):.1f}",
        *cells,
    ]


def write_table(lines: Lines, tasks: Sequence[str], seeds: Sequence[int]) -> None:
    """Writes regret.md and regret.json, and the tables of the README and of the page of results."""
    regrets = {name: one.regret() for name, one in judged(lines).items()}
    write("regret", "python -m benchmarks.regret --table", page(lines, tasks, seeds), {"regret": regrets})
    for path, own in ((README, short(lines)), (DOCS, by_task_and_way(lines, tasks) + "\n")):
        before, rest = path.read_text(encoding="utf-8").split(BEGIN)
        path.write_text(before + BEGIN + own + END + rest.split(END)[1], encoding="utf-8")
