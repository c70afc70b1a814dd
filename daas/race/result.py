"""The result of a race: what was chosen, against what, by how much, how sure."""

from __future__ import annotations

import copy
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from daas import files
from daas.augment import DAASPolicy, Policy
from daas.data.facts import sentences
from daas.errors import BadInput
from daas.models import Genotype
from daas.models.start import Channels
from daas.race.candidates import Candidate
from daas.race.rules import Final, Results, Rules, against, complete_runs, counted, final, why_left
from daas.race.saving import RESULTS, Places, to_dict
from daas.race.sizes import alike
from daas.race.statistics import Difference, Score, mean_and_error
from daas.train.fit import Recipe
from daas.train.options import TrainOptions


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
        statistics: ``mean`` and ``std`` of all images, for a recipe that does not say them.
    """

    name: str
    class_names: tuple[str, ...]
    images: int
    image_size: int
    train: tuple[str, ...]
    recipe: Recipe
    seed: int
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    statistics: Mapping[str, Channels] = field(default_factory=dict, repr=False)


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
        """How to train the winner, base transforms, normalisation and all."""
        own = self.setup.recipe
        images = {name: value for name, value in self.setup.statistics.items() if getattr(own, name) is None}
        return replace(own, **{**images, **self.chosen.network.statistics, **self.chosen.values})

    @property
    def trainings(self) -> int:
        """How many were done."""
        return len(self.results)

    @cached_property
    def counted(self) -> Results:
        """What the trainings of whole rounds reached."""
        return counted(self.results, self.rounds)

    @cached_property
    def rows(self) -> list[Row]:
        """One per candidate, the best first; those that were never trained last."""
        seen = self.final
        order = [*seen.order, *(c for c in range(len(self.candidates)) if c not in seen.order)]
        left = why_left(self.counted, self.rounds, self.rules)
        return [self._row(number, left) for number in order]

    def _row(self, number: int, left: Mapping[int, str]) -> Row:
        runs = {run: self.counted[number, run] for run in range(complete_runs(self.counted, number))}
        scores = {run: score for run, score in runs.items() if score is not None}
        shelf, folds = self.final.shelf, self.rules.folds
        gaps = [
            None if shelf is None or not scores else against(self.counted, number, shelf, folds, of)
            for of in ("accuracy", "score")
        ]
        means = [
            mean_and_error([getattr(s, of) for s in scores.values()], folds) if scores else None
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
        if (number, 0) not in self.results:
            words.append("not trained")
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
        """The winner's network, as every training of it began; of a module a copy.

        Args:
            **options: Further constructor arguments of the timm model.

        Raises:
            BadInput: Arguments for a module.
        """
        network = self.chosen.network
        if network.module is not None:
            if options:
                raise BadInput(f"{', '.join(options)}: the winner is a module of your own, which takes no arguments.")
            return copy.deepcopy(network.module)
        return network.create(len(self.setup.class_names), self.setup.class_names, **{**self.fitted(), **options})

    def fitted(self) -> dict[str, Any]:
        """What its trainings gave the network besides: the side of one for a fixed size, and the drop-path rate."""
        return self.chosen.network.fitted(self.setup.image_size, self.recipe.drop_path)

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
        given = {name: value for name, value in network.kwargs if name not in self.fitted()}  # recipe and size say
        kwargs = [f"{name}={value}" for name, value in given.items()]
        kwargs += [] if network.genotype is None else [f"genotype={folder / 'genotype.json'}"]
        words += [*(["--model-kwargs", *kwargs] if kwargs else []), *network.start.words()]
        words += [] if self.policy is None else ["--aa", f"daas:{folder / 'policy.json'}"]
        words += ["--img-size", str(self.setup.image_size)]
        recipe = self.recipe if self.recipe.amp else replace(self.recipe, amp_dtype=TrainOptions().amp_dtype)
        return shlex.join([*words, *recipe.words()])

    def to_dict(self) -> dict[str, Any]:
        """race.json."""
        return to_dict(self)

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
        Places(self.candidates).write(folder)
        for name, part in (("policy.json", self.policy), ("genotype.json", self.genotype)):
            if part is None:
                (folder / name).unlink(missing_ok=True)
            else:
                part.save(folder / name)
        files.write_text(folder / "race.html", page(self, folder))
        files.write_json(folder / "race.json", self.to_dict())
