"""The report: one self-contained page, with everything that was searched, and safe with any class name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from daas.errors import BadInput
from daas.search.report import write_report

Run = Callable[..., tuple[int, Path]]


def test_the_page_shows_everything_and_loads_nothing(run_search: Run) -> None:
    _, out = run_search()
    page = (out / "report.html").read_text()
    for text in (
        "Normal cell",
        "Reduction cell",
        "ten most probable",
        "All options",
        "--preset",
        "data:image/png;base64",
    ):
        assert text in page
    assert page.count("<img ") == 8 * 6 + 10  # the grid of the policy, one image per class
    assert page.count("<svg") >= 9
    references = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert all(reference.startswith(("data:", "#")) for reference in references)
    command = re.search(r"python -m daas.train[^<]*", page)
    assert command is not None
    assert f"genotype={out / 'genotype.json'}" in command[0]


def test_the_command_of_the_page_runs(run_search: Run, tmp_path: Path) -> None:
    import html
    import shlex

    from daas.train.__main__ import main

    _, out = run_search()
    command = re.search(r"python -m daas.train([^<]*)", (out / "report.html").read_text())
    assert command is not None
    short = ["--epochs", "1", "--batch-size", "512", "--output", str(tmp_path / "train")]
    words = shlex.split(html.unescape(command[1]))
    words.insert(words.index("--aa"), "channels=4")
    words.insert(words.index("--aa"), "layers=3")
    assert main([*words, *short]) == 0


@pytest.mark.parametrize("mode", ["arch", "aug"])
def test_one_half_of_the_pair_is_enough(run_search: Run, mode: str, small_convnet: str) -> None:
    extra = ["--model", small_convnet] if mode == "aug" else []
    _, out = run_search("--mode", mode, *extra)
    page = (out / "report.html").read_text()
    assert ("Normal cell" in page) == (mode == "arch")
    assert ("ten most probable" in page) == (mode == "aug")


def test_class_names_and_warnings_are_text_not_markup(run_search: Run) -> None:
    _, out = run_search()
    summary = json.loads((out / "summary.json").read_text())
    summary["data"]["class_names"][0] = "<script>alert(1)</script>"
    summary["warnings"] = ["careful <b>"]
    (out / "summary.json").write_text(json.dumps(summary))
    page = write_report(out, torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "careful &lt;b&gt;" in page


def test_a_folder_without_a_finished_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no finished search"):
        write_report(tmp_path)
