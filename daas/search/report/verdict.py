"""What a search is worth, in a few plain sentences: beside "Done" in the terminal, and at the top of the report."""

from __future__ import annotations

import math
from typing import Any


def verdict(summary: dict[str, Any]) -> list[str]:
    """The answer first, how sure it is, and what to do next.

    Args:
        summary: As summary.json has it.

    Returns:
        Sentences, each a line of its own.
    """
    said = [*_stopped(summary), *_labels(summary), *_choice(summary), _network(summary)]
    if "cells_rank" in summary and "race" not in summary:
        said.append(_beside_random(summary["cells_rank"]))
    if "operation_share" in summary and "race" not in summary:
        said += _policy(summary)
    said += _collapse(summary)
    others = len(summary["warnings"])
    if others:
        said.append(f"{others} warning{'s' if others > 1 else ''} in the report.")
    return said


def _labels(summary: dict[str, Any]) -> list[str]:
    """What changes the labels, and whether a flip does."""
    seen = summary.get("screen")
    if seen is None:
        return []
    left = f" The search did without {', '.join(seen['left_out'])}." if seen["left_out"] else ""
    chosen = summary.get("race", {}).get("chosen", "")
    flipped = chosen.endswith(", flip") and "exchanging" not in chosen and seen.get("flip") == "unclear"
    flip = "The screen was unclear about the flip, so the race tried both." if flipped else seen["answer"][-1]
    return [f"{seen['answer'][0]} {flip}{left}"]


def _choice(summary: dict[str, Any]) -> list[str]:
    """What whole trainings have chosen, against what, by how much, how sure."""
    if "race" not in summary:
        return []
    cells = summary["race"].get("cells")
    other = [f"Not the found cells were chosen, but the published {cells[0]} of equal size."] if cells else []
    return [summary["race"]["answer"], *other]


def _stopped(summary: dict[str, Any]) -> list[str]:
    if not summary["stopped"]:
        return []
    return [
        f"Stopped early by its {summary['stopped']}, after {summary['steps']} of {summary['planned_steps']} iterations."
    ]


def chance(summary: dict[str, Any]) -> float:
    """Accuracy (percent) of always naming the largest class of the validation images."""
    counts = summary["data"]["val_class_counts"]
    return float(100.0 * max(counts) / sum(counts))


def standard_error(summary: dict[str, Any]) -> float:
    """Of the validation accuracy, in points: that of a share of so many images."""
    share = summary["val_accuracy"] / 100.0
    return 100.0 * math.sqrt(share * (1.0 - share) / max(1, sum(summary["data"]["val_class_counts"])))


def _network(summary: dict[str, Any]) -> str:
    accuracy, error, guess = summary["val_accuracy"], standard_error(summary), chance(summary)
    fixed = "operation_share" in summary and "skip_share" not in summary
    what = f"{'The network' if fixed else 'The found network, with the weights of the search,'} names"
    images = sum(summary["data"]["val_class_counts"])
    said = f"{what} {accuracy:.1f}% +- {error:.1f} of {images} validation images; guessing gives {guess:.1f}%."
    if accuracy < guess + 2 * error:
        said += " That is no better than guessing, so nothing can be judged by it: search longer, or on more images."
    return said


def _beside_random(rank: dict[str, int]) -> str:
    better, n = rank["better"], rank["n"]
    among = f"with the weights of the search they are better than {better} of {n} random ones"
    if better == n:
        return (
            f"The cells: {among}, by chance a matter of 1 in {n + 1}; whether they are better than published ones over "
            "a whole training, daas race says."
        )
    if better == 0:
        return f"The cells are worse than random ones: {among}. Do not use them; search longer."
    return (
        f"The cells cannot be told apart from random ones: {among}. Search longer, or take published cells (--mode aug "
        "--model darts_v2_cifar)."
    )


def _policy(summary: dict[str, Any]) -> list[str]:
    decided = summary.get("derivation")
    if decided is None:
        return [_beside_uniform(summary)]
    compared = [_beside_uniform(summary)] if "policy_gain" in summary else []
    return [f"The policy: {decided['said']}", *compared]


def _beside_uniform(summary: dict[str, Any]) -> str:
    gain = summary.get("policy_gain")
    if gain is None:
        return "The policy was not compared with a uniform one: it has learned nothing, or had no time to."
    if gain["mean"] - 2 * gain["se"] > 0:
        return (
            "The policy is better than a uniform random one in the next step of training; whether it pays over a whole "
            "training, daas race says."
        )
    if gain["mean"] + 2 * gain["se"] < 0:
        return (
            "The policy is worse than a uniform random one: do not use it as it is. daas screen says which operations "
            "are safe for these images."
        )
    return (
        "The policy cannot be told apart from a uniform random one: augmentation is undecided. daas screen "
        "says which operations are safe for these images, daas race which policy pays."
    )


def _collapse(summary: dict[str, Any]) -> list[str]:
    share = summary.get("skip_share")
    if share is None or share < 0.5:
        return []
    return [f"{share:.0%} of the edges are skips, a known collapse: the network is shallow. Try a smaller --max-skips."]
