"""The main job on embedded data: what is safe for scanned digits, a network and a policy for them, what they are worth.

First the screen: one training that says which augmentations change what a digit is. Then a joint search. Then the
found network is trained from scratch under the screened policy, under the found one and under none, three seeds each.
A second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import daas
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
    found, screened = options.out / "search", options.out / "screen"
    start = time.monotonic()
    try:
        seen = daas.screen("digits", out=screened, resume="auto", max_images=600)
        print(f"{seen}\n\nScreen: {time.monotonic() - start:.0f} s. Now the search.\n")
        daas.search("digits", preset="demo", out=found, resume="auto")
    except daas.BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"\n{stopped}", file=sys.stderr)
        return 130
    print(f"\n{time.monotonic() - start:.0f} s so far. Now trainings from scratch, {len(SEEDS)} seeds each.\n")
    policies = {"screened policy": screened / "policy.json", "found policy": found / "policy.json", "no policy": None}
    rows: dict[str, list[float]] = {name: [] for name in policies}
    for seed in SEEDS:
        for name, policy in policies.items():
            print(f"{name}, seed {seed}")
            accuracy = retrain(
                name.replace(" ", "-"), seed, found / "genotype.json", policy, options.out, options.epochs
            )
            rows[name].append(accuracy)
    print(f"\nThe found network on the 500 test digits, after {options.epochs} epochs, percent right:")
    for name, values in rows.items():
        print(f"  {name:<16} {statistics.mean(values):6.2f} +- {statistics.stdev(values):.2f} (n = {len(values)})")
    print(f"\n{answer(rows, seen.flip)}\nPages: {screened / 'screen.html'}, {found / 'report.html'}")
    return 0


def answer(rows: dict[str, list[float]], flip: float) -> str:
    """The end of the demo in two sentences: what to do with digits, and how sure that is."""
    first, second = sorted(rows, key=lambda name: -statistics.mean(rows[name]))[:2]
    gaps = [a - b for a, b in zip(rows[first], rows[second], strict=True)]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5
    sure = statistics.mean(gaps) > 4.3 * error  # Student's t at 95%, two degrees of freedom
    told = "is ahead" if sure else "and the next one cannot be told apart"
    flipping = "A flip is harmless here." if flip else "Train digits without a flip."
    return (
        f"{flipping} {first.capitalize()} {told} ({first} minus {second}: {statistics.mean(gaps):+.2f} +- {error:.2f})."
    )


if __name__ == "__main__":
    sys.exit(main())
