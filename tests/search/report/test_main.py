"""A report that fails leaves its search done, and is made again by a command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from daas.search.__main__ import main
from daas.search.report import page
from tests.conftest import SHORT_SEARCH


def _no_font(*_: object, **__: object) -> str:
    raise RuntimeError("no font")


def test_a_report_that_fails_leaves_its_search_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(page, "render", _no_font)
        assert main([*SHORT_SEARCH, "--max-steps", "1", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert f"report could not be made: no font (RuntimeError). Then: daas search report {out}" in said.err
    assert f"Done. Results in {out}\n" in said.out
    assert (out / "summary.json").exists()
    assert not (out / "report.html").exists()
    assert main(["report", str(out)]) == 0
    assert (out / "report.html").exists()


def test_a_folder_that_is_none_of_a_search(
    whole_search: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no finished search" in capsys.readouterr().err
    run = Path(shutil.copytree(whole_search, tmp_path / "run"))
    (run / "summary.json").write_text('{"options": []}')
    assert main(["report", str(run)]) == 2
    assert "is not as a search writes it" in capsys.readouterr().err
