"""Nothing is imported that a command does not need: which heavy packages are in memory when it begins to work."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "IPython", "accelerate", "cv2", "datasets", "jinja2", "lightning", "matplotlib", "numba", "optuna", "pandas",
    "scipy", "sklearn", "tensorboard", "transformers",
}  # fmt: skip
"""What takes a good part of a second each, or is needed at the end of a run alone."""
RUN = """
import sys
from importlib import import_module

class Began(BaseException):
    pass

class Screen:
    def write(self, text):
        if text.strip():
            raise Began
    def flush(self):
        pass
    def isatty(self):
        return False

verb, *words = sys.argv[1:]
out, sys.stdout, sys.stderr = sys.stdout, Screen(), Screen()
try:
    import_module("daas.__main__").main([verb, *words] if verb else [])
except Began:
    pass
out.write(" ".join({name.split(".")[0] for name in sys.modules}))
out.flush()
"""


def imported(*words: str) -> set[str]:
    """The packages in memory at the first thing that a command says."""
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "torch" in done.stdout
    return set(done.stdout.split())


@pytest.mark.parametrize("verb", ["", "screen", "search", "race", "train", "hub"])
def test_help_needs_next_to_nothing(verb: str) -> None:
    """Not even the augmentations where no option comes from them."""
    found = imported(*((verb, "--help") if verb else ("",)))
    assert not found & HEAVY
    if verb == "":
        assert "kornia" not in found


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (("search", "--dataset", "digits", "--no-screen", "--race", "0"), set()),
        (("search", "--preset", "demo"), {"optuna", "scipy"}),  # that a race can be had is known before the screen
        (("screen", "--dataset", "digits"), set()),
        (("models",), set()),
        (("augment", "list"), set()),
    ],
)
def test_a_command_begins_without_what_only_its_end_needs(
    words: tuple[str, ...], needed: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = ("--out", str(tmp_path_factory.mktemp("run") / "out")) if words[0] in ("search", "screen") else ()
    assert not (imported(*words, *out) & HEAVY) - needed
