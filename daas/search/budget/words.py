"""Amounts, as people write and read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from daas.errors import BadInput

_FACTORS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
MILLISECOND = 1_000_000
"""Nanoseconds."""


def amount(text: str, option: str) -> int:
    """``400k``, ``3.5M``, ``1G``, ``400000`` -> a whole number.

    Args:
        text: A number that is at least 1, and a unit.
        option: Where it stands, for the message.

    Raises:
        BadInput: Another form, or less than 1.

    >>> amount("3.5M", "--max-params")
    3500000
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)([kKmMgG]?)", text.strip(), re.ASCII)
    if found is None:
        raise BadInput(f"{option} is {text!r}; write a number, with k, M or G for thousands, millions, billions: 400k.")
    unit = found[2].lower().replace("m", "M").replace("g", "G")
    value = round(float(found[1]) * _FACTORS[unit])
    if value < 1:
        raise BadInput(f"{option} is {text!r}; it is at least 1.")
    return value


def with_amounts(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a search, amounts written out in digits, so that ``400k`` and 400000 are the same.

    Raises:
        BadInput: One that is no amount.

    >>> with_amounts({"max_params": "400k", "epochs": 3})
    {'max_params': '400000', 'epochs': 3}
    """
    found = dict(given)
    for name in ("max_params", "max_macs"):
        if found.get(name) not in (None, ""):
            found[name] = str(amount(str(found[name]), f"--{name.replace('_', '-')}"))
    return found


def cost_words(kind: str, value: int) -> str:
    """A cost in words.

    >>> cost_words("params", 48618), cost_words("macs", 9190656), cost_words("latency", 3_400_000)
    ('48.6k parameters', '9.19M multiply-adds', '3.4 ms')
    """
    if kind == "latency":
        return f"{value / MILLISECOND:.3g} ms"
    names = {"params": "parameters", "macs": "multiply-adds"}
    for unit in ("G", "M", "k"):
        if value >= _FACTORS[unit]:
            return f"{value / _FACTORS[unit]:.3g}{unit} {names[kind]}"
    return f"{value} {names[kind]}"
