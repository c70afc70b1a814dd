"""What a race is about: what the processes that work on it must agree on, and go on with."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from daas.models.own import fingerprint
from daas.race.candidates import Candidate
from daas.race.training import Trainer


def about(trainer: Trainer) -> dict[str, Any]:
    """JSON values by the names of options; policies, networks and images by a hash of what is in them."""
    return {
        "candidates": [candidate.name for candidate in trainer.candidates],
        "policies": [digest(candidate) for candidate in trainer.candidates],
        "images": trainer.data.digest(),
        "recipe": " ".join(trainer.recipe.words()),
        "folds": trainer.folds,
        "seed": trainer.seed,
    }


def digest(candidate: Candidate) -> str:
    """A hash of policy, network and recipe of a candidate; of the files and modules by what is in them."""
    network = candidate.network
    parts = [candidate.policy, network.genotype]
    text = json.dumps([None if part is None else part.to_dict() for part in parts], sort_keys=True)
    start = network.start.contents()
    text += repr(candidate.recipe) + repr(network.kwargs) + (repr(start) if start else "")
    text += "" if network.module is None else fingerprint(network.module)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
