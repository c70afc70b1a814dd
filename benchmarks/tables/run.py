"""``python -m benchmarks.tables.run --table 6 --seed 0``: the searches and trainings of one table, for one seed.

Goes on where it stopped: what has a line in the records is not run again, and a search or training that was interrupted
resumes from its checkpoint. Two processes may work on different seeds at the same time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):  # called by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.tables.jobs import ROOT, Failed, Workshop
from benchmarks.tables.plan import TABLES
from benchmarks.tables.scale import SCALES


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", required=True, choices=list(TABLES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", nargs="+", default=[], help="only these rows of the table, by their names")
    parser.add_argument("--scale", choices=list(SCALES), default="overfits")
    parser.add_argument("--smoke", action="store_true", help="a miniature that only shows that everything runs")
    parser.add_argument("--data-dir", type=Path, help="folder of *train*.tar and *test*.tar with class folders; with "
                        "--smoke pictures are made up if it is left out")  # fmt: skip
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "tables", help="folder of all runs")
    parser.add_argument("--lines", type=Path, help="records; by default benchmarks/results/tables/SCALE-SEED.jsonl")
    options = parser.parse_args(argv)
    scale = SCALES["smoke" if options.smoke else options.scale]
    if options.smoke:
        lines = options.lines or options.work / "smoke.jsonl"
        data = options.data_dir or made_up(options.work / "made-up")
    else:
        lines = options.lines or ROOT / "benchmarks" / "results" / "tables" / f"{scale.name}-{options.seed}.jsonl"
        data = options.data_dir
    if data is None:
        parser.error("--data-dir is needed: a folder with CIFAR-10 as *train*.tar and *test*.tar of class folders")
    plan = TABLES[options.table](scale)
    unknown = set(options.rows) - {training.row for training in plan}
    if unknown:
        names = "; ".join(training.row for training in plan)
        parser.error(f"table {options.table} has no row {sorted(unknown)[0]!r}; it has: {names}")
    try:
        workshop = Workshop.open(scale, data, options.work, lines)
        chosen = [training for training in plan if not options.rows or training.row in options.rows]
        workshop.train_all(options.table, chosen, options.seed)
    except (Failed, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return 130
    return 0


def made_up(folder: Path) -> Path:
    """Archives of pictures of two classes, bright and dark noise, for ``--smoke`` without a data set."""
    import io
    import tarfile

    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        with tarfile.open(folder / f"made-up-{split}.tar", "w:") as archive:
            for index in range(100):
                name = ("dark", "bright")[index % 2]
                pixels = random.integers(0, 156, (32, 32, 3)) + 100 * (index % 2)
                picture = io.BytesIO()
                Image.fromarray(pixels.astype(np.uint8)).save(picture, "PNG")
                entry = tarfile.TarInfo(f"{name}/{index:03d}.png")
                entry.size = picture.tell()
                picture.seek(0)
                archive.addfile(entry, picture)
    return folder


if __name__ == "__main__":
    sys.exit(main())
