"""``python -m benchmarks.gpu``: all that is measured on a GPU, written to ``benchmarks/results/gpu-<card>.json``.

Each part runs in a process of its own and ends when its time is up; what it has measured by then counts.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.setting import Row, Rows, Setting, card, conditions

PARTS = {
    "a": "benchmarks.gpu.parity", "b": "benchmarks.gpu.throughput", "c": "benchmarks.gpu.searching",
    "d": "benchmarks.gpu.training", "e": "benchmarks.gpu.racing", "f": "benchmarks.gpu.whole",
}  # fmt: skip
_RESULTS = Path(__file__).parents[1] / "results"
_GRACE = 15.0  # seconds beyond its time after which a part is ended: it may be in the middle of something


def main(argv: Sequence[str] | None = None) -> int:
    """Measures.

    Returns:
        0; 1 where a part failed or bits differ; 2 without a GPU.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    options = _options(given)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("error: there is no GPU that PyTorch sees; --device cpu --smoke tries the code without.", file=sys.stderr)
        return 2
    setting = Setting(torch.device(options.device), options.smoke, options.seconds, options.archive)
    if options.rows is not None:
        return _in_this_process(options.part[0], setting, options.rows)
    found: dict[str, Any] = {"command": f"python -m benchmarks.gpu {' '.join(given)}".strip()}
    found |= {"conditions": conditions(setting.device), "parts": {}}
    print(json.dumps(found["conditions"]))
    out = options.out
    if out is None and setting.device.type == "cuda":
        out = _RESULTS / f"gpu-{re.sub('[^a-z0-9]+', '-', card(setting.device).lower()).strip('-')}.json"
    for name in options.part:
        found["parts"][name] = _in_its_own(name, given, options.seconds)
        if out is not None:  # after every part, so that what is measured is there whatever comes
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(part["failed"] for part in found["parts"].values()))


def _in_its_own(name: str, given: Sequence[str], seconds: float) -> dict[str, Any]:
    """A part in a process of its own: its rows, the time it took, and why it ended early if it did."""
    start = time.monotonic()
    print(f"\n({name}) {(import_module(PARTS[name]).__doc__ or '').splitlines()[0]}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        words = [sys.executable, "-m", "benchmarks.gpu", *given, "--part", name, "--rows", str(path)]
        ended: str | None = None
        try:
            code = subprocess.run(words, timeout=seconds + _GRACE, check=False).returncode
            ended = f"exit code {code}" if code else None
        except subprocess.TimeoutExpired:
            code, ended = 0, f"ended after {seconds + _GRACE:.0f} s"
            print(ended, flush=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return {"seconds": time.monotonic() - start, "ended": ended, "failed": bool(code), "rows": rows}


def _in_this_process(name: str, setting: Setting, path: Path) -> int:
    """A part: every row is printed and written when it is known. 1 where bits differ."""
    measure: Callable[[Setting], Rows] = import_module(PARTS[name]).rows
    differ = 0
    with path.open("a", encoding="utf-8") as file:
        for row in measure(setting):
            print("  " + _text(row), flush=True)
            file.write(json.dumps(row) + "\n")
            file.flush()
            differ += int(row.get("differ", 0))
    return int(differ > 0)


def _text(row: Row) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in row.items() if value is not None)


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS), help="by default all")
    parser.add_argument("--seconds", type=float, default=45.0, help="for each part")
    parser.add_argument("--archive", type=Path, help="folder or .tar of images for (e) and (f), CIFAR-10 for example")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1; cpu with --smoke")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: tries the code, measures nothing")
    parser.add_argument("--out", type=Path, help="file; by default benchmarks/results/gpu-<card>.json for a GPU")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)  # a part in its own process writes there
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
