"""What summaries and warnings say about the reading of several sets of images together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Read(Protocol):
    """A set of images that was read: ``ImageData``, ``Pictures``."""

    @property
    def skipped(self) -> int:
        """Images that could not be read and were left out."""

    @property
    def unread(self) -> Mapping[str, int]:
        """Files that look like images and were not read, by reason."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What people should know, in sentences."""


def facts_of(*sets: Read, also: Sequence[str] = ()) -> dict[str, Any]:
    """What was left out, as summary.json and result.json have it.

    Args:
        *sets: Of images.
        also: Sentences about them together.

    Returns:
        ``skipped`` images that could not be read, ``unread`` files by reason, ``image_warnings``: all sentences.
    """
    unread: Counter[str] = Counter()
    for one in sets:
        unread.update(one.unread)
    return {
        "skipped": sum(one.skipped for one in sets),
        "unread": dict(unread.most_common()),
        "image_warnings": list(dict.fromkeys([text for one in sets for text in one.warnings] + list(also))),
    }


def sentences(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What people should know of how images were read: those that were left out first.

    Args:
        facts: As ``facts_of`` gives them; results of earlier versions may lack some.

    >>> sentences({"skipped": 1, "image_warnings": ["Twice the same."]})
    ('1 image could not be read and was left out.', 'Twice the same.')
    """
    skipped = facts.get("skipped", 0)
    return (*([left_out(skipped)] if skipped else []), *facts.get("image_warnings", ()))


def left_out(skipped: int) -> str:
    """Says how many images could not be read."""
    which = "1 image could not be read and was" if skipped == 1 else f"{skipped} images could not be read and were"
    return f"{which} left out."
