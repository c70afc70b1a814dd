"""The short tables in the README: made from the recorded lines, and no older than they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.tables.make import FOLDER, paper_tables
from benchmarks.tables.plan import TABLES
from benchmarks.tables.records import Record, read
from benchmarks.tables.scale import SCALES
from benchmarks.tables.summary import BEGIN, END, insert, summary

PAGE = Path(__file__).parents[2] / "docs" / "results.md"


def made_up(seeds: int) -> list[Record]:
    """Every row of every table: 40 for the first row of a table, one more for each further one, plus seed / 2."""
    return [
        Record("overfits", table, training.row, seed, 40 + number + seed / 2, 99.0, 60, 1.0, 1.0, "", [], "", {})
        for table, plan in TABLES.items()
        for number, training in enumerate(plan(SCALES["overfits"]))
        for seed in range(seeds)
    ]


def test_the_page_has_the_tables_of_the_recorded_lines() -> None:
    made = summary(read(sorted(FOLDER.glob("*.jsonl"))), paper_tables())
    assert f"{BEGIN}\n{made}\n{END}" in PAGE.read_text(encoding="utf-8"), "run `make tables`"


def test_ours_stand_left_of_the_papers_in_the_same_line() -> None:
    text = [line.split() for line in summary(made_up(5), paper_tables()).splitlines()]
    lines = [" ".join(words) for words in text]
    assert "| 3 | 41.5 | 42.5 | 2.64 | 2.20 |" in lines  # Table 4
    assert "| mean (n) | 40.8 +- 0.6 (4) | 41.8 +- 0.6 (4) | 2.61 | 2.24 |" in lines  # of the four seeds shown
    assert "| + found, eq. 9 | 49.0 +- 0.8 (5) | 60.0 +- 0.8 (5) | 3.50 | 2.60 |" in lines  # Table 5
    assert "| 1 | 40.5 | 41.5 | 42.5 | 43.5 | 2.30 | 2.39 | 2.32 |" in lines  # Table 6: the paper's joint comes first
    assert "| network 1 | 44.0 | 45.0 | 46.0 | 2.56 | 2.30 | 2.31 |" in lines  # Table 7: means over seeds
    assert "mean -4.0, 95% interval -4.0 to -4.0 (n = 5)." in lines[-1]


def test_only_one_scale_is_shown_and_a_missing_run_is_an_empty_cell() -> None:
    records = [one for one in made_up(4) if (one.table, one.row, one.seed) != ("6", "joint", 2)]
    other = [dataclasses.replace(one, scale="underfits", top1=90.0) for one in records]
    text = summary([*records, *other], paper_tables())
    assert text == summary(records, paper_tables())
    assert "| 2 | | 42.0 | 43.0 | 44.0 |" in " ".join(text.split())


def test_a_missing_table_is_named() -> None:
    with pytest.raises(ValueError, match="no records of scale 'overfits' for table 4, regime;"):
        summary([one for one in made_up(2) if one.table not in ("4", "regime")], paper_tables())


def test_a_page_keeps_what_is_around_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n", encoding="utf-8")
    insert(page, "new\n")
    insert(page, "newer\n")
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnewer\n\n{END}after\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, END + BEGIN, BEGIN + END + END, BEGIN + END + BEGIN])
def test_a_page_without_its_marks_is_an_error_and_stays(tmp_path: Path, text: str) -> None:
    page = tmp_path / "README.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="each once"):
        insert(page, "new\n")
    assert page.read_text(encoding="utf-8") == text
