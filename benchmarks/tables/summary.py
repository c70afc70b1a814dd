"""The part of the README that ``make tables`` writes: the paper's tables with our figures left, its own right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables.plan import SHARED
from benchmarks.tables.records import Record
from benchmarks.tables.statistics import estimate, paired
from benchmarks.timing import table as markdown

SCALE = "overfits"
BEGIN, END = "<!-- tables: written by make tables -->\n", "<!-- tables: end -->\n"
POLICIES = {
    "nothing": ("nothing", ""),
    "crop, flip": ("crop, flip", "baseline"),
    "+ cutout": ("crop, flip, cutout", "cutout"),
    "+ RandAugment": ("randaugment", ""),
    "+ TrivialAugment": ("trivialaugment_32px", ""),
    "+ AutoAugment": ("autoaugment_cifar10", "AutoAugment"),
    "+ random policy of our space": ("random policy", ""),
    "+ found, DADA's way": ("DADA-style", "DADA"),
    "+ found, eq. 9": ("eq. 9", "policy gradient"),
    "+ found, eq. 9, shared p and delta": (SHARED, ""),
    "+ found, per image": ("per-image", ""),
}
"""Rows of Table 5: ours, the paper's column (empty where it has none)."""
SEPARATE = {"DADA's way": "DADA-style", "eq. 9": "eq. 9", "per image": "per-image"}
Accuracies = dict[str, dict[str, dict[int, float]]]


def summary(records: Sequence[Record], paper: Mapping[str, Any]) -> str:
    """Tables 4 to 7 and the comparisons that the paper does not have, at the scale ``overfits``.

    Args:
        records: Of any scales; the others are left out.
        paper: The paper's tables, as in ``paper.json``.

    Raises:
        ValueError: A table without records.
    """
    found: Accuracies = {}
    for one in records:
        if one.scale == SCALE:
            found.setdefault(one.table, {}).setdefault(one.row, {})[one.seed] = one.top1
    missing = sorted({"4", "5", "6", "7", "regime"} - set(found))
    if missing:
        raise ValueError(f"no records of scale {SCALE!r} for table {', '.join(missing)}; the page needs all five")
    parts = [
        f"Table 4, {_n(found['4'])} found networks:\n\n{_table4(found['4'], paper['4'])}",
        f"Table 5, policies for fixed networks:\n\n{_table5(found['5'], paper['5'])}",
        f"Table 6, joint and separate search:\n\n{_table6(found['6'], paper['6'])}",
        f"Table 7, networks and policies of three searches, mixed:\n\n{_table7(found['7'], paper['7'])}",
        f"Not in the paper:\n\n{_beyond(found['regime'], found['6'])}",
    ]
    return "\n\n".join(parts) + "\n"


def insert(page: Path, text: str) -> None:
    """Puts the text between the marks of a page.

    Raises:
        ValueError: The page does not have each mark once, in order.
    """
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end or END in before + after or BEGIN in after:
        raise ValueError(f"{page} must have the lines {BEGIN.strip()!r} and {END.strip()!r}, each once")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _n(rows: Mapping[str, Mapping[int, float]]) -> int:
    return len(set.union(*(set(row) for row in rows.values())))


def _all(values: Mapping[int, float] | None) -> str:
    """Mean, standard deviation and number of all runs of a row."""
    if not values:
        return ""
    found = estimate(list(values.values()))
    return f"{found.mean:.1f}" + (f" +- {found.deviation:.1f}" if found.n > 1 else "") + f" ({found.n})"


def _one(values: Mapping[int, float] | None, seed: int) -> str:
    return f"{values[seed]:.1f}" if values and seed in values else ""


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _by_seed(columns: Sequence[Mapping[int, float]], published: Sequence[Sequence[float]]) -> list[list[str]]:
    """One line per seed, with the paper's line of the same number, then means; the paper's last line is its mean."""
    *repeats, average = published
    lines = [
        [str(seed), *(_one(column, seed) for column in columns), *map(_error, errors)]
        for seed, errors in enumerate(repeats)
    ]
    shown = [{seed: value for seed, value in column.items() if seed < len(repeats)} for column in columns]
    return [*lines, ["mean (n)", *map(_all, shown), *map(_error, average)]]


def _table4(rows: Mapping[str, Mapping[int, float]], paper: Mapping[str, Any]) -> str:
    columns = [rows["crop, flip, cutout"], rows["crop, flip, found policy"]]
    head = ["seed", "crop, flip, cutout", "crop, flip, found policy", "paper (error): default", "found policy"]
    return markdown(head, _by_seed(columns, list(paper["rows"].values())))


def _table5(rows: Mapping[str, Mapping[int, float]], paper: Mapping[str, Any]) -> str:
    networks = list(dict.fromkeys(name.split(": ")[0] for name in rows))
    theirs = ("WRN-40-2", "WRN-28-10")
    lines = []
    for label, (row, column) in POLICIES.items():
        ours = [_all(rows.get(f"{network}: {row}")) for network in networks]
        errors = [paper["rows"][name][paper["columns"].index(column)] if column else None for name in theirs]
        lines.append([label, *ours, *map(_error, errors)])
    return markdown(["", *networks, *(f"paper (error): {name}" for name in theirs)], lines)


def _table6(rows: Mapping[str, Mapping[int, float]], paper: Mapping[str, Any]) -> str:
    columns = [rows["joint"], *(rows[f"architecture, then policy ({name})"] for name in SEPARATE.values())]
    head = ["seed", "joint", *(f"separate, {label}" for label in SEPARATE), "paper (error): joint",
            "separate, DADA", "separate, policy gradient"]  # fmt: skip
    order = [paper["columns"].index(name) for name in ("joint", "NAS + DADA", "NAS + policy gradient")]
    return markdown(head, _by_seed(columns, [[row[i] for i in order] for row in paper["rows"].values()]))


def _table7(rows: Mapping[str, Mapping[int, float]], paper: Mapping[str, Any]) -> str:
    lines = []
    for number, errors in enumerate(paper["rows"].values()):
        ours = [_mean(rows[f"network {number}, policy {policy}"]) for policy in range(3)]
        lines.append([f"network {number}", *ours, *map(_error, errors)])
    head = ["", *(f"policy {number}" for number in range(3)), "paper (error): policy 1", "policy 2", "policy 3"]
    return markdown(head, lines)


def _mean(values: Mapping[int, float]) -> str:
    return f"{estimate(list(values.values())).mean:.1f}"


def _beyond(regime: Mapping[str, Mapping[int, float]], pairs: Mapping[str, Mapping[int, float]]) -> str:
    policies = ("nothing", "crop, flip", "random policy", "found policy")
    lines = [
        [f"{which} network", *(_all(regime.get(f"{which} network: {name}")) for name in policies)]
        for which in ("found", "random")
    ]
    head = ["", *(f"+ {name}" if "policy" in name else name for name in policies)]
    joint, random = pairs["joint"], pairs["random network, random policy"]
    gain = paired(joint, random)
    assert gain is not None
    each = ", ".join(f"{joint[seed] - random[seed]:+.1f}" for seed in sorted(set(joint) & set(random)))
    sentence = (
        f"Found pair minus random pair, by seed: {each}; mean {gain.mean:+.1f}, 95% interval "
        f"{gain.mean - gain.half_width:+.1f} to {gain.mean + gain.half_width:+.1f} (n = {gain.n})."
    )
    return markdown(head, lines) + "\n\n" + sentence
