"""The main job on embedded data: a joint search on scanned digits, then what the found pair is worth.

Searches a network and a policy together, then trains three things from scratch, three seeds each: the found network
under the found policy, the found network without a policy, and a random network under a random policy of the same
spaces (another one for each seed). A second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import daas
from daas import Genotype, Policy
from daas.seeds import generator
from daas.train import TrainOptions, train

SEEDS = (0, 1, 2)


def retrain(name: str, seed: int, genotype: Path, policy: Path | None, out: Path, epochs: int) -> float:
    """Trains a small network from scratch on all training digits: top-1 accuracy on the 500 test digits, percent."""
    options = TrainOptions(
        dataset="digits",
        val_split="test",
        model="daas_cell_cifar",
        model_kwargs={"genotype": str(genotype), "channels": 8, "layers": 5},
        img_size=16,
        aa="" if policy is None else f"daas:{policy}",
        hflip=0.0,
        epochs=epochs,
        warmup_epochs=1,
        batch_size=64,
        lr=0.1,
        weight_decay=3e-4,
        seed=seed,
        output=str(out / "train"),
        experiment=f"{name}-{seed}",
        resume="auto",
    )
    return float(train(options)["top1"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="output folder")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of each training from scratch")
    options = parser.parse_args()
    found = options.out / "search"
    start = time.monotonic()
    try:
        daas.search("digits", preset="demo", out=found, resume="auto")
    except daas.BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"\n{stopped}", file=sys.stderr)
        return 130
    print(f"\nSearch: {time.monotonic() - start:.0f} s. Training three pairs with {len(SEEDS)} seeds each.\n")
    rows: dict[str, list[float]] = {
        "found network, found policy": [],
        "found network, no policy": [],
        "random pair": [],
    }
    for seed in SEEDS:
        genotype, policy = options.out / f"random-{seed}.genotype.json", options.out / f"random-{seed}.policy.json"
        Genotype.random(generator(seed, 1)).save(genotype)
        Policy.random(generator(seed, 2)).save(policy)
        pairs = ((found / "genotype.json", found / "policy.json"), (found / "genotype.json", None), (genotype, policy))
        for row, (network, augmentation) in zip(rows, pairs, strict=True):
            print(f"{row}, seed {seed}")
            rows[row].append(
                retrain(
                    row.replace(", ", "-").replace(" ", "_"), seed, network, augmentation, options.out, options.epochs
                )
            )
    print(f"\nTop-1 accuracy on the 500 test digits after {options.epochs} epochs, percent")
    for row, values in rows.items():
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        print(f"  {row:<30} {mean:6.2f} +- {deviation:.2f} (n = {len(values)})")
    print(f"\nReport: {found / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
