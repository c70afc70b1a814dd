"""Option values that are written in a form of their own: durations and lists of seeds."""

from __future__ import annotations

import re

from daas.errors import BadInput

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def duration(text: str) -> float:
    """``90m``, ``1h30m``, ``2h``, ``45s`` -> seconds.

    Raises:
        BadInput: Another form, or no time at all.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise BadInput(f"--time-budget {text}: write numbers with units, for example 90m, 1h30m, 45s (d, h, m, s).")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise BadInput(f"--time-budget {text} leaves no time to search.")
    return seconds


def seed_list(text: str) -> tuple[int, ...]:
    """``0,1,2`` -> (0, 1, 2).

    Raises:
        BadInput: Anything but different whole numbers that are at least 0.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and word.isascii() for word in words):
        raise BadInput(f"--seeds {text}: write whole numbers with commas between them, for example 0,1,2,3.")
    seeds = tuple(int(word) for word in words)
    if len(set(seeds)) < len(seeds):
        raise BadInput(f"--seeds {text} names a seed twice; the second run would be the first again.")
    return seeds
