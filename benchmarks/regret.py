"""``python -m benchmarks.regret --data-dir ARCHIVE --task NAME --seed S``: how much is lost by each way of choosing?

A task is made from photographs (``benchmarks.tasks``); somebody has its images and chooses a policy and base
transforms for them in several ways; each choice is trained on all of these images and judged on thousands of others.
The plan, with what counts as success, is ``benchmarks/results/regret-plan.md``. Every finished training is a line of
``benchmarks/results/regret.jsonl``; a later call does what is missing. ``--table`` makes ``regret.md`` of the lines.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.regret_lines import Lines
from benchmarks.tables.records import revision
from benchmarks.tasks import task
from daas.augment import Policy
from daas.data import MemoryImages, load_images
from daas.race.candidates import Candidate, network
from daas.race.engine import Budget, work
from daas.race.journal import Journal
from daas.race.rules import Prefer, Rules, final
from daas.race.sets import Screen, Setting, candidates, default
from daas.race.statistics import Score, score
from daas.race.training import Trainer
from daas.seeds import generator, seed_of
from daas.train.fit import Recipe, fit

RESULTS = Path(__file__).parent / "results" / "regret.jsonl"
NETWORK = network("wide_resnet40_2_cifar", {"depth": 10, "widen": 1})
SIDE, TRAININGS, FOLDS, TEST = 16, 48, 4, 3000
_SEEDS = (1, 2, 3)
_WHOLE, _RANDOM_SEARCH, _RANDOM_POLICY = range(501, 504)  # what a random stream is for


@dataclass(frozen=True)
class Regime:
    """What somebody has, and how long they train.

    Attributes:
        task: Of ``benchmarks.tasks``.
        images: To choose and to train on.
        test: To judge on.
        epochs: Of every training.
    """

    task: str
    images: int = 500
    test: int = TEST
    epochs: int = 60


REGIMES = {
    "natural": Regime("natural", 1000),
    "natural, underfitting": Regime("natural", 4000, epochs=12),
    "digits": Regime("digits", 300, 1400),
    **{name: Regime(name) for name in (
        "filter", "brightness", "colour", "way up", "tilted", "quarter", "mirrored", "blurred",
    )},
}  # fmt: skip


class Bench:
    """One task with one seed: trainings that are done once and kept as lines."""

    def __init__(self, name: str, seed: int, photographs: MemoryImages, lines: Lines) -> None:
        regime = REGIMES[name]
        made = task(regime.task, photographs, regime.images // 2, regime.images - regime.images // 2, regime.test, seed)
        images = torch.cat([made.train.images, made.val.images])
        labels = torch.cat([made.train.labels, made.val.labels])
        self.name, self.seed, self.lines, self.regime = name, seed, lines, regime
        self.images = MemoryImages(name, images, labels, made.train.class_names)
        self.test = made.test
        self.recipe = Recipe(epochs=regime.epochs, amp=True, channels_last=True)

    def whole(self, candidate: Candidate) -> None:
        """Trains a candidate on all images and judges it on the others."""

        def train() -> Score:
            trainer = Trainer([candidate], self.images, self.recipe, FOLDS, self.seed, "cpu")
            fitted = fit(
                candidate.network.maker(self.images.class_names), self.images, self.test,
                trainer.recipe_of(candidate), augment=candidate.policy, seed=seed_of(self.seed, _WHOLE) % 2**31,
            )  # fmt: skip
            return score(fitted.logits, fitted.labels)

        self._line("whole", candidate, 0, train)

    def run(self, candidate: Candidate, run: int) -> Score:
        """One training of a race on these images."""
        trainer = Trainer([candidate], self.images, self.recipe, FOLDS, self.seed, "cpu")

        def train() -> Score:
            found = trainer(0, run)
            assert found is not None, f"{candidate.name} diverged"
            return found

        return self._line("run", candidate, run, train)

    def _line(self, kind: str, candidate: Candidate, run: int, train: Callable[[], Score]) -> Score:
        key = {"task": self.name, "seed": self.seed, "kind": kind, "candidate": candidate.policy_words, "run": run}
        known = self.lines.find(key)
        if known is None:
            start = time.monotonic()
            found = train()
            known = {**key, **asdict(found), "seconds": round(time.monotonic() - start, 2), **self._origin()}
            self.lines.append(known)
        return Score(known["accuracy"], known["score"], known["temperature"])

    def choice(self, way: str, choose: Callable[[], tuple[Candidate, int]]) -> None:
        """Chooses in one way, writes what was taken and what it cost, and trains that.

        Args:
            way: Its name.
            choose: Gives the candidate and the trainings that choosing took; those that are lines are not done again.
        """
        candidate, trainings = choose()
        key = {"task": self.name, "seed": self.seed, "kind": "choice", "way": way}
        if self.lines.find(key) is None:
            self.lines.append({**key, "candidate": candidate.policy_words, "trainings": trainings, **self._origin()})
        self.whole(candidate)

    def _origin(self) -> dict[str, str]:
        """What every line says of itself."""
        command = shlex.join(["python", "-m", "benchmarks.regret", "--task", self.name, "--seed", str(self.seed)])
        return {"command": command, "revision": _revision()}

    def setting(self, screen: Screen | None, most: int) -> Setting:
        """Of the candidates."""
        return Setting(NETWORK, SIDE, most, screen)


@cache
def _revision() -> str:
    return revision(Path(__file__).parents[1])


def race(
    bench: Bench, given: list[Any] | None, screen: Screen | None, trainings: int, prefer: Prefer = "broadest"
) -> tuple[Candidate, int]:
    """What the race chooses; its trainings are those of the lines."""
    entered = candidates(given, bench.setting(screen, trainings // 2))
    rules = Rules(FOLDS, frozenset(number for number, candidate in enumerate(entered) if candidate.shelf), prefer)
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), [candidate.name for candidate in entered])
        budget = Budget(trainings, None)
        work(journal, len(entered), rules, budget, lambda c, run: bench.run(entered[c], run), lambda: False)
        breadth = [candidate.breadth(0) for candidate in entered]  # one network
        seen = final(journal.results(), journal.rounds(), breadth, rules)
        return entered[seen.chosen], len(journal.results())


def screened(bench: Bench, folder: Path) -> Any:
    """The screen of the task's images, kept in a folder."""
    import daas

    place = folder / "screen"
    if (place / "screen.json").is_file():
        return daas.Screen.load(place)
    return daas.screen(
        bench.images, network=NETWORK.create(len(bench.images.class_names)), epochs=bench.regime.epochs,
        seed=bench.seed, out=place, resume="auto",
    )  # fmt: skip


def searched(bench: Bench, folder: Path) -> Candidate:
    """The gradient's policy for the network, with the flip that every script has; kept in a folder."""
    import daas

    place = folder / "search-policy.json"
    if not place.is_file():
        network_ = NETWORK.create(len(bench.images.class_names))
        found = daas.search(
            bench.images, network=network_, mode="aug", preset="cpu", derive="printed", seed=bench.seed, screen=False,
            race=0,
        )  # fmt: skip
        found.policy.save(place)
    return Candidate(NETWORK, Policy.load(place), "search", (("hflip", 0.5),))


def random_search(bench: Bench, trainings: int) -> Candidate:
    """Trains candidates that are drawn at random, and takes the best mean score."""
    entered = default(bench.setting(None, 100))
    drawn = torch.randint(len(entered), (trainings,), generator=generator(bench.seed, _RANDOM_SEARCH)).tolist()
    means = {}
    for number in sorted(set(drawn)):
        runs = drawn.count(number)
        means[number] = sum(bench.run(entered[number], run).score for run in range(runs)) / runs
    return entered[min(means, key=lambda number: means[number])]


def go(bench: Bench, folder: Path, ways: Sequence[str]) -> None:
    """Ways of choosing for one task and seed, and what there was to choose from; what is done is not done again.

    Args:
        bench: The task and its lines.
        folder: Where the screen and the search's policy are kept.
        ways: Of ``WAYS``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for candidate in default(bench.setting(None, 100)):
        bench.whole(candidate)
    for way in ways:
        bench.choice(way, partial(WAYS[way], bench, folder))


def _random_policy(bench: Bench, _: Path) -> tuple[Candidate, int]:
    policy = Policy.random(generator(bench.seed, _RANDOM_POLICY))
    return Candidate(NETWORK, policy, "random", (("hflip", 0.5),)), 0


def _screen(bench: Bench, folder: Path) -> tuple[Candidate, int]:
    screen = screened(bench, folder)
    first = candidates(None, bench.setting(screen, 2))[0]
    return replace(first, recipe=(("hflip", screen.flip),)), 1  # not the first of both flips, where the flip is unclear


def _screen_race(bench: Bench, folder: Path, prefer: Prefer = "broadest") -> tuple[Candidate, int]:
    return race(bench, None, screened(bench, folder), TRAININGS - 1, prefer)


def _screen_search_race(bench: Bench, folder: Path) -> tuple[Candidate, int]:
    screen, search = screened(bench, folder), searched(bench, folder)
    proposed = [search, replace(search, recipe=(("hflip", screen.flip),)), "default"]
    return race(bench, proposed, screen, TRAININGS - 1)


WAYS: dict[str, Callable[[Bench, Path], tuple[Candidate, int]]] = {
    "random policy": _random_policy,
    "screen": _screen,
    "screen, race": _screen_race,
    "screen, race, best mean": partial(_screen_race, prefer="best"),
    "race": lambda bench, _: race(bench, None, None, TRAININGS),
    "random search": lambda bench, _: (random_search(bench, TRAININGS), TRAININGS),
    "search": lambda bench, folder: (searched(bench, folder), 0),
    "screen, search, race": _screen_search_race,
}
"""How to choose: what is taken, and how many trainings that took."""


def main() -> None:
    options = _options()
    lines = Lines(options.lines)
    if options.table:
        from benchmarks.regret_table import write_table

        write_table(lines, list(REGIMES), _SEEDS)
        return
    torch.set_num_threads(1)
    photographs = _photographs(options)
    for seed in options.seed:
        for name in options.task:
            bench = Bench(name, seed, photographs[REGIMES[name].task == "digits"], lines)
            go(bench, options.out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}", options.way)


def _photographs(options: argparse.Namespace) -> dict[bool, Any]:
    """Digits by True, photographs by False; each only where a task wants it."""
    digits = [REGIMES[name].task == "digits" for name in options.task]
    found: dict[bool, Any] = {}
    if any(digits):
        parts = [load_images("digits", split=split, image_size=SIDE) for split in ("train", "test")]
        everything = torch.arange(max(map(len, parts)))
        images = torch.cat([part.fetch(everything[: len(part)]) for part in parts])
        labels = torch.cat([part.labels for part in parts])
        found[True] = MemoryImages("digits", images, labels, parts[0].class_names)
    if not all(digits):
        found[False] = load_images("", options.data_dir, image_size=SIDE)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="photographs: an archive or a folder of class folders")
    parser.add_argument("--task", nargs="+", choices=list(REGIMES), default=list(REGIMES))
    parser.add_argument("--seed", nargs="+", type=int, default=list(_SEEDS))
    parser.add_argument("--way", nargs="+", choices=list(WAYS), default=list(WAYS), help="of choosing")
    parser.add_argument("--lines", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=Path("runs/regret"), help="where screens and policies are kept")
    parser.add_argument("--table", action="store_true", help="make the table of the lines that there are")
    return parser.parse_args()


if __name__ == "__main__":
    main()
