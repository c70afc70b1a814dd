"""What a race writes: race.json, and one file for every policy and all cells that are neither shipped nor timm's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daas import files
from daas.augment import Policy, list_policies
from daas.models import Genotype
from daas.race.candidates import NONE, Candidate, Network, slug

if TYPE_CHECKING:
    from daas.race.result import Race, Row

FORMAT = "daas-race/1"
RESULTS = ("race.json", "race.html", "policy.json", "genotype.json", "policies", "genotypes")


class Places:
    """Where the parts of candidates lie beside race.json: different ones of one name have files of their own.

    Args:
        candidates: All, in their order.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.parts: dict[str, Policy | Genotype] = {}
        for candidate in candidates:
            self.policy(candidate)
            self.network(candidate.network)

    def policy(self, candidate: Candidate) -> str:
        """A shipped name, ``none``, or the path beside race.json."""
        if candidate.policy is None:
            return NONE
        if candidate.policy_name in list_policies():
            return candidate.policy_name
        return self._path("policies", candidate.policy_name, candidate.policy)

    def network(self, network: Network) -> str:
        """A name, or the path of the cells beside race.json."""
        if network.genotype is not None:
            return self._path("genotypes", network.name, network.genotype)
        return network.name if network.module is None else network.title

    def _path(self, folder: str, name: str, part: Policy | Genotype) -> str:
        number, end = 1, ""
        while self.parts.setdefault(path := f"{folder}/{slug(name)}{end}.json", part) != part:
            number += 1
            end = f"-{number}"
        return path

    def write(self, folder: Path) -> None:
        """Writes all parts."""
        for name, part in self.parts.items():
            files.make_folder((folder / name).parent)
            part.save(folder / name)


def to_dict(race: Race) -> dict[str, Any]:
    """race.json."""
    places, spread, setup = Places(race.candidates), race.final, race.setup

    def entry(candidate: Candidate) -> dict[str, Any]:
        return _entry(candidate, places)

    return {
        "format": FORMAT,
        "chosen": entry(race.chosen),
        "candidates": [{**entry(row.candidate), **_figures(row, race.rules.folds)} for row in race.rows],
        "shelf": None if spread.shelf is None else entry(race.candidates[spread.shelf]),
        "equal": [entry(race.candidates[number]) for number in spread.equal],
        "trainings": race.trainings,
        "seconds": round(race.seconds, 1),
        "folds": race.rules.folds,
        "seed": setup.seed,
        "epochs": setup.recipe.epochs,
        "images": {"name": setup.name, "number": setup.images, "size": setup.image_size,
                   "class_names": list(setup.class_names), **setup.facts},
    }  # fmt: skip


def _entry(candidate: Candidate, places: Places) -> dict[str, Any]:
    values = {
        name: [":".join(pair) for pair in value] if name == "hflip_swap" else value for name, value in candidate.recipe
    }
    network = candidate.network
    size = {"model_kwargs": dict(network.kwargs)} if network.kwargs else {}
    named = {"network": places.network(network), **size, **network.start.named(), "policy": places.policy(candidate)}
    return {**named, "hflip": 0.5, **values}


def _figures(row: Row, folds: int) -> dict[str, Any]:
    gap, score_gap = row.difference, row.score_difference
    return {
        "params": row.parameters,
        "runs": [
            {"fold": run % folds, "run": run, "accuracy": score.accuracy, "score": score.score}
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
