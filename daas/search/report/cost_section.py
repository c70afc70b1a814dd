"""The part of the report that says what the found network costs."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from daas.search.budget.trained import TrainedNetwork
from daas.search.budget.words import MILLISECOND, cost_words
from daas.search.report import plots

_UNITS = {"params": ("thousands of parameters", 1e3), "macs": ("millions of multiply-adds", 1e6),
          "latency_ms": ("milliseconds", 1.0)}  # fmt: skip


def cost_section(summary: dict[str, Any]) -> dict[str, Any] | None:
    """Words and pictures; None where no cells were searched, or by an earlier version.

    Args:
        summary: As summary.json has it.

    Returns:
        ``words``, ``plots`` (one per limit) and ``number``, the networks that were drawn beside the chosen one.
    """
    cost = summary.get("cost")
    if cost is None:
        return None
    rows = summary.get("considered", [])
    chosen = next((index for index, row in enumerate(rows) if row["chosen"]), 0)
    pictures = []
    for kind, limit in cost["limits"].items() if rows else ():
        unit, factor = _UNITS[kind]
        values = [row[kind] / factor for row in rows]
        accuracies = [row["val_accuracy"] for row in rows]
        pictures.append(Markup(plots.cost_against_accuracy(values, accuracies, chosen, limit / factor, unit)))
    return {"words": cost_in_words(cost), "plots": pictures, "number": len(rows) - 1}


def cost_in_words(cost: dict[str, Any]) -> str:
    """What the network costs, of which network that is said, and the limits.

    Args:
        cost: As summary.json has it.
    """
    costs = [_words(kind, cost[kind]) for kind in _UNITS if kind in cost]
    limits = [_words(kind, limit) for kind, limit in cost["limits"].items()]
    asked = f" Asked for were at most {_and(limits)}." if limits else ""
    said = f"{_and(costs)}: {TrainedNetwork(**cost['network'])}, as the command above trains it.{asked}"
    if "latency" in cost:
        how = cost["latency"]
        said += (
            f" Latency is a sum of parts measured on this device ({how['device']}) with {how['batch']} images "
            f"at a time and {how['threads']} threads; whole networks that were measured beside it differed by "
            f"{100 * how['error']:.0f}% on average."
        )
    return said


def _words(kind: str, value: float) -> str:
    return cost_words("latency", round(value * MILLISECOND)) if kind == "latency_ms" else cost_words(kind, round(value))


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
