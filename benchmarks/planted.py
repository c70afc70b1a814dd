"""``python -m benchmarks.planted --data-dir DIR`` (or ``--digits``): is an operation found that was planted?

Training photographs as they are, validation photographs all carrying one operation: the policy that serves the
validation set is that operation. A small fixed network, all four estimators of gamma, the same number of iterations.
Every finished run is a line of ``benchmarks/results/planted.jsonl``; a later call does what is missing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.timing import table, write
from daas.augment.draw import Draw
from daas.augment.ops import apply
from daas.augment.space import INDEX, OPERATION_NAMES
from daas.data import BatchStream, ImageData, channel_stats, load_images, stratified_halves
from daas.data.images import MemoryImages
from daas.search.algorithm.estimators import NAMED, Sampling
from daas.search.algorithm.state import Moment, Preparation, State
from daas.search.algorithm.step import iteration
from daas.search.spaces.policies import AugmentationDistribution
from daas.search.spaces.supernet import FixedNetwork
from daas.seeds import generator

PLANTED = {
    "Rotate": 30.0, "ShearX": 0.3, "TranslateX": 0.45, "Invert": 0.0, "Brightness": 0.3, "Solarize": 256.0 * 4 / 9,
}  # fmt: skip
"""Operation and magnitude that every validation image carries; shear, translate and rotate with a random sign."""
ESTIMATORS = {"per-image": 1, "policy-gradient": 2, "uniform": 1, "straight-through": 1}
"""Estimator and M, its training passes per iteration: the paper's 2 for its estimator, DADA's single sample."""
RESULTS = Path(__file__).parent / "results" / "planted.jsonl"
ETA = 0.05
_KIND = ("estimator", "reward", "policy_parameters", "reward_batches", "baseline", "iterations", "policies", "data")
_OPTIONAL = ("baseline", "policies", "data")  # of a key: where they are missing, so they are in the line
_SUBSET, _INITIAL, _GAMMA, _PLANT = range(201, 205)  # what a random stream is for


def convnet(num_classes: int, width: int = 16) -> nn.Module:
    """Three convolutions with batch norm: [B, 3, H, W] -> [B, num_classes]."""
    layers: list[nn.Module] = []
    for c_in, c_out in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, num_classes))


def build(seed: int, classes: int, data: ImageData, estimator: Sampling, shared: bool) -> State:
    """A search for the policy of the small network."""
    with torch.random.fork_rng():
        torch.manual_seed(generator(seed, _INITIAL).initial_seed())
        network = FixedNetwork(convnet(classes)).to(memory_format=torch.channels_last)
    distribution = AugmentationDistribution(generator=generator(seed, _GAMMA), shared=shared)
    return State(
        network=network,
        preparation=Preparation(*channel_stats(data), 4, 0.5),
        weights=torch.optim.SGD(network.parameters(), ETA, momentum=0.9, weight_decay=3e-4),
        architecture=None,
        architecture_optimizer=None,
        augmentation=distribution,
        augmentation_optimizer=torch.optim.Adam(distribution.parameters(), 0.01, betas=(0.5, 0.999)),
        architectures=1,
        estimator=estimator,
        clip_grad=5.0,
        seed=seed,
    )


def halves(images: ImageData, count: int, seed: int) -> tuple[ImageData, ImageData]:
    """``count`` training and ``count`` validation images, drawn evenly over the classes."""
    first, second = stratified_halves(images.labels, seed)
    rank = torch.empty(len(images), dtype=torch.int64)
    for half in (first, second):
        for label in images.labels.unique():
            members = half[images.labels[half] == label]
            rank[members[torch.randperm(len(members), generator=generator(seed, _SUBSET, int(label)))]] = torch.arange(
                len(members)
            )
    train, val = (half[rank[half].argsort(stable=True)[:count]] for half in (first, second))
    return images.subset(train), images.subset(val)


def plant(images: Tensor, operation: str, seed: int) -> Tensor:
    """[N, 3, H, W] uint8, every image with the operation applied."""
    count = len(images)
    op = torch.full((count, 1), INDEX[operation])
    value = torch.full((count, 1), PLANTED[operation], dtype=torch.float64)
    always = torch.ones(count, 1, dtype=torch.bool)
    return apply(images, Draw.from_choices(op, value, always, generator(seed, _PLANT)))


def run(images: ImageData, key: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """One search; its line of results."""
    seed, name = key["seed"], key["estimator"]
    train, val = halves(images, options.images, seed)
    settings: dict[str, Any] = {"policies": key.get("policies", ESTIMATORS[name])}
    if name == "policy-gradient":
        settings["baseline"] = "baseline" in key
    elif name == "per-image":
        settings |= {"reward": key["reward"], "reward_batches": key["reward_batches"]}
    estimator = NAMED[name](**settings)
    search = build(seed, len(images.class_names), train, estimator, key["policy_parameters"] == "shared")
    planted = plant(val.fetch(torch.arange(len(val))), key["operation"], seed)
    val = MemoryImages(val.name, planted, val.labels, val.class_names)
    train_stream, val_stream = (
        BatchStream(data, options.batch_size, seed + k) for k, data in ((0, train), (1000, val))
    )
    start, shares = time.monotonic(), {}
    for step in tqdm(range(options.iterations), desc=f"{key['operation']}, {name}, seed {seed}", disable=None):
        result = iteration(search, train_stream.batch(step), val_stream.batch(step), Moment(step, ETA, 1.0, True))
        if (step + 1) % 200 == 0:
            assert search.augmentation is not None
            share = dict(zip(OPERATION_NAMES, search.augmentation.operation_share().tolist(), strict=True))
            shares[step + 1] = share[key["operation"]]
    assert search.augmentation is not None
    best = sorted(share, key=lambda name: -share[name])
    return {
        **key,
        "share": share[key["operation"]],
        "rank": rank_of(key["operation"], share),
        "first": {name: round(share[name], 4) for name in best[:4]},
        "share_by_iteration": shares,
        "train_loss": float(result.means(torch.device("cpu"))[0]),
        "seconds": round(time.monotonic() - start, 1),
    }


def rank_of(operation: str, share: dict[str, float]) -> float:
    """Its place by share, 1 for the largest; of several with the same share each has the mean of their places."""
    own = round(share[operation], 9)
    others = [round(value, 9) for name, value in share.items() if name != operation]
    return 1 + sum(value > own for value in others) + sum(value == own for value in others) / 2


def main() -> None:
    options = _options()
    done = _read()
    keys = [
        {
            "operation": operation, "estimator": estimator, "seed": seed, "iterations": options.iterations,
            "images": options.images, "batch_size": options.batch_size, "reward": options.reward,
            "policy_parameters": options.policy_parameters,
            "reward_batches": options.reward_batches if estimator == "per-image" else 0,
            **({"baseline": "leave-one-out"} if options.baseline and estimator == "policy-gradient" else {}),
            **({"policies": options.policies} if options.policies else {}),
            **({"data": "digits"} if options.digits else {}),
        }
        for seed in options.seeds
        for estimator in options.estimators
        for operation in options.operations
    ]  # fmt: skip
    missing = [key for key in keys if not any(_is(key, line) for line in done)]
    print(f"{len(keys) - len(missing)} of {len(keys)} runs are there", flush=True)
    if missing:
        images = load_images("digits") if options.digits else load_images(data_dir=options.data_dir)
        for key in missing[: options.limit]:
            line = run(images, key, options)
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    report()


def _is(key: dict[str, Any], line: dict[str, Any]) -> bool:
    """Whether a line of results is that of a key."""
    return key.items() <= line.items() and all((name in key) == (name in line) for name in _OPTIONAL)


def _read() -> list[dict[str, Any]]:
    return [json.loads(text) for text in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []


def report() -> None:
    """Writes the table of all finished runs."""
    kinds: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for line in _read():
        shown = line if line["estimator"] == "per-image" else {**line, "reward": ""}
        kinds.setdefault(tuple(str(shown.get(name, "")) for name in _KIND), []).append(line)
    rows = []
    for kind, found in sorted(kinds.items()):
        cells = []
        for operation in PLANTED:
            of = [line for line in found if line["operation"] == operation]
            ranks = ", ".join(f"{line['rank']:g}" for line in of)
            cells.append(f"{statistics.mean(line['share'] for line in of):.2f}; {ranks}" if of else "")
        rows.append([*kind, str(len(found)), *cells])
    text = (
        "Mean share of the planted operation (0.067 at the start), then its rank among the 15 in each run. A row's "
        "options: --estimators, --reward, --policy-parameters and --reward-batches (R) as in its columns, --baseline "
        "where it has one, --policies (M) where it has one (policy-gradient: 2, others: 1), --digits, and --seeds.\n\n"
        + table(
            ["estimator", "reward", "p and delta", "R", "baseline", "iterations", "M", "data", "runs", *PLANTED], rows
        )
    )
    runs = sum(len(found) for found in kinds.values())
    write("planted", "python -m benchmarks.planted --data-dir cifar10-train.tar", text, {"runs": runs})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--data-dir", type=Path, help="a folder of class folders, or a .tar of one")
    images.add_argument("--digits", action="store_true", help="the embedded digits instead of photographs")
    parser.add_argument("--estimators", nargs="+", choices=list(ESTIMATORS), default=list(ESTIMATORS))
    parser.add_argument("--operations", nargs="+", choices=list(PLANTED), default=list(PLANTED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--iterations", type=int, default=1200)
    parser.add_argument("--images", type=int, default=4000, help="of each half")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--reward", choices=["jvp", "fd", "influence"], default="fd", help="of per-image")
    parser.add_argument("--reward-batches", type=int, default=1, help="of per-image")
    parser.add_argument("--policy-parameters", choices=["per-policy", "shared"], default="per-policy")
    parser.add_argument("--baseline", action="store_true", help="leave-one-out for policy-gradient too")
    parser.add_argument("--policies", type=int, default=None, help="M; by default 2 of policy-gradient, 1 of others")
    parser.add_argument("--limit", type=int, default=None, help="runs of this call")
    return parser.parse_args()


if __name__ == "__main__":
    main()
