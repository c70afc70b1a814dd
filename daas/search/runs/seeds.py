"""The same search under several seeds, one after the other or one per process, and a table of all."""

from __future__ import annotations

import os
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from daas import processes
from daas.files import write_json
from daas.reading import read_json
from daas.search.found import Found, found_in
from daas.search.given import Given
from daas.search.options import SearchConfig, options
from daas.search.report import metrics
from daas.search.report.warnings import COLLAPSED
from daas.search.runs import independent
from daas.search.runs.folder import SEEDS, checkpoint_to_resume, folder
from daas.search.runs.one import search
from daas.search.runs.stop import Diverged

FORMAT = "daas-search-seeds/1"
_COLUMNS = {
    "val_accuracy": "validation accuracy", "val_loss": "validation loss", "skip_share": "skip share",
    "entropy_alpha": "entropy of alpha", "entropy_pi": "entropy of pi", "seconds": "seconds",
}  # fmt: skip


def repeat(config: SearchConfig, given: Given | None = None) -> Found:
    """Searches once per seed of ``config.seeds``; under ``torchrun`` every process takes its share of the seeds.

    With ``--resume auto`` finished searches are only summarised again and the others go on.

    Args:
        config: The options; the search of seed N writes to ``config.out / "seed-N"``.
        given: Objects of all searches.

    Returns:
        The search that is recommended, which is also written to ``config.out`` itself.

    Raises:
        BadInput: Options, images or an output folder that cannot be used; nothing is written over.
        Interrupted: The user stopped; the checkpoint of the running search is saved.
        Diverged: All searches are done, and in some a loss became infinite or not a number.
    """
    given = Given() if given is None else given
    out, runs = folder(config), check_output(config)
    with processes.processes():
        mine = [runs[config.seed_numbers[index]] for index in processes.share(len(runs))]
        first = processes.rank() == 0
        with processes.alone():
            for one in mine:
                _one(one, given)
        processes.wait()
        if first:
            _write(config, runs)
        processes.wait()
    diverged = [str(seed) for seed, one in runs.items() if not os.path.exists(folder(one) / "summary.json")]
    if diverged:
        raise Diverged(f"The searches with seed {', '.join(diverged)} diverged; the table has the others.")
    return found_in(out)


def check_output(config: SearchConfig) -> dict[int, SearchConfig]:
    """The options of the search of each seed.

    Raises:
        BadInput: Options that contradict each other, or a folder that holds another run.
    """
    config.check()
    out = folder(config)
    runs = {seed: replace(config, seed=seed, seeds="", out=out / f"seed-{seed}") for seed in config.seed_numbers}
    if not (config.resume and os.path.exists(out / SEEDS)):
        checkpoint_to_resume(replace(config, resume=""))
    for one in runs.values():
        (independent.check_output if one.mode == "independent" else checkpoint_to_resume)(one)
    return runs


def _one(config: SearchConfig, given: Given) -> None:
    tqdm.write(f"seed {config.seed}, in {config.out}")
    try:
        search(config, given)
    except Diverged as error:
        tqdm.write(f"seed {config.seed}: {error}")


def _write(config: SearchConfig, runs: dict[int, SearchConfig]) -> None:
    rows = [
        _row(seed, folder(one) / "summary.json")
        for seed, one in runs.items()
        if os.path.exists(folder(one) / "summary.json")
    ]
    if not rows:
        return
    columns = [name for name in _COLUMNS if name in rows[0]]
    whole = [row for row in rows if row.get("skip_share", 0.0) < COLLAPSED]
    best = max(rows, key=lambda row: float(row["val_accuracy"]))
    chosen = max(whole or rows, key=lambda row: float(row["val_accuracy"]))
    found = {
        "format": FORMAT,
        "options": options(config),
        "searches": rows,
        "mean": {name: statistics.fmean(row[name] for row in rows) for name in columns},
        "standard_deviation": {
            name: statistics.stdev(row[name] for row in rows) if len(rows) > 1 else None for name in columns
        },
        "best_by_validation_accuracy": {"seed": best["seed"], "folder": f"seed-{best['seed']}"},
        "recommended": {"seed": chosen["seed"], "folder": f"seed-{chosen['seed']}"},
    }
    write_json(folder(config) / SEEDS, found, metrics.GO_ON, indent=2)
    tqdm.write(table(found))
    _say(chosen, best, whole)
    taken = found_in(folder(config) / f"seed-{chosen['seed']}")
    replace(taken, summary={**taken.summary, "seeds": found}).write(folder(config))


def _say(chosen: dict[str, Any], best: dict[str, Any], whole: list[dict[str, Any]]) -> None:
    """Which seed to take, and why."""
    tqdm.write(f"Best by validation accuracy: seed {best['seed']}.")
    if not whole:
        tqdm.write(f"Every search collapsed to skips; seed {chosen['seed']} is the best of them. Search longer.")
    elif chosen["seed"] != best["seed"]:
        tqdm.write(
            "Half of its edges and more are skips, a known collapse, so it is the best of the others that is "
            "recommended."
        )
    tqdm.write(
        f"Recommended: seed {chosen['seed']}, whose files are copied up. It was chosen by this figure, so the figure "
        "flatters it; the mean and standard deviation are those of the method."
    )


def _row(seed: int, path: Path) -> dict[str, Any]:
    summary = read_json(path, "summary")
    row = {"seed": seed, "steps": summary["steps"], "seconds": summary["seconds"]}
    row |= {name: summary[name] for name in ("val_accuracy", "val_loss", "skip_share") if name in summary}
    return row | {f"entropy_{name}": value for name, value in summary["entropy"].items()}


def table(found: dict[str, Any]) -> str:
    """The content of seeds.json for people: one row per seed, then mean and standard deviation."""
    columns = [name for name in _COLUMNS if name in found["mean"]]
    rows = [["seed", *(_COLUMNS[name] for name in columns)]]
    rows += [[str(row["seed"]), *(f"{row[name]:.3f}" for name in columns)] for row in found["searches"]]
    rows.append(["mean", *(f"{found['mean'][name]:.3f}" for name in columns)])
    deviations = [found["standard_deviation"][name] for name in columns]
    rows.append(["sd", *("-" if value is None else f"{value:.3f}" for value in deviations)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
