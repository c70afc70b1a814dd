"""``benchmarks/results/pairs.md`` from the lines of ``benchmarks.pairs`` alone."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from scipy.stats import ttest_rel

from benchmarks.tables.statistics import Estimate, estimate, paired
from benchmarks.timing import table

Seeds = dict[int, float]
WITH_CELLS = "chosen, with the shelf"
_EARLIER = ("chosen, with cells as large", "chosen, with cells")
_SUGGESTED = {WITH_CELLS: (1, 2, 3), _EARLIER[0]: (1, 2), _EARLIER[1]: (1,)}
"""Seeds whose lines suggested a further way (pairs-plan.md)."""
_OWN = ("chosen", WITH_CELLS, *_EARLIER, "found", "random")


def judged(lines: Iterable[Mapping[str, Any]]) -> dict[str, Seeds]:
    """Pair -> seed -> accuracy on the photographs that judge."""
    found: dict[str, Seeds] = defaultdict(dict)
    for line in lines:
        if line["kind"] == "whole":
            found[line["pair"]][line["seed"]] = line["accuracy"]
    return dict(found)


def best_of_the_shelf(accuracy: Mapping[str, Seeds]) -> str | None:
    """The pair with the highest mean over the seeds that the most pairs have; None where nothing was trained."""
    shelf = {name: seeds for name, seeds in accuracy.items() if name not in _OWN}
    most = max((len(seeds) for seeds in shelf.values()), default=0)
    whole = [name for name, seeds in shelf.items() if len(seeds) == most]
    return max(whole, key=lambda name: statistics.fmean(shelf[name].values())) if whole else None


def page(lines: Iterable[Mapping[str, Any]]) -> str:
    """pairs.md."""
    rows = list(lines)
    accuracy = judged(rows)
    params = {row["pair"]: row["params"] for row in rows if row["kind"] == "whole"}
    order = sorted(accuracy, key=lambda name: -statistics.fmean(accuracy[name].values()))
    body = [[name, f"{params[name]:,}", _words(estimate(list(accuracy[name].values())))] for name in order]
    text = ["# A chosen pair against the shelf", "", "`python -m benchmarks.pairs --data-dir ARCHIVE`; plan: "
            "`pairs-plan.md`.", "", table(["pair", "weights (last seed)", "accuracy"], body), ""]  # fmt: skip
    best = best_of_the_shelf(accuracy)
    for name in _OWN[:-1]:
        if best is not None and (gap := paired(accuracy.get(name, {}), accuracy[best])) is not None:
            text.append(f"- {name} minus the best of the shelf ({best}): {_words(gap)}{_interval(gap)}.")
            early = _SUGGESTED.get(name, ())
            later = {seed: value for seed, value in accuracy[name].items() if seed not in early}
            if early and (without := paired(later, accuracy[best])) is not None:
                seeds = f"seeds {early[0]} to {early[-1]}" if len(early) > 1 else f"seed {early[0]}"
                text.append(f"  Without {seeds}, by which it was suggested: {_words(without)}{_interval(without)}.")
    text += [said for name in ("chosen", WITH_CELLS) for said in _against_random(accuracy, name)]
    return "\n".join(text) + "\n"


def _against_random(accuracy: Mapping[str, Seeds], name: str) -> list[str]:
    chosen, random = accuracy.get(name, {}), accuracy.get("random", {})
    gap = paired(chosen, random)
    if gap is None:
        return []
    said = f"- {name} minus random: {_words(gap)}{_interval(gap)}"
    if gap.n > 1:
        seeds = sorted(set(chosen) & set(random))
        test = ttest_rel([chosen[seed] for seed in seeds], [random[seed] for seed in seeds])
        said += f", p = {float(test.pvalue):.3g} (paired t-test, two-sided)"
    return [said + "."]


def _words(found: Estimate) -> str:
    spread = "" if found.n == 1 else f"sd {found.deviation:.2f}, "
    return f"{found.mean:.2f} ({spread}n = {found.n})"


def _interval(found: Estimate) -> str:
    if found.n == 1:
        return ", too few for an interval"
    return f", 95% interval {found.mean - found.half_width:+.2f} to {found.mean + found.half_width:+.2f}"
