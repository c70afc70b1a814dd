"""A program that is started in a folder that is gone, or among files that are called like modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import daas

ROOT = str(Path(daas.__file__).parents[1])


def _run(*words: str, cwd: Path, gone: bool = False) -> subprocess.CompletedProcess[str]:
    leave = [sys.executable, "-c", "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"]
    return subprocess.run(
        [*(leave if gone else []), sys.executable, *words], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip


@pytest.mark.parametrize("words", [("-m", "daas.train"), ("-Bmdaas",), ("-m", "daas.search", "--out", "-m")])
def test_a_folder_that_is_gone_is_told_in_a_line(words: tuple[str, ...], tmp_path: Path) -> None:
    place = tmp_path / "gone"
    place.mkdir()
    found = _run(*words, cwd=place, gone=True)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error: the folder that you work in is not there any more")
    assert found.stderr.count("\n") == 1


def test_an_import_in_a_folder_that_is_gone_raises(tmp_path: Path) -> None:
    place = tmp_path / "gone"
    place.mkdir()
    told = "try:\n import daas\nexcept FileNotFoundError as error:\n print(error)"
    assert _run("-c", told, cwd=place, gone=True).stdout.startswith("the folder that you work in")


def test_files_that_are_called_like_modules_take_no_modules_place(tmp_path: Path) -> None:
    for name in ("random", "queue", "copy", "platform", "typing", "numpy", "torch", "timm", "yaml", "tqdm"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file')")
    (tmp_path / "mine.py").write_text("print('mine is found')")
    found = _run("-m", "daas.train", "digits", "--device-modules", "mine", "--device", "nowhere", cwd=tmp_path)
    assert found.stdout == "mine is found\n", found.stderr
    assert found.returncode == 2
    assert found.stderr.startswith("error: --device nowhere cannot be used")


def test_a_package_that_is_in_the_folder_itself_stays_first_for_later_processes(tmp_path: Path) -> None:
    script = tmp_path / "looks.py"
    script.write_text("import sys; sys.argv[0] = 'daas'\nimport daas\nprint(sys.path[0])")
    for here, first in ((ROOT, True), (str(tmp_path), False)):
        found = _run(
            "-c", f"import sys; sys.path.insert(0, {here!r}); exec(open({str(script)!r}).read())", cwd=Path(here)
        )
        assert (found.stdout.strip() == here) is first, found.stdout + found.stderr
        assert found.returncode == 0
