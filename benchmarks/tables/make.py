"""``python -m benchmarks.tables.make``: tables and plots from the recorded lines alone, beside the paper's figures."""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.tables.records import Record, read
from benchmarks.tables.statistics import estimate, paired, repeats_needed
from benchmarks.tables.summary import insert, summary
from benchmarks.timing import table as markdown

mpl.use("Agg")
FOLDER = Path(__file__).parents[1] / "results" / "tables"
REFERENCE = {
    "4": "crop, flip, cutout",
    "6": "random network, random policy",
    "regime": "random network: random policy",
}
"""The row that the others are compared with, seed by seed; in Table 5 it is the same network under crop and flip."""
PAPER_DIFFERENCE = 0.34
"""Percentage points that the paper's Table 4 reports for its policies, on average."""
Rows = dict[str, dict[int, Record]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=Path, default=FOLDER, help="folder of the JSON-lines files")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where tables.md and the plots go")
    parser.add_argument("--page", type=Path, help="page into which the short tables go, between its marks")
    options = parser.parse_args()
    records = read(sorted(options.lines.glob("*.jsonl")))
    if not records:
        parser.error(f"{options.lines} holds no records; python -m benchmarks.tables.run makes them")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "tables.md").write_text(page(records, options.out), encoding="utf-8")
    print(options.out / "tables.md")
    if options.page:
        insert(options.page, summary(records, paper_tables()))
        print(options.page)


def page(records: Sequence[Record], out: Path) -> str:
    """All tables as Markdown; draws the plots beside them.

    Args:
        records: Of any scales and tables.
        out: Folder of the plots.
    """
    paper = paper_tables()
    parts = ["# Tables\n", "Test accuracy (top-1, percent) of our runs, all of them; below each table what the paper\n"
             "reports, which is another scale (test error, percent) and was not verified here.\n"]  # fmt: skip
    for (scale, table), rows in grouped(records).items():
        sizes = next(iter(next(iter(rows.values())).values()))
        parts.append(
            f"## {_title(table)}, scale `{scale}`\n\n{sizes.facts['train_images']:,} training and "
            f"{sizes.facts['test_images']:,} test images, {sizes.epochs} epochs.\n"
        )
        parts.append(comparison(table, rows) + "\n")
        if table == "7":
            parts.append(matrix(rows) + "\n")
        parts.append(power(table, rows) + "\n")
        picture = f"table-{table}-{scale}.png"
        plot(rows, _title(table), out / picture)
        parts.append(f"![{_title(table)}]({picture})\n")
        if table in paper:
            parts.append(f"The paper's Table {table} (error):\n\n{published(paper[table])}\n")
    parts.append(f"## Cost of the searches\n\n{cost(records)}\n")
    return "\n".join(parts)


def paper_tables() -> dict[str, Any]:
    """The paper's own figures by number of the table."""
    tables: dict[str, Any] = json.loads((Path(__file__).parent / "paper.json").read_text(encoding="utf-8"))
    return tables


def grouped(records: Sequence[Record]) -> dict[tuple[str, str], Rows]:
    """By scale and table: row, seed -> record; of two records of the same training the later one counts."""
    found: dict[tuple[str, str], Rows] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        found[record.scale, record.table][record.row][record.seed] = record
    return {key: dict(rows) for key, rows in sorted(found.items())}


def _title(table: str) -> str:
    return f"Table {table}" if table.isdigit() else table.capitalize()


def _reference(table: str, row: str, rows: Rows) -> str | None:
    """The row that a row is compared with."""
    reference = f"{row.split(':')[0]}: crop, flip" if table == "5" else REFERENCE.get(table)
    return reference if reference in rows and reference != row else None


def _top1(row: Mapping[int, Record]) -> dict[int, float]:
    return {seed: record.top1 for seed, record in row.items()}


def comparison(table: str, rows: Rows) -> str:
    """Mean, spread and interval of every row, and its difference from the reference over the seeds that both have."""
    lines = []
    for name, row in rows.items():
        values = estimate(list(_top1(row).values()))
        train = estimate([record.train_top1 for record in row.values()])
        reference = _reference(table, name, rows)
        difference = None if reference is None else paired(_top1(row), _top1(rows[reference]))
        text = (
            ""
            if difference is None
            else f"{difference.mean:+.2f}" + (f" +- {difference.half_width:.2f}" if difference.n > 1 else "")
        )
        every = ", ".join(f"{row[seed].top1:.2f}" for seed in sorted(row))
        lines.append([name, str(values), f"{train.mean:.1f}", text, every])
    head = ["", "top-1", "on training images", "difference (paired, 95% CI)", "every run, by seed"]
    return markdown(head, lines)


def matrix(rows: Rows) -> str:
    """Table 7 as networks by policies."""
    networks = sorted({name.split(",")[0] for name in rows})
    policies = sorted({name.split(", ")[1] for name in rows})
    lines = [[network, *(_mean(rows.get(f"{network}, {policy}")) for policy in policies)] for network in networks]
    return markdown(["", *policies], lines)


def _mean(row: Mapping[int, Record] | None) -> str:
    return "" if not row else f"{estimate(list(_top1(row).values())).mean:.2f}"


def power(table: str, rows: Rows) -> str:
    """How many seeds the observed spread needs to see the observed difference, and one of the paper's size."""
    lines = []
    for name, row in rows.items():
        reference = _reference(table, name, rows)
        difference = None if reference is None else paired(_top1(row), _top1(rows[reference]))
        if difference is None or not difference.deviation > 0 or difference.mean == 0:
            continue
        lines.append(
            [
                f"{name} - {reference}",
                f"{difference.deviation:.2f}",
                str(difference.n),
                str(repeats_needed(difference.deviation, abs(difference.mean))),
                str(repeats_needed(difference.deviation, PAPER_DIFFERENCE)),
            ]
        )
    if not lines:
        return "Too few pairs of runs to say how many are needed."
    head = ["difference", "standard deviation", "pairs", "pairs needed to see it",
            f"pairs needed to see {PAPER_DIFFERENCE} points"]  # fmt: skip
    return "Seeds needed (two-sided t-test at 5%, power 80%):\n\n" + markdown(head, lines)


def published(table: Mapping[str, object]) -> str:
    """The paper's own figures."""
    columns, rows = table["columns"], table["rows"]
    assert isinstance(columns, list)
    assert isinstance(rows, dict)
    lines = [[name, *("" if value is None else f"{value:.2f}" for value in values)] for name, values in rows.items()]
    return markdown(["", *columns], lines)


def cost(records: Sequence[Record]) -> str:
    """Core-hours of each row's searches and of its training."""
    rows: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        rows[record.scale, record.table, record.row].append(record)
    lines = []
    for (scale, table, row), group in sorted(rows.items()):
        search = estimate([record.search_seconds / 3600 for record in group])
        train = estimate([record.seconds / 3600 for record in group])
        lines.append([scale, table, row, f"{search.mean:.3f}", f"{train.mean:.3f}", str(len(group))])
    return markdown(["scale", "table", "row", "search, core-hours", "training, core-hours", "n"], lines)


def plot(rows: Rows, title: str, path: Path) -> None:
    """Every run as a dot, the mean and its 95% confidence interval as a bar."""
    figure = Figure(figsize=(8, 0.6 + 0.34 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for height, row in enumerate(reversed(rows.values())):
        values = list(_top1(row).values())
        found = estimate(values)
        axis.plot(values, [height] * len(values), "o", color="#8aa", markersize=4, zorder=1)
        width = 0.0 if math.isnan(found.half_width) else found.half_width
        axis.errorbar(found.mean, height, xerr=width, fmt="|", color="#134", capsize=3, markersize=11, zorder=2)
    axis.set_yticks(range(len(rows)), list(reversed(rows)))
    axis.set_xlabel("test accuracy, percent\nevery run, mean, 95% confidence interval")
    axis.set_title(title)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
