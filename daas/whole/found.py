"""What a search gives back that screened or raced: the pair, and what was said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from daas.race.result import Race
from daas.screen.result import Screen
from daas.search.found import Found
from daas.whole import racing, screening


@dataclass(frozen=True)
class Answer(Found):
    """The result of a search with its screen and its race.

    Attributes:
        screen: Which operations change the labels; None where nothing was screened.
        race: What whole trainings have chosen: ``race.policy``, ``race.hflip``, ``race.recipe``, ``race.transform()``;
            None where nothing raced. ``policy`` stays what the search has found.
    """

    screen: Screen | None = field(default=None, repr=False)
    race: Race | None = field(default=None, repr=False)

    def save(self, folder: str | Path) -> Path:
        """As ``Found.save``, and the screen and the race below the folder."""
        out = super().save(folder)
        if self.screen is not None:
            self.screen.save(out / screening.FOLDER)
        if self.race is not None:
            self.race.save(out / racing.FOLDER)
        return out
