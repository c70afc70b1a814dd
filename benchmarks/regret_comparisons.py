"""The comparisons of ``benchmarks/results/regret-plan.md``: ways of choosing against each other and the shelf."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from scipy.stats import wilcoxon

from benchmarks.regret_judged import SHELF, Judged
from benchmarks.tables.statistics import Estimate, estimate

NATURAL = ("natural", "natural, underfitting")
RULE, BEST_MEAN = "screen, race", "screen, race, best mean"
PROPOSED = "screen, search, race"
_ADDS = ((PROPOSED, RULE, "the gradient's proposals add"), (RULE, "race", "the screen adds to a race"))
_LATER = (2, 3)  # seeds that judge the way that seed 1 suggested
Pairs = dict[tuple[str, int], float]


def comparisons(tasks: Mapping[str, Judged]) -> list[str]:
    """Sentences, one for each comparison of which there are runs."""
    natural = {name: tasks[name] for name in NATURAL if name in tasks}
    said = [
        f"On natural photographs, *{way}* minus the best off the shelf ({_bests(natural, way)}): {_words(gaps)}."
        for way in ("screen", RULE, BEST_MEAN)
        if (gaps := against_shelf(natural, way))
    ]
    later = {(name, seed): gap for (name, seed), gap in between(tasks, BEST_MEAN, RULE).items() if seed in _LATER}
    if later:
        said.append(f"*{BEST_MEAN}* minus *{RULE}*, seeds 2 and 3: {_words(later)}.")
    for way, other, what in _ADDS:
        if gaps := between(tasks, way, other):
            said.append(f"What {what}, at equal trainings, *{way}* minus *{other}*: {_words(gaps)}.")
    return said + _ranked(tasks)


def against_shelf(tasks: Mapping[str, Judged], way: str) -> Pairs:
    """Accuracy of a way minus that of a task's best entry of the shelf, by task and seed."""
    gaps: Pairs = {}
    for name, one in tasks.items():
        mine, best = one.by_way().get(way, {}), best_of_shelf(one, way)
        if best is not None:
            gaps |= {(name, seed): mine[seed] - value for seed, value in one.by_way()[best].items() if seed in mine}
    return gaps


def best_of_shelf(one: Judged, way: str) -> str | None:
    """The entry with the highest mean over the seeds that a way was judged with; the images that judge choose it."""
    known, seeds = one.by_way(), one.by_way().get(way, {}).keys()
    whole = {name: known[name] for name in SHELF if seeds and seeds <= known.get(name, {}).keys()}
    return max(whole, key=lambda name: statistics.fmean(whole[name][seed] for seed in seeds), default=None)


def between(tasks: Mapping[str, Judged], way: str, other: str) -> Pairs:
    """Accuracy of one way minus that of another, by task and seed."""
    gaps: Pairs = {}
    for name, one in tasks.items():
        mine, theirs = (one.by_way().get(which, {}) for which in (way, other))
        gaps |= {(name, seed): mine[seed] - theirs[seed] for seed in sorted(mine.keys() & theirs.keys())}
    return gaps


def holm(values: Mapping[str, float], planned: int) -> dict[str, float]:
    """p-values, adjusted for how many were planned (Holm, 1979); those that are not there yet count as 1."""
    adjusted, least = {}, 0.0
    for place, name in enumerate(sorted(values, key=values.__getitem__)):
        least = max(least, min(1.0, (planned - place) * values[name]))
        adjusted[name] = least
    return adjusted


def _ranked(tasks: Mapping[str, Judged]) -> list[str]:
    """Wilcoxon's signed ranks over (task, seed), two-sided, adjusted by Holm over the plan's two comparisons."""
    entries = [name for name in SHELF if len(between(tasks, "screen", name)) > 1]
    compared = {}
    if entries:
        best = min(entries, key=lambda name: statistics.fmean(between(tasks, "screen", name).values()))
        compared[f"*screen* minus *{best}*, the best of the shelf over all tasks"] = between(tasks, "screen", best)
    if len(gaps := between(tasks, "race", "random search")) > 1:
        compared["*race* minus *random search*"] = gaps
    found = {name: float(wilcoxon(list(gaps.values())).pvalue) for name, gaps in compared.items() if any(gaps.values())}
    return [
        f"{name}: {_words(compared[name])}, p = {value:.2g} (Wilcoxon; Holm over two)."
        for name, value in holm(found, planned=2).items()
    ]


def _bests(tasks: Mapping[str, Judged], way: str) -> str:
    chosen = (best_of_shelf(one, way) for one in tasks.values())
    return "; ".join(name for name in chosen if name is not None)


def _words(gaps: Pairs) -> str:
    found: Estimate = estimate(list(gaps.values()))
    if found.n == 1:
        return f"{found.mean:+.2f} (n = 1)"
    low, high = found.mean - found.half_width, found.mean + found.half_width
    return f"{found.mean:+.2f} points (sd {found.deviation:.2f}, n = {found.n}, 95% interval {low:+.2f} to {high:+.2f})"
