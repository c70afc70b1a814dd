"""What ``benchmarks.regret`` has judged: accuracies by candidate, and by way of choosing."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SHELF = {
    f"{policy}{cutout}, flip": f"{policy}{cutout}, flip"
    for policy in ("none", "trivialaugment", "randaugment", "autoaugment_cifar10")
    for cutout in ("", ", cutout 8")
}
"""Ways that choose nothing: what everybody takes, with the flip that every script has."""
Seeds = dict[int, float]


@dataclass
class Judged:
    """What was judged of one task.

    Attributes:
        accuracy: Candidate -> seed -> accuracy on the images that judge.
        choices: Way -> seed -> candidate.
    """

    accuracy: dict[str, Seeds] = field(default_factory=lambda: defaultdict(dict))
    choices: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))

    def by_way(self) -> dict[str, Seeds]:
        """Accuracy of what each way takes, by seed; only where it was judged."""
        found = {
            name: dict(self.accuracy[candidate]) for name, candidate in SHELF.items() if candidate in self.accuracy
        }
        for way, chosen in self.choices.items():
            judged_ = {seed: self.accuracy.get(candidate, {}) for seed, candidate in chosen.items()}
            found[way] = {seed: accuracies[seed] for seed, accuracies in judged_.items() if seed in accuracies}
        return found

    def seeds(self) -> set[int]:
        """Those whose default candidates are all judged, which comes before any choice; all where nothing is chosen."""
        chosen = {seed for seeds in self.choices.values() for seed in seeds}
        return chosen or {seed for seeds in self.accuracy.values() for seed in seeds}

    def best(self) -> tuple[str, Seeds]:
        """The candidate with the highest mean over all seeds, of those that have all."""
        known = self.seeds()
        whole = {
            name: {seed: seeds[seed] for seed in sorted(known)}
            for name, seeds in self.accuracy.items()
            if known <= seeds.keys()
        }
        if not whole:  # no candidate was judged with all of them
            most = max(len(seeds) for seeds in self.accuracy.values())
            whole = {name: seeds for name, seeds in self.accuracy.items() if len(seeds) == most}
        name = max(whole, key=lambda name: statistics.fmean(whole[name].values()))
        return name, whole[name]

    def regret(self) -> dict[str, Seeds]:
        """Way -> seed -> accuracy of the task's best minus that of what the way takes."""
        _, best = self.best()
        return {
            way: {seed: best[seed] - value for seed, value in seeds.items() if seed in best}
            for way, seeds in self.by_way().items()
        }


def judged(lines: Iterable[Mapping[str, Any]]) -> dict[str, Judged]:
    """The lines by task; tasks with nothing judged are left out."""
    found: dict[str, Judged] = defaultdict(Judged)
    for line in lines:
        if line["kind"] == "whole":
            found[line["task"]].accuracy[line["candidate"]][line["seed"]] = line["accuracy"]
        elif line["kind"] == "choice":
            found[line["task"]].choices[line["way"]][line["seed"]] = line["candidate"]
    return {name: one for name, one in found.items() if one.accuracy}
