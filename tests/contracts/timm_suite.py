"""Runs timm's own model tests, as its release contains them, over the models of this package: ``make timm-tests``.

The source archive of the installed timm is downloaded once, and its tests unpacked unchanged into ``build/``. Beside
them goes a ``conftest.py`` of ours that registers the models. Arguments are pytest's; without any, all models are
tested.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import timm

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = '''"""Registers the models of daas before timm's tests list the models to test."""

import daas
from timm.models import _registry

# timm's tests of intermediate features run over a list of timm's modules: our models are filed under one of them too.
for module in ("zoo", "wide_resnet", "shake_shake", "pyramid_net"):
    _registry._module_to_models["nasnet"].update(_registry._module_to_models[module])
'''


def main(arguments: list[str]) -> int:
    """Prepares the tests and runs them.

    Args:
        arguments: For pytest.

    Returns:
        pytest's exit code.
    """
    folder = ROOT / "build" / f"timm-{timm.__version__}"
    if not (folder / "tests" / "test_models.py").is_file():
        _download(folder.parent)
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "TORCH_BACKEND": "daas", "PYTHONPATH": paths}
    chosen = arguments or ["-k", "_cifar or _imagenet"]
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "tests/test_models.py", *chosen]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def _download(into: Path) -> None:
    """Unpacks ``tests`` and ``pyproject.toml`` of the installed timm's source archive."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "timm", "--dest", folder]
        subprocess.run([*pip, f"timm=={timm.__version__}"], check=True)
        (archive,) = Path(folder).glob("timm-*.tar.gz")
        with tarfile.open(archive) as members:
            wanted = [m for m in members if m.name.split("/")[1] in ("tests", "pyproject.toml")]
            members.extractall(into, wanted, filter="data")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
