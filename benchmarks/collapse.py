"""``python -m benchmarks.collapse``: how often do ``demo`` and ``cpu`` collapse, and what does a limit of skips do?

The plan, with what is decided by the figures, is ``benchmarks/results/collapse-plan.md``. Every search and training
that is done is a line of ``benchmarks/results/collapse.jsonl``; a later call does what is missing. ``--table`` makes
``collapse.md`` of the lines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.regret_lines import Lines
from benchmarks.tables.records import revision
from benchmarks.tables.statistics import Estimate, estimate
from benchmarks.timing import table
from daas import checkpoint
from daas.data import ImageData, load_images
from daas.files import write_text
from daas.models import Genotype
from daas.race.candidates import network
from daas.reading import read_json
from daas.search.budget.budget import limit_cells
from daas.search.report.warnings import skip_share
from daas.search.spaces.cells import ArchitectureDistribution
from daas.seeds import generator
from daas.train.fit import Recipe, fit

RESULTS = Path(__file__).parent / "results" / "collapse.jsonl"
SEEDS, TRAININGS = tuple(range(10)), (0, 1, 2)
LIMITS: dict[str, int | None] = {"none": None, "4": 4, "3": 3, "2": 2, "1": 1, "0": 0}
COMPARED = ("none", "2")
CPU = "cpu, searched"
_IMAGES, _EPOCHS, _STEP = 300, 20, 0.05
_SUBSET = 601  # what a random stream is for
SIZE = {"channels": 8, "layers": 4}


def searched(seed: int, folder: Path, preset: str = "demo") -> tuple[ArchitectureDistribution, float]:
    """Alpha and beta at the end of a search of a preset, kept in a folder, and its seconds."""
    import daas

    if not (folder / "summary.json").is_file():
        daas.search("digits", preset=preset, seed=seed, out=folder, resume="auto", screen=False, race=0)
    summary = read_json(folder / "summary.json", "summary")
    cells = ArchitectureDistribution(summary["options"]["nodes"], summary["primitives"])
    tensors = checkpoint.load(folder / "checkpoint.safetensors")[0]
    with torch.no_grad():
        for name, parameter in cells.named_parameters():
            parameter.copy_(tensors[f"architecture.{name}"])
    return cells, float(summary["seconds"])


def derived(cells: ArchitectureDistribution, most: int | None) -> Genotype:
    """The cells with at most so many skips each."""
    limit_cells(cells, None, most)
    return cells.derive()


def pushed(cells: ArchitectureDistribution) -> float:
    """Raises the skips' logits in the normal cell until half of its edges are skips; by how much."""
    skip, raised = cells.primitives.index("skip_connect"), 0.0
    while skip_share(derived(cells, None), "normal") < 0.5:
        with torch.no_grad():
            cells.alpha[0, :, skip] += _STEP
        raised += _STEP
    return raised


def trained(genotype: Genotype, seed: int) -> float:
    """Accuracy (percent) on the test digits of a network of these cells, trained on 300 of the training digits."""
    train, test = _digits()
    net = network(genotype, SIZE)
    fitted = fit(net.maker(train.class_names), train, test, Recipe(epochs=_EPOCHS, hflip=0.0), seed=seed)
    return fitted.accuracy


@cache
def _digits() -> tuple[ImageData, ImageData]:
    train, test = (load_images("digits", split=split) for split in ("train", "test"))
    return train.subset(torch.randperm(len(train), generator=generator(0, _SUBSET))[:_IMAGES].sort().values), test


def go(seed: int, folder: Path, lines: Lines, trainings: Sequence[int] = TRAININGS) -> None:
    """One search, its cells within every limit, and the trainings of collapsed and of limited cells."""
    cells, seconds = searched(seed, folder)
    for state in ("searched", "pushed"):
        raised = pushed(cells) if state == "pushed" else 0.0
        found = {name: derived(cells, most) for name, most in LIMITS.items()}
        if lines.find({"kind": "cells", "seed": seed, "state": state}) is None:
            shares = {name: [skip_share(one, cell) for cell in ("normal", "reduce")] for name, one in found.items()}
            line = {"kind": "cells", "seed": seed, "state": state, "raised": round(raised, 2), "skips": shares}
            genotypes = {name: found[name].to_dict() for name in COMPARED}
            lines.append({**line, "genotypes": genotypes, "seconds": round(seconds, 1), **_origin(seed)})
        if found[COMPARED[0]].normal == found[COMPARED[1]].normal:
            continue
        _train(seed, state, found, lines, trainings)


def _train(
    seed: int, state: str, found: dict[str, Genotype], lines: Lines, trainings: Sequence[int] = TRAININGS
) -> None:
    """Networks of both cells that are compared."""
    for training in trainings:
        for name in COMPARED:
            key = {"kind": "training", "seed": seed, "state": state, "limit": name, "training": training}
            if lines.find(key) is None:
                start = time.monotonic()
                accuracy = trained(found[name], training)
                spent = round(time.monotonic() - start, 1)
                lines.append({**key, "accuracy": accuracy, "seconds": spent, **_origin(seed)})


def go_cpu(seed: int, folder: Path, lines: Lines) -> None:
    """One search of the preset ``cpu``, its cells within every limit, and trainings where it has collapsed."""
    key = {"kind": "cells", "seed": seed, "state": CPU}
    known = lines.find(key)
    if known is None:
        cells, seconds = searched(seed, folder, "cpu")
        found = {name: derived(cells, most) for name, most in LIMITS.items()}
        shares = {name: [skip_share(one, cell) for cell in ("normal", "reduce")] for name, one in found.items()}
        genotypes = {name: found[name].to_dict() for name in COMPARED}
        origin = _origin(seed, " --preset cpu")
        about = {"raised": 0.0, "skips": shares, "genotypes": genotypes, "seconds": round(seconds, 1)}
        known = {**key, **about, **origin}
        lines.append(known)
    if known["skips"][COMPARED[0]][0] >= 0.5:
        both = {name: Genotype.from_dict(known["genotypes"][name]) for name in COMPARED}
        _train(seed, CPU, both, lines)


def _origin(seed: int, words: str = "") -> dict[str, str]:
    return {"command": f"python -m benchmarks.collapse --seed {seed}{words}", "revision": _revision()}


@cache
def _revision() -> str:
    return revision(Path(__file__).parents[1])


def differences(lines: Lines, state: str) -> dict[int, float]:
    """With the limit minus without, by search: the mean over its trainings, of those that have both."""
    found: dict[int, list[float]] = {}
    for line in lines:
        if (line["kind"], line.get("limit"), line["state"]) == ("training", COMPARED[1], state):
            same = {name: line[name] for name in ("kind", "seed", "state", "training")}
            other = lines.find({**same, "limit": COMPARED[0]})
            if other is not None:
                found.setdefault(line["seed"], []).append(line["accuracy"] - other["accuracy"])
    return {seed: estimate(values).mean for seed, values in found.items()}


def page(lines: Lines) -> str:
    """collapse.md."""
    text = ["# What a limit of skip connections does", "", "`python -m benchmarks.collapse`; plan: `collapse-plan.md`."]
    titles = {
        "searched": "Searches of demo as they are",
        "pushed": "The same, pushed until they collapse",
        CPU: "Searches of cpu as they are",
    }
    for state, title in titles.items():
        rows = [line for line in lines if line["kind"] == "cells" and line["state"] == state]
        if not rows:
            continue
        collapsed = sum(row["skips"]["none"][0] >= 0.5 for row in rows)
        seeds = ", ".join(str(row["seed"]) for row in rows)
        told = f"Half or more of the normal cell's edges are skips without a limit in {collapsed} of {len(rows)}."
        text += ["", f"## {title}", "", f"Seeds {seeds}. {told}", ""]
        head = ["at most", "normal cell: share of skips", "reduction cell"]
        body = [[name, *(_words(estimate([row["skips"][name][cell] for row in rows]), 3) for cell in range(2))]
                for name in LIMITS]  # fmt: skip
        text += [table(head, body)]
        means = differences(lines, state)
        if means:
            text += ["", "Accuracy of the trained networks, percent:", "", *_accuracies(lines, state, means)]
    return "\n".join(text) + "\n"


def _accuracies(lines: Lines, state: str, means: dict[int, float]) -> list[str]:
    rows = []
    for seed, mean in means.items():
        key = {"kind": "training", "seed": seed, "state": state}
        trainings = [line for line in lines if all(line.get(name) == value for name, value in key.items())]
        values = [[line["accuracy"] for line in trainings if line["limit"] == name] for name in COMPARED]
        rows.append([str(seed), *(_words(estimate(value), 2) for value in values), f"{mean:+.2f}"])
    over = estimate(list(means.values()))
    low, high = over.mean - over.half_width, over.mean + over.half_width
    interval = "" if over.n < 2 else f", 95% interval {low:+.2f} to {high:+.2f}"
    return [
        table(["search", "without a limit", "at most 2", "difference"], rows),
        "",
        f"Over {over.n} search{'' if over.n == 1 else 'es'}: {_words(over, 2)} points{interval}.",
    ]


def _words(found: Estimate, digits: int) -> str:
    spread = "" if found.n == 1 else f" (sd {found.deviation:.{digits}f}, n = {found.n})"
    return f"{found.mean:.{digits}f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument(
        "--preset", choices=("demo", "cpu"), default="demo", help="of the searches; cpu trains collapsed cells alone"
    )
    parser.add_argument("--training", nargs="+", type=int, default=list(TRAININGS), help="seeds of the trainings")
    parser.add_argument("--lines", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=Path("runs/collapse"), help="where the searches are kept")
    parser.add_argument("--table", action="store_true", help="make the table of the lines that there are")
    options: Any = parser.parse_args()
    lines = Lines(options.lines)
    if options.table:
        write_text(options.lines.with_suffix(".md"), page(lines))
        return
    torch.set_num_threads(1)
    for seed in options.seed:
        if options.preset == "cpu":
            go_cpu(seed, options.out / f"cpu-{seed}", lines)
        else:
            go(seed, options.out / f"seed-{seed}", lines, options.training)


if __name__ == "__main__":
    main()
