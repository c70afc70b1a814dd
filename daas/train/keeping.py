"""An unfinished training in a folder, so that it goes on where it was interrupted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daas import checkpoint
from daas.randomness import capture, restore
from daas.train import resume
from daas.train.output import CHECKPOINT
from daas.train.training import Progress, Training


@dataclass(frozen=True)
class Kept:
    """Where ``daas.train.fit.fit`` keeps a training after every epoch, and goes on from.

    Attributes:
        folder: Is there already; it gets a checkpoint.safetensors.
        about: JSON values that travel with it: what the training is made of.
    """

    folder: Path
    about: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return self.folder / CHECKPOINT

    def found(self) -> dict[str, Any] | None:
        """``about`` of the training that is there; None where there is none.

        Raises:
            BadInput: The file is damaged.
        """
        if not os.path.exists(self.path):
            return None
        about: dict[str, Any] = checkpoint.load(self.path)[1].get("about", {})
        return about

    def save(self, run: Training, losses: list[float]) -> None:
        """Writes everything that decides how the training goes on, its random streams too.

        Args:
            run: Between two epochs.
            losses: Of the epochs that are done.

        Raises:
            BadInput: The folder cannot be written.
        """
        own = {"random": capture(run.place.device)}
        meta = {"about": dict(self.about), "epoch": run.progress.epoch, "losses": losses}
        resume.save(self.folder, run.learner, own, run.options, run.place, meta)

    def restore(self, run: Training) -> list[float]:
        """Brings a training that was just made to where it was kept, and torch's random streams too.

        Returns:
            The losses of the epochs that are done; none where nothing is kept.

        Raises:
            BadInput: What is kept is damaged, or of a training with other options.
        """
        if not os.path.exists(self.path):
            return []
        own, meta = resume.load(self.path, run.learner, run.options, run.place, {})
        restore(own["random"], run.place.device)
        run.progress = Progress(int(meta["epoch"]))
        return list(meta["losses"])

    def remove(self) -> None:
        """Takes the checkpoint away, of a training that is finished."""
        self.path.unlink(missing_ok=True)
