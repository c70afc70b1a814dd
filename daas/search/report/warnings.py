"""What a user should know before trusting a search, in plain words."""

from __future__ import annotations

from typing import Any

from daas.data.facts import left_out
from daas.models.genotype import Genotype
from daas.search.algorithm.state import State
from daas.search.spaces.cells import CELL_TYPES

COLLAPSED = 0.5
"""Share of a cell's edges that are skip connections from which on it counts as collapsed."""
_NO_SIGNAL = 1.2  # signal-to-noise ratio up to which gamma's gradient counts as noise (noise alone has 1)
_UNDECIDED = 0.999  # entropy above which pi has not moved


def skip_share(genotype: Genotype, cell: str = "both") -> float:
    """The share of a genotype's edges that are skip connections, in one cell or both."""
    nodes = {"normal": genotype.normal, "reduce": genotype.reduce, "both": genotype.normal + genotype.reduce}[cell]
    edges = [primitive for node in nodes for primitive, _ in node]
    return edges.count("skip_connect") / len(edges)


def about_search(search: State, lines: list[dict[str, Any]], gain: dict[str, float] | None) -> dict[str, str]:
    """Warnings about what the search has found, by kind.

    Args:
        search: The state.
        lines: The epochs' metrics so far.
        gain: The policy beside a uniform one (``measures.policy_gain``), or None.
    """
    found = {}
    if search.architecture is not None:
        genotype = search.architecture.derive()
        for cell in CELL_TYPES:
            share = skip_share(genotype, cell)
            if share >= COLLAPSED:
                found[f"skips in {cell}"] = (
                    f"{share:.0%} of the {cell} cell's edges are skip connections. This is the known collapse of "
                    "differentiable search: the network is shallow and usually weak. Try a smaller --max-skips, "
                    "another --seed, fewer --epochs, or a smaller --arch-lr."
                )
    if search.augmentation is not None:
        if search.history is None:  # otherwise the derivation says what was decided, and noise decides nothing
            found |= _about_signal(search.augmentation.entropy()["pi"], lines)
        found |= _about_gain(gain)
    return found


def _about_signal(entropy: float, lines: list[dict[str, Any]]) -> dict[str, str]:
    found = {}
    ratios = [line["policy_signal"]["pi"] for line in lines if "pi" in line.get("policy_signal", {})]
    mean = sum(ratios) / max(1, len(ratios))
    if len(ratios) > 1 and mean < _NO_SIGNAL:
        found["no signal"] = (
            f"There is hardly any signal in the policy's gradient: its signal-to-noise ratio is {mean:.2f} on average, "
            "and noise alone has 1. The policy that was found is then mostly chance. A larger --batch-size, more "
            "--architectures or --policies per iteration, or more images would be needed."
        )
    elif entropy > _UNDECIDED and ratios:
        found["no signal"] = (
            "The policy has hardly moved from uniform. More --epochs, a larger --aug-lr or more validation images "
            "would be needed."
        )
    return found


def _about_gain(gain: dict[str, float] | None) -> dict[str, str]:
    found = {}
    if gain is not None and gain["mean"] + 2 * gain["se"] < 0:
        found["worse than uniform"] = (
            "The policy is worse than a uniform random one: after one training step under it the validation loss is "
            f"higher by {-gain['mean']:.4f} +- {gain['se']:.4f} (n = {gain['n']}) than after one under a uniform "
            "policy. Do not use it as it is; search longer, or with a smaller --aug-lr."
        )
    return found


def about_images(facts: dict[str, Any]) -> dict[str, str]:
    """Warnings about the images, by kind."""
    found = {}
    names, counts, val_counts = facts["class_names"], facts["class_counts"], facts["val_class_counts"]
    for kind, numbers in (("training", counts), ("validation", val_counts)):
        empty = [name for name, count in zip(names, numbers, strict=True) if not count]
        if empty:
            more = "" if len(empty) <= 5 else f" and {len(empty) - 5} more"
            found[f"no {kind} images"] = (
                f"{len(empty)} of {len(names)} classes have no {kind} images: {', '.join(empty[:5])}{more}. Add "
                "images, or remove these classes."
            )
    present = [count for count in counts if count]
    if max(present) >= 10 * min(present):
        found["imbalance"] = (
            f"The classes are imbalanced: {max(present)} training images in the largest, {min(present)} in the "
            "smallest. The accuracy counts images, the balanced accuracy counts every class alike."
        )
    if facts["skipped"]:
        found["skipped"] = left_out(facts["skipped"])
    found |= {f"image warning {number}": text for number, text in enumerate(facts.get("image_warnings", ()))}
    return found
