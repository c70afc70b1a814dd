"""PolicySchedule: which policy in which epoch; JSON both ways."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daas.augment.files import SCHEDULE_FORMAT, check_keys, check_texts, load, shown, write_json
from daas.augment.policy import Policy
from daas.errors import BadInput

_KEYS = ("format", "name", "source", "epochs", "segments")
_MOST_SEGMENTS = 10_000


@dataclass(frozen=True)
class Segment:
    """One policy of a schedule.

    Attributes:
        start: First epoch in which it is used.
        policy: Used until the next segment starts.
    """

    start: int
    policy: Policy


@dataclass(frozen=True)
class PolicySchedule:
    """Policies that follow one another over the epochs of a training (PBA; Ho et al., ICML 2019).

    Attributes:
        name: What it is called.
        source: Where it comes from.
        epochs: Length of the training.
        segments: In the order of their first epochs; the first starts at 0.

    Raises:
        BadInput: No segments, or first epochs that are not increasing from 0 to below ``epochs``.
    """

    name: str
    source: str
    epochs: int
    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        check_texts("schedule", self.name, self.source)
        object.__setattr__(self, "segments", tuple(self.segments))
        _check_count(len(self.segments))
        starts = [segment.start for segment in self.segments]
        whole = all(isinstance(value, int) and not isinstance(value, bool) for value in (self.epochs, *starts))
        if not whole or not starts or starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= self.epochs:
            raise BadInput(
                f"schedule: the segments start at epochs {shown(starts)} of {shown(self.epochs)}; they start at whole "
                "numbers, the first at 0, each later than the one before, all below the number of epochs."
            )

    def at(self, epoch: int) -> Policy:
        """The policy of an epoch.

        Args:
            epoch: From 0.

        Raises:
            BadInput: Not an epoch of the schedule.
        """
        if not 0 <= epoch < self.epochs:
            raise BadInput(
                f"schedule {self.name!r}: there is no epoch {epoch}; it has the epochs 0 to {self.epochs - 1}. "
                "stretched(EPOCHS) fits it to a training of another length."
            )
        return self.segments[bisect.bisect_right([segment.start for segment in self.segments], epoch) - 1].policy

    def stretched(self, epochs: int) -> PolicySchedule:
        """The schedule for a training of another length: the same share of it for every policy, in whole epochs.

        A policy whose share is less than an epoch is passed over.

        Raises:
            BadInput: Fewer than one epoch.
        """
        if epochs < 1:
            raise BadInput(f"schedule {self.name!r}: it cannot be stretched to {epochs} epochs; at least 1.")
        by_start = {segment.start * epochs // self.epochs: segment.policy for segment in self.segments}
        segments = tuple(Segment(start, policy) for start, policy in by_start.items())
        return PolicySchedule(self.name, self.source, epochs, segments)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, with ``format``."""
        return {
            "format": SCHEDULE_FORMAT,
            "name": self.name,
            "source": self.source,
            "epochs": self.epochs,
            "segments": [{"start": segment.start, "policy": segment.policy.to_dict()} for segment in self.segments],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PolicySchedule:
        """The inverse of ``to_dict``.

        Raises:
            BadInput: Another format, missing or unknown keys, or values out of range.
        """
        if not isinstance(values, Mapping) or values.get("format") != SCHEDULE_FORMAT:
            found = shown(values.get("format") if isinstance(values, Mapping) else values)
            raise BadInput(
                f"schedule: expected a JSON object of the format {SCHEDULE_FORMAT!r}; found {found}. One policy for "
                "all epochs is read by Policy.load."
            )
        check_keys("schedule", values, _KEYS)
        if not isinstance(values["segments"], (list, tuple)):
            raise BadInput("schedule: segments must be a list.")
        _check_count(len(values["segments"]))
        segments = []
        for index, segment in enumerate(values["segments"]):
            where = f"schedule, segment {index}"
            if not isinstance(segment, Mapping):
                raise BadInput(f'{where}: expected {{"start": ..., "policy": ...}}; found {str(segment)[:80]}.')
            check_keys(where, segment, ("start", "policy"))
            try:
                segments.append(Segment(segment["start"], Policy.from_dict(segment["policy"])))
            except BadInput as error:
                raise BadInput(f"{where}: {error}") from error
        return cls(values["name"], values["source"], values["epochs"], tuple(segments))

    @classmethod
    def load(cls, path: str | Path) -> PolicySchedule:
        """Reads a schedule file.

        Raises:
            BadInput: No such file, no JSON, or no schedule; the message names the file.
        """
        return load(path, cls.from_dict)

    def save(self, path: str | Path) -> None:
        """Writes the schedule file, one sub-policy per line."""
        write_json(path, self.to_dict())


def _check_count(count: int) -> None:
    if count > _MOST_SEGMENTS:
        raise BadInput(f"schedule: there are {count:,} segments; at most {_MOST_SEGMENTS:,}.")
