"""``python -m benchmarks.pairs --data-dir ARCHIVE``: is a chosen pair of network and policy better than the shelf's?

A search and a race choose a network and a policy on photographs; published cells of equal size under published
policies, and a random pair, are trained alike; all are judged on others. The plan, with what counts as success, is
``benchmarks/results/pairs-plan.md``. Every finished training is a line of ``benchmarks/results/pairs.jsonl``; a later
call does what is missing. ``--table`` makes ``pairs.md`` of the lines.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.pairs_table import WITH_CELLS
from benchmarks.regret_lines import Lines
from benchmarks.tables.records import revision
from benchmarks.tasks import task
from daas.augment import Policy
from daas.augment.find import find_policy
from daas.data import MemoryImages, load_images
from daas.files import write_text
from daas.models import Genotype
from daas.race.candidates import Candidate, Network, network
from daas.race.engine import Budget, work
from daas.race.journal import Journal
from daas.race.rules import Rules, final
from daas.race.sets import Setting, candidates
from daas.race.sizes import alike, at_equal_size, folder_size
from daas.race.statistics import Score, score
from daas.race.training import Trainer
from daas.search.options import SearchConfig
from daas.seeds import generator, seed_of
from daas.train.fit import Recipe, fit
from daas.whole.racing import entrants, published

RESULTS = Path(__file__).parent / "results" / "pairs.jsonl"
SEEDS = (1, 2, 3, 4, 5)
CELLS = ("darts_v2", "p_darts", "gdas_v1")
POLICIES = ("none", "cutout", "randaugment", "trivialaugment", "autoaugment_cifar10")
_FLIP = ("hflip", 0.5)
_WHOLE, _RANDOM_CELLS, _RANDOM_POLICY = range(701, 704)  # what a random stream is for


@dataclass(frozen=True)
class Size:
    """How large everything is.

    Attributes:
        images: To search, choose and train on.
        test: To judge on.
        side: Of the photographs, in pixels.
        epochs: Of every training.
        trainings: Of the race that chooses.
        folds: Of that race.
        search: Options of ``daas.search``.
    """

    images: int = 1000
    test: int = 3000
    side: int = 16
    epochs: int = 60
    trainings: int = 16
    folds: int = 4
    search: Mapping[str, Any] = field(
        default_factory=lambda: {
            "preset": "cpu",
            "layers": 4,
            "batch_size": 50,
            "architectures": 2,
            "warmup_epochs": 10,
            "epochs": 30,
        }
    )


class Bench:
    """One seed: its photographs, and trainings that are done once and kept as lines.

    Args:
        seed: Of photographs, search, race and trainings.
        photographs: From which the seed's are taken.
        lines: What is done.
        folder: Where the search is kept.
        size: How large everything is.
    """

    def __init__(self, seed: int, photographs: MemoryImages, lines: Lines, folder: Path, size: Size) -> None:
        half = size.images // 2
        made = task("natural", photographs, half, size.images - half, size.test, seed)
        images, labels = (torch.cat([getattr(part, name) for part in (made.train, made.val)]) for name in
                          ("images", "labels"))  # fmt: skip
        self.seed, self.lines, self.folder, self.size = seed, lines, folder, size
        self.images = MemoryImages("natural", images, labels, made.train.class_names)
        self.test = made.test
        self.recipe = Recipe(epochs=size.epochs)

    def searched(self) -> tuple[Network, Policy]:
        """The found network and policy."""
        import daas

        if not (self.folder / "summary.json").is_file():
            options: dict[str, Any] = {**self.size.search, "seed": self.seed, "out": self.folder, "resume": "auto"}
            daas.search(self.images, screen=False, race=0, **options)
        found = network(Genotype.load(self.folder / "genotype.json"), folder_size(self.folder))
        return found, Policy.load(self.folder / "policy.json")

    def raced(self, net: Network, policy: Policy) -> Candidate:
        """What a race for the found network chooses."""
        setting = Setting(net, self.size.side, self.size.trainings // 2 - 1)
        return self._race(candidates([Candidate(net, policy, "found", (_FLIP,)), "default"], setting))

    def raced_with_cells(self, net: Network, policy: Policy) -> Candidate:
        """What the race behind a search chooses, in which published cells are, too; with the flip alone."""
        setting = Setting(net, self.size.side, 2 * self.size.trainings)
        cells = published(net, SearchConfig(preset="cpu"), len(self.images.class_names), None)
        flipped = [one for one in entrants(setting, policy, "found", cells) if one.recipe == (_FLIP,)]
        return self._race(candidates(flipped[: self.size.trainings // 2], setting))

    def _race(self, entered: list[Candidate]) -> Candidate:
        rules = Rules(self.size.folds, frozenset(n for n, candidate in enumerate(entered) if candidate.shelf))
        with tempfile.TemporaryDirectory() as place:
            journal = Journal(Path(place), [candidate.name for candidate in entered])
            budget = Budget(self.size.trainings, None)
            work(journal, len(entered), rules, budget, lambda c, run: self._run(entered[c], run), lambda: False)
            weights = alike([candidate.network.parameters(len(self.images.class_names)) for candidate in entered])
            breadth = [candidate.breadth(number) for candidate, number in zip(entered, weights, strict=True)]
            return entered[final(journal.results(), journal.rounds(), breadth, rules).chosen]

    def pairs(self) -> dict[str, Candidate]:
        """All pairs but the chosen one, at equal size, by what they are called."""
        net, policy = self.searched()
        random = Genotype.random(generator(self.seed, _RANDOM_CELLS), nodes=len(_nodes(net)))
        named = {"found": Candidate(net, policy, "found", (_FLIP,))}
        for cells in CELLS:
            for name in POLICIES:
                recipe = (_FLIP, ("cutout", self.size.side // 2)) if name == "cutout" else (_FLIP,)
                bare = name in ("none", "cutout")
                given = Candidate(network(f"{cells}_cifar"), None if bare else find_policy(name), name, recipe)
                named[f"{cells} x {name}"] = given
        drawn = Policy.random(generator(self.seed, _RANDOM_POLICY))
        named["random"] = Candidate(network(random), drawn, "random", (_FLIP,))
        sized = at_equal_size(list(named.values()), len(self.images.class_names))
        return dict(zip(named, sized, strict=True))

    def whole(self, pair: str, candidate: Candidate) -> Score:
        """Trains a pair on all photographs and judges it on the others."""

        def train() -> Score:
            fitted = fit(
                candidate.network.maker(self.images.class_names), self.images, self.test,
                self._trainer(candidate).recipe_of(candidate), augment=candidate.policy,
                seed=seed_of(self.seed, _WHOLE) % 2**31,
            )  # fmt: skip
            return score(fitted.logits, fitted.labels)

        return self._line({"kind": "whole", "pair": pair}, candidate, train)

    def _run(self, candidate: Candidate, run: int) -> Score:
        """One training of the race."""

        def train() -> Score:
            found = self._trainer(candidate)(0, run)
            assert found is not None, f"{candidate.name} diverged"
            return found

        cells = candidate.network.genotype is None  # published ones, that race beside the found network
        pair = f"{candidate.name}, as large" if cells else candidate.policy_words
        return self._line({"kind": "run", "pair": pair, "run": run}, candidate, train)

    def _trainer(self, candidate: Candidate) -> Trainer:
        return Trainer([candidate], self.images, self.recipe, self.size.folds, self.seed, "cpu")

    def _line(self, key: dict[str, Any], candidate: Candidate, train: Callable[[], Score]) -> Score:
        key = {"seed": self.seed, **key}
        known = self.lines.find(key)
        if known is None:
            start = time.monotonic()
            found = asdict(train())
            about = {"candidate": candidate.name, "params": candidate.network.parameters(len(self.images.class_names))}
            command = f"python -m benchmarks.pairs --data-dir ARCHIVE --seed {self.seed}"
            origin = {"command": command, "revision": _revision(), "seconds": round(time.monotonic() - start, 1)}
            known = {**key, **about, **found, **origin}
            self.lines.append(known)
        return Score(known["accuracy"], known["score"], known["temperature"])


def _nodes(net: Network) -> tuple[Any, ...]:
    assert net.genotype is not None  # a search's
    return net.genotype.normal


@cache
def _revision() -> str:
    return revision(Path(__file__).parents[1])


def go(bench: Bench, wanted: Collection[str] = ()) -> None:
    """Every pair of one seed, or those that are named; what is done is not done again."""
    for pair, candidate in bench.pairs().items():
        if not wanted or pair in wanted:
            bench.whole(pair, candidate)
    if not wanted or "chosen" in wanted:
        bench.whole("chosen", bench.raced(*bench.searched()))
    if not wanted or WITH_CELLS in wanted:
        bench.whole(WITH_CELLS, bench.raced_with_cells(*bench.searched()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="photographs: an archive or a folder of class folders")
    parser.add_argument("--seed", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--pair", nargs="+", default=(), help="these alone (by default all)")
    parser.add_argument("--lines", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=Path("runs/pairs"), help="where the searches are kept")
    parser.add_argument("--table", action="store_true", help="make the table of the lines that there are")
    options = parser.parse_args()
    lines = Lines(options.lines)
    if options.table:
        from benchmarks.pairs_table import page

        write_text(options.lines.with_suffix(".md"), page(lines))
        return
    torch.set_num_threads(1)
    photographs = load_images("", options.data_dir, image_size=Size().side)
    for seed in options.seed:
        bench = Bench(seed, photographs, lines, options.out / f"seed-{seed}", Size())
        unknown = set(options.pair) - {*bench.pairs(), "chosen", WITH_CELLS}
        if unknown:
            parser.error(f"no pair {', '.join(sorted(unknown))}; {', '.join([*bench.pairs(), 'chosen', WITH_CELLS])}")
        go(bench, options.pair)


if __name__ == "__main__":
    main()
