"""The output folder of a search: which files it holds, and that no other run's files are written over."""

from __future__ import annotations

import os
from pathlib import Path

from daas import checkpoint
from daas.errors import BadInput
from daas.search.options import SearchConfig

CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = checkpoint.previous(Path(CHECKPOINT)).name
METRICS = "metrics.jsonl"
RESULTS = ("genotype.json", "policy.json", "summary.json", METRICS, "report.html")
SEEDS = "seeds.json"


def checkpoint_to_resume(config: SearchConfig) -> Path | None:
    """The checkpoint to go on from, or None for a new run.

    Raises:
        BadInput: --out holds another run, or a --resume that is not there.
    """
    out = config.out
    if out is None:
        return None
    if os.path.exists(out) and not os.path.isdir(out):
        raise BadInput(f"--out {out} is a file; name a folder.")
    named = Path(config.resume) if config.resume not in ("", "auto") else None
    if named is not None and not os.path.isfile(named):
        raise BadInput(f"--resume {named}: there is no such checkpoint. auto takes the one in --out.")
    if named is not None and named.resolve().parent == out.resolve():
        return named
    present = present_in(out)
    if config.resume == "auto" and {CHECKPOINT, PREVIOUS} & set(present):
        return out / CHECKPOINT
    if present:
        raise occupied(out, present)
    return named


def folder(config: SearchConfig) -> Path:
    """The output folder of a search that must have one.

    Raises:
        BadInput: It has none.
    """
    if config.out is None:
        raise BadInput("Several seeds are several folders below --out; name one.")
    return config.out


def present_in(out: Path) -> list[str]:
    """Files of a search that a folder holds."""
    return [name for name in (*RESULTS, SEEDS, CHECKPOINT, PREVIOUS) if os.path.exists(out / name)]


def occupied(out: Path, present: list[str]) -> BadInput:
    """The error of a folder that holds another run's files."""
    return BadInput(
        f"--out {out} holds another run ({', '.join(present)}), and nothing is written over. Go on with it "
        "by --resume auto, or choose another folder."
    )
