"""report.html: one self-contained page about a search, made from the files of its folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import torch
from markupsafe import Markup, escape
from torch import Tensor

from daas.augment import DAASPolicy, Policy
from daas.augment.space import named
from daas.errors import BadInput
from daas.models.drawing import cell_svg
from daas.models.genotype import Genotype
from daas.search.found import Found, found_in
from daas.search.report import plots
from daas.search.report.commands import commands
from daas.search.report.cost_section import cost_section
from daas.search.report.verdict import verdict
from daas.search.runs.folder import METRICS
from daas.search.spaces.cells import cell_edges

_MODES = {
    "RGB": "in colour", "L": "grey", "I;16": "grey with 16 bits", "P": "with a palette", "RGBA": "with transparency",
    "1": "black and white",
}  # fmt: skip
_UNIFORM = 1.5  # times the mean weight, up to which the most probable operations are none to speak of
_OPTION = re.compile("--[a-z][a-z-]*")
_MANY = 100  # classes up to which their pictures are of the size of the others
_ROWS = 5  # draws of the policy in the grid of images


def write_report(out: Path) -> Path:
    """Writes report.html again from genotype.json, policy.json, summary.json and metrics.jsonl, without pictures.

    Args:
        out: The run folder; genotype or policy may be missing, when only the other was searched.

    Returns:
        The path of the page.

    Raises:
        BadInput: The folder holds no finished search.
    """
    if not os.path.isfile(out / "summary.json") or not os.path.isfile(out / METRICS):
        raise BadInput(f"{out} holds no finished search: summary.json or metrics.jsonl is missing.")
    found = found_in(out)
    try:
        return found.report(out / "report.html")
    except BadInput:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, jinja2.UndefinedError) as error:
        text = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{out}: summary.json or {METRICS} is not as a search writes it ({type(error).__name__}: {text}). Bring "
            "the files of the run back."
        ) from error


def render(found: Found, out: Path) -> str:
    """The page of a search.

    Args:
        found: What was found, measured and seen.
        out: The folder in which genotype.json and policy.json lie, for the commands on the page; without a summary
            beside them they were not saved, and the page says how.

    Returns:
        HTML that needs nothing else.
    """
    summary, lines = found.summary, found.metrics
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["unbroken"] = unbroken
    template = environment.from_string(
        files("daas.search.report").joinpath("templates").joinpath("report.html").read_text(encoding="utf-8")
    )
    return template.render(
        summary=summary,
        verdict=verdict(summary),
        figures=_figures(summary),
        curves=[Markup(curve) for curve in _curves(_last_stage(lines)) if curve],
        classes=_classes(summary, found.pictures.classes),
        originals=_originals(summary["data"]),
        architecture=None if found.genotype is None else _architecture(found.genotype, lines, summary),
        cost=cost_section(summary),
        policy=None if found.policy is None else _policy(found.policy, _last_stage(lines), found.pictures.examples),
        commands=commands(out, summary, found.genotype is not None, found.policy is not None),
        saved=os.path.exists(out / "summary.json"),
    )


def unbroken(text: str) -> Markup:
    """A text whose options (``--aug-lr``) do not break at their hyphens."""
    return Markup(_OPTION.sub(r'<span class="option">\g<0></span>', str(escape(text))))


def _last_stage(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of the policy's stage, where an architecture was searched before it; otherwise all."""
    starts = [index for index, line in enumerate(lines) if index and line["step"] <= lines[index - 1]["step"]]
    return lines[starts[-1] :] if starts else lines


def _curves(lines: list[dict[str, Any]]) -> list[str]:
    return [
        plots.losses(lines),
        plots.accuracies(lines),
        plots.entropies(lines) if lines[-1]["entropy"] else "",
        plots.signals(lines),
        plots.gains(lines),
        plots.learning_rates(lines),
    ]


def _classes(summary: dict[str, Any], pictures: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """What the page shows of each class: a picture, how many images it has, how many were recognised."""
    data = summary["data"]
    largest = max(data["class_counts"])
    drawn = plots.picture if len(data["class_names"]) <= _MANY else plots.small_picture
    rows = zip(
        data["class_names"], data["class_counts"], data["val_class_counts"], summary["val_class_accuracy"], strict=True
    )
    return [
        {
            "name": name,
            "picture": drawn(pictures[name]) if name in pictures else "",
            "train": count,
            "val": val_count,
            "accuracy": "" if accuracy is None else f"{accuracy:.0f}% right",
            "width": f"{100 * count / largest:.1f}",
        }
        for name, count, val_count, accuracy in rows
    ]


def _originals(data: dict[str, Any]) -> str:
    """How the images are stored, in a sentence."""
    found = data.get("originals")
    if not found:
        return ""
    smallest, largest = ("{} x {}".format(*found[name]) for name in ("smallest", "largest"))
    sizes = f"of {smallest}" if smallest == largest else f"from {smallest} to {largest}"
    modes = ", ".join(f"{count} {_MODES.get(mode, mode)}" for mode, count in found["modes"].items())
    turned = f", {found['turned']} turned upright by their EXIF orientation" if found["turned"] else ""
    return f"As stored: {found['counted']} images {sizes} pixels ({modes}{turned})."


def _figures(summary: dict[str, Any]) -> list[tuple[str, str]]:
    minutes, seconds = divmod(round(summary["seconds"]), 60)
    figures = [
        ("iterations", f"{summary['steps']}"),
        ("time", f"{minutes} min {seconds} s"),
        ("validation accuracy", f"{summary['val_accuracy']:.1f}%"),
        ("validation loss", f"{summary['val_loss']:.3f}"),
    ]
    counts = [count for count in summary["data"]["val_class_counts"] if count]
    if max(counts) > 1.5 * min(counts):
        figures.append(("balanced accuracy", f"{summary['val_balanced_accuracy']:.1f}%"))
    if "cells_rank" in summary:
        rank = summary["cells_rank"]
        figures.append(("random cells that the found ones beat", f"{rank['better']} of {rank['n']}"))
    if "policy_gain" in summary:
        gain = summary["policy_gain"]
        figures.append(
            (f"policy beside a uniform one (n = {gain['n']})", f"{gain['mean']:+.4f} \u00b1 {gain['se']:.4f}")
        )
    if summary["processes"] > 1:
        figures.append(("processes", str(summary["processes"])))
    if "skip_share" in summary:
        figures.append(("skip connections", f"{summary['skip_share']:.0%}"))
    return figures


def _architecture(genotype: Genotype, lines: list[dict[str, Any]], summary: dict[str, Any]) -> dict[str, Any]:
    """Drawings of both cells, and how sure the search was of each edge and operation."""
    lines = [line for line in lines if "alpha" in line]
    edges = [f"{source} to {node}" for source, node in cell_edges(len(genotype.normal))]
    maps = {}
    for cell in ("normal", "reduce"):
        alpha, beta = lines[-1]["alpha"][cell], lines[-1]["beta"][cell]
        over_time = [[line["beta"][cell][edge] for line in lines] for edge in range(len(edges))]
        maps[cell] = (
            Markup(plots.heat_map(alpha, edges, summary["primitives"], f"{cell}: operations (alpha)", (4.6, 3.8))),
            Markup(
                plots.heat_map(
                    over_time,
                    [f"{name} ({p:.2f})" for name, p in zip(edges, beta, strict=True)],
                    _epochs(lines),
                    f"{cell}: edges (beta) over the epochs",
                    (4.6, 3.8),
                )
            ),
        )
    return {
        "normal": Markup(cell_svg(genotype, "normal")), "reduce": Markup(cell_svg(genotype, "reduce")), "maps": maps,
    }  # fmt: skip


def _epochs(lines: list[dict[str, Any]]) -> list[str]:
    every = max(1, len(lines) // 10)
    return [str(line["epoch"]) if index % every == 0 else "" for index, line in enumerate(lines)]


def _policy(policy: Policy, lines: list[dict[str, Any]], images: Tensor | None) -> dict[str, Any]:
    """The policy as a map, as bars, in words, and on the user's own images."""
    total = sum(sub.weight for sub in policy.sub_policies)
    share = policy.operation_share()
    names = list(share)
    weights = torch.zeros(len(names), len(names), dtype=torch.float64)
    for sub in policy.sub_policies:
        if len(sub.ops) == 2:
            weights[names.index(sub.ops[0].op), names.index(sub.ops[1].op)] += sub.weight / total
    best = sorted(policy.sub_policies, key=lambda sub: -sub.weight)[:10]
    start = policy.slots * 0.5 / len(lines[-1].get("operation_share", names))  # of each operation, when uniform
    return {
        "map": Markup(plots.heat_map(weights, names, names, "weight of (first, second)", (5.6, 4.6))),
        "shares": Markup(plots.shares(lines)) if "operation_share" in lines[-1] else "",
        "bars": [(name, share[name], 100 * share[name] / max(*share.values(), start)) for name in _by_value(share)],
        "start": start,
        "uniform": _is_uniform(policy),
        "best": [
            (f"{100 * sub.weight / total:.2f}%", [_words(op.op, op.prob, op.value) for op in sub.ops]) for sub in best
        ],
        "grid": [] if images is None else _grid(policy, images),
    }


def _is_uniform(policy: Policy) -> bool:
    """Whether no choice of operations is much more probable than the others, whatever their magnitudes."""
    kinds: dict[tuple[str, ...], float] = {}
    for sub in policy.sub_policies:
        ops = tuple(op.op for op in sub.ops)
        kinds[ops] = kinds.get(ops, 0.0) + sub.weight
    return len(kinds) > 1 and max(kinds.values()) * len(kinds) < _UNIFORM * sum(kinds.values())


def _by_value(values: dict[str, float]) -> list[str]:
    return sorted(values, key=lambda name: -values[name])


def _words(op: str, prob: float, value: float | None) -> str:
    """An operation of a sub-policy for people.

    >>> _words("ShearX", 0.5, 0.07), _words("Contrast", 0.2, 1.5)
    ('ShearX by 7% of the height, either direction, in 50% of its turns', 'Contrast, factor 1.5, in 20% of its turns')
    """
    operation, strength = named(op), ""
    if value is not None and operation.unit.startswith("share of "):
        strength = f" by {100 * value:.3g}% of {operation.unit.removeprefix('share of ')}"
    elif value is not None and operation.signed:
        strength = f" by {value:.3g} {operation.unit}"
    elif value is not None:
        strength = f", {operation.unit} {value:.3g}"
    sign = ", either direction" if operation.signed else ""
    return f"{op}{strength}{sign}, in {100 * prob:.0f}% of its turns"


def _grid(policy: Policy, images: Tensor) -> list[list[tuple[str, str]]]:
    """Rows of (picture, caption): the images as they are, then under draws of the policy."""
    transform = DAASPolicy(policy)
    random = torch.Generator().manual_seed(0)
    rows = [[(plots.picture(image), "original") for image in images]]
    for _ in range(_ROWS):
        draw = transform.sample(len(images), random)
        changed = transform.apply(images, draw)
        rows.append(
            [(plots.picture(changed[i]), ", ".join(draw.describe(i)) or "unchanged") for i in range(len(images))]
        )
    return rows
