"""The result of a race: what was chosen, against what, by how much, how sure."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from daas import files
from daas.augment import DAASPolicy, Policy, list_policies
from daas.data.facts import sentences
from daas.errors import BadInput
from daas.models import Genotype
from daas.race.candidates import NONE, Candidate, Network, slug
from daas.race.rules import Final, Results, Rules, against, complete_runs, final, why_left
from daas.race.sizes import alike
from daas.race.statistics import Difference, Score, mean_and_error
from daas.train.fit import Recipe
from daas.train.options import TrainOptions

FORMAT = "daas-race/1"
RESULTS = ("race.json", "race.html", "policy.json", "genotype.json", "policies", "genotypes")


@dataclass(frozen=True)
class Row:
    """What the race says of one candidate.

    Attributes:
        candidate: Which.
        runs: What each of its trainings reached, by run.
        accuracy: Mean over its runs in percent, and its standard error; None where there is none.
        score: Mean calibrated cross-entropy, and its standard error.
        difference: Of accuracies to the best of the shelf, in points, over the runs that both have.
        score_difference: Of calibrated cross-entropies.
        note: Why it left, or what it is.
        parameters: Weights of its network.
    """

    candidate: Candidate
    runs: dict[int, Score]
    accuracy: tuple[float, float | None] | None
    score: tuple[float, float | None] | None
    difference: Difference | None
    score_difference: Difference | None
    note: str
    parameters: int


@dataclass(frozen=True)
class Setup:
    """What was raced on.

    Attributes:
        name: Of the images.
        class_names: One per label.
        images: How many.
        image_size: Side in pixels.
        train: Words of a command line that name the images for ``daas.train``; empty where no command can.
        recipe: Of all trainings.
        seed: Of the race.
        facts: What was not read of the images, and warnings about them (``facts_of``).
    """

    name: str
    class_names: tuple[str, ...]
    images: int
    image_size: int
    train: tuple[str, ...]
    recipe: Recipe
    seed: int
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Race:
    """A race that is over; ``rows`` has the best first.

    Attributes:
        candidates: All, by number.
        results: Of all trainings, by (candidate, run).
        rounds: Who started in each round.
        rules: By which it was played.
        parameters: Weights of each candidate's network.
        setup: What it was raced on.
        seconds: That the trainings took, added up.
    """

    candidates: Sequence[Candidate]
    results: Results = field(repr=False)
    rounds: Sequence[Sequence[int]] = field(repr=False)
    rules: Rules
    parameters: Sequence[int] = field(repr=False)
    setup: Setup
    seconds: float

    @cached_property
    def final(self) -> Final:
        """Who won, and who cannot be told from the winner."""
        breadth = [c.breadth(weights) for c, weights in zip(self.candidates, alike(self.parameters), strict=True)]
        return final(self.results, self.rounds, breadth, self.rules)

    @property
    def chosen(self) -> Candidate:
        """The winner."""
        return self.candidates[self.final.chosen]

    @property
    def network(self) -> str:
        """The winner's network: the name of a timm model, or of its cells."""
        return self.chosen.network.name

    @property
    def genotype(self) -> Genotype | None:
        """Its cells, where it has found ones."""
        return self.chosen.network.genotype

    @property
    def policy(self) -> Policy | None:
        """Its policy; None for none."""
        return self.chosen.policy

    @property
    def hflip(self) -> float:
        """Its probability of a horizontal flip."""
        return float(self.recipe.hflip)

    @property
    def recipe(self) -> Recipe:
        """How to train the winner, base transforms and all."""
        return replace(self.setup.recipe, **self.chosen.values)

    @property
    def trainings(self) -> int:
        """How many were done."""
        return len(self.results)

    @cached_property
    def rows(self) -> list[Row]:
        """One per candidate, the best first; those that were never trained last."""
        seen = self.final
        order = [*seen.order, *(c for c in range(len(self.candidates)) if c not in seen.order)]
        left = why_left(self.results, self.rounds, self.rules)
        return [self._row(number, left) for number in order]

    def _row(self, number: int, left: Mapping[int, str]) -> Row:
        runs = {run: self.results[number, run] for run in range(complete_runs(self.results, number))}
        scores = {run: score for run, score in runs.items() if score is not None}
        shelf, folds = self.final.shelf, self.rules.folds
        gaps = [
            None if shelf is None or not scores else against(self.results, number, shelf, folds, of)
            for of in ("accuracy", "score")
        ]
        means = [
            mean_and_error([getattr(s, of) for s in scores.values()]) if scores else None
            for of in ("accuracy", "score")
        ]
        return Row(
            self.candidates[number],
            scores,
            means[0],
            means[1],
            gaps[0],
            gaps[1],
            self._note(number, left),
            self.parameters[number],
        )

    def _note(self, number: int, left: Mapping[int, str]) -> str:
        seen, words = self.final, []
        if number == seen.chosen:
            words.append("chosen")
        if number == seen.shelf:
            words.append("best off the shelf")
        if number in left:
            words.append(left[number])
        elif number in seen.equal and number != seen.chosen:
            words.append("within one standard error of the best")
        elif number in seen.open and number != seen.chosen:
            words.append("cannot be told from the best")
        return "; ".join(words)

    @property
    def answer(self) -> str:
        """The result in words."""
        from daas.race.words import answer

        return answer(self)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What people should know about the images, in sentences."""
        return sentences(self.setup.facts)

    def table(self) -> str:
        """All candidates as text, the best first."""
        from daas.race.words import table

        return table(self)

    def create_model(self, **options: Any) -> nn.Module:
        """The winner's network, as every training of it began.

        Args:
            **options: Further constructor arguments of the timm model.
        """
        network = self.chosen.network
        named = replace(network, kwargs=tuple({**dict(network.kwargs), **options}.items()), module=None)
        return named.create(len(self.setup.class_names), self.setup.class_names)

    def transform(self, **options: Any) -> DAASPolicy | None:
        """The winner's policy as a batched transform; None for none.

        Args:
            **options: As for ``DAASPolicy``.
        """
        return None if self.policy is None else DAASPolicy(self.policy, **options)

    def command(self, folder: Path) -> str:
        """What to type to train the winner on all images; empty where they have no place to be named by."""
        network = self.chosen.network
        if not self.setup.train or network.module is not None:
            return ""
        words = ["daas", "train", *self.setup.train, "--model", network.model]
        kwargs = [f"{name}={value}" for name, value in network.kwargs]
        kwargs += [] if network.genotype is None else [f"genotype={folder / 'genotype.json'}"]
        words += [*(["--model-kwargs", *kwargs] if kwargs else []), *network.start.words()]
        words += [] if self.policy is None else ["--aa", f"daas:{folder / 'policy.json'}"]
        words += ["--img-size", str(self.setup.image_size)]
        recipe = self.recipe if self.recipe.amp else replace(self.recipe, amp_dtype=TrainOptions().amp_dtype)
        return shlex.join([*words, *recipe.words()])

    def to_dict(self) -> dict[str, Any]:
        """race.json."""
        rows = [(row, _entry(row.candidate)) for row in self.rows]
        spread = self.final
        return {
            "format": FORMAT,
            "chosen": _entry(self.chosen),
            "candidates": [{**entry, **_figures(row, self.rules.folds)} for row, entry in rows],
            "shelf": None if spread.shelf is None else _entry(self.candidates[spread.shelf]),
            "equal": [_entry(self.candidates[number]) for number in spread.equal],
            "trainings": self.trainings,
            "seconds": round(self.seconds, 1),
            "folds": self.rules.folds,
            "seed": self.setup.seed,
            "epochs": self.setup.recipe.epochs,
            "images": {"name": self.setup.name, "number": self.setup.images, "size": self.setup.image_size,
                       "class_names": list(self.setup.class_names), **self.setup.facts},
        }  # fmt: skip

    def save(self, folder: str | Path) -> Path:
        """Writes race.json, race.html, the winner's policy.json and genotype.json, and the policies that raced.

        Args:
            folder: Made if it is not there.

        Returns:
            The folder.

        Raises:
            BadInput: It holds the results of another race.
        """
        folder = Path(folder)
        present = [name for name in RESULTS if os.path.exists(folder / name)]
        if present:
            raise BadInput(f"{folder} holds {', '.join(present)} already, and nothing is written over. Choose another.")
        self.write(folder)
        return folder

    def write(self, folder: Path) -> None:
        """As ``save``, into the folder of the race itself."""
        from daas.race.page import page

        files.make_folder(folder, "--out")
        for candidate in self.candidates:
            _write_parts(candidate, folder)
        for name, part in (("policy.json", self.policy), ("genotype.json", self.genotype)):
            if part is None:
                (folder / name).unlink(missing_ok=True)
            else:
                part.save(folder / name)
        files.write_text(folder / "race.html", page(self, folder))
        files.write_json(folder / "race.json", self.to_dict())


def _policy_path(candidate: Candidate) -> str:
    """A shipped name, ``none``, or the path beside race.json."""
    if candidate.policy is None:
        return NONE
    shipped = candidate.policy_name in list_policies()
    return candidate.policy_name if shipped else f"policies/{slug(candidate.policy_name)}.json"


def _network_path(network: Network) -> str:
    return network.name if network.genotype is None else f"genotypes/{slug(network.name)}.json"


def _write_parts(candidate: Candidate, folder: Path) -> None:
    for name, part in (
        (_policy_path(candidate), candidate.policy),
        (_network_path(candidate.network), candidate.network.genotype),
    ):
        if part is not None and name.endswith(".json"):
            files.make_folder((folder / name).parent)
            part.save(folder / name)


def _entry(candidate: Candidate) -> dict[str, Any]:
    values = {
        name: [":".join(pair) for pair in value] if name == "hflip_swap" else value for name, value in candidate.recipe
    }
    size = {"model_kwargs": dict(candidate.network.kwargs)} if candidate.network.kwargs else {}
    named = {"network": _network_path(candidate.network), **size, "policy": _policy_path(candidate)}
    return {**named, "hflip": 0.5, **values}


def _figures(row: Row, folds: int) -> dict[str, Any]:
    gap, score_gap = row.difference, row.score_difference
    return {
        "params": row.parameters,
        "runs": [
            {"fold": run % folds, "seed": run, "accuracy": score.accuracy, "score": score.score}
            for run, score in row.runs.items()
        ],
        "accuracy": None if row.accuracy is None else row.accuracy[0],
        "score": None if row.score is None else row.score[0],
        "difference": None if gap is None else gap.mean,
        "interval": None if gap is None or gap.interval is None else list(gap.interval),
        "score_difference": None if score_gap is None else score_gap.mean,
        "score_interval": None if score_gap is None or score_gap.interval is None else list(score_gap.interval),
        "note": row.note,
    }
