"""The output folder of a search: which files it holds, and that no other run's files are written over."""

from __future__ import annotations

from pathlib import Path

from daas import checkpoint
from daas.errors import BadInput
from daas.search.config import SearchConfig

CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = checkpoint.previous(Path(CHECKPOINT)).name
RESULTS = ("genotype.json", "policy.json", "summary.json", "metrics.jsonl", "report.html")
SEEDS = "seeds.json"


def checkpoint_to_resume(config: SearchConfig) -> Path | None:
    """The checkpoint to go on from, or None for a new run.

    Raises:
        BadInput: --out holds another run, or a --resume that is not there.
    """
    out = config.out
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out} is a file; name a folder.")
    if config.resume and config.resume != "auto":
        if not Path(config.resume).is_file():
            raise BadInput(f"--resume {config.resume}: there is no such checkpoint. auto takes the one in --out.")
        return Path(config.resume)
    present = [name for name in (*RESULTS, SEEDS, CHECKPOINT, PREVIOUS) if (out / name).exists()]
    if config.resume == "auto" and {CHECKPOINT, PREVIOUS} & set(present):
        return out / CHECKPOINT
    if present:
        raise BadInput(
            f"--out {out} holds another run ({', '.join(present)}), and nothing is written over. Go on with it "
            "by --resume auto, or choose another folder."
        )
    return None
