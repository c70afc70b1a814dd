"""The wheel: it holds everything that is in the package's folder, and works where nothing else of the project is."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import daas

ROOT = Path(__file__).parents[1]
USED = """
import json, sys, tempfile
from pathlib import Path
import timm, torch, daas
from daas.train.command_line import list_recipes, parse
assert Path(daas.__file__).is_relative_to(sys.argv[1]), daas.__file__
for name in daas.list_policies():
    assert daas.DAASPolicy.load(name)(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).shape == (2, 3, 8, 8)
for name in list_recipes():
    parse(["--recipe", name])
model = timm.create_model("daas_cifar10_nano", pretrained=True).eval()
assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
from daas.search.__main__ import main
out = Path(tempfile.mkdtemp()) / "run"
small = "--preset demo --channels 2 --layers 3 --nodes 2 --max-steps 2 --max-images 100 --architectures 1"
assert main([*small.split(), "--no-screen", "--race", "0", "--out", str(out)]) == 0
assert (out / "report.html").stat().st_size > 10_000
from daas.hub.exporting import export  # its templates are read when it exports
from importlib.resources import files
assert files("daas.hub").joinpath("templates/card.md").is_file()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run([str(word) for word in command], check=True, cwd=folder)
    return next(folder.glob("*.whl"))


def test_it_holds_every_file_of_the_package(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    here = {path.relative_to(ROOT) for path in Path(daas.__file__).parent.rglob("*") if path.is_file()}
    wanted = {path.as_posix() for path in here if "__pycache__" not in path.parts}
    assert wanted - packed == set()


def test_it_works_alone(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", place, wheel]
    subprocess.run([str(word) for word in install], check=True)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(place)!r})\n{USED}", str(place)],
        cwd=tmp_path, capture_output=True, text=True, env={"PATH": "", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
