"""``python -m benchmarks.cross_term --data-dir DIR``: what per-image credit leaves out under batch norm.

With batch norm the policy of one image also changes the losses of the others. Rewards of an image's own loss leave that
out; those of its influence count it. Here one image of a batch after another gets each of the 15 operations, everything
else held, and three changes are measured: of its own reward, of the sum of all others' (both exact, by forward-mode
differentiation), and of the reward of its influence, which should be the sum of the two.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from benchmarks.estimator_variance import train_with
from benchmarks.planted import ETA, build, halves
from benchmarks.timing import table, write
from daas.augment.draw import Draw
from daas.augment.ops import apply
from daas.augment.space import OPERATION_NAMES
from daas.data import BatchStream, load_images
from daas.search.algorithm.estimators import Uniform
from daas.search.algorithm.gradients import directional_derivative, one_step_ahead
from daas.search.algorithm.influence import influence_rewards
from daas.search.algorithm.state import State
from daas.search.spaces.cells import ArchitectureDistribution
from daas.search.spaces.supernet import SuperNet
from daas.seeds import generator

NETWORKS = {
    "convnet": "Small convnet with batch norm",
    "supernet": "Paths of a supernet of 5 cells and 8 channels, another one for every batch,",
}


def changes(search: State, train: BatchStream, val: BatchStream, step: int, images: int) -> Tensor:
    """[images, 15, 3]: change of an image's own reward, of the others' sum, of its influence, against no operation."""
    assert search.augmentation is not None
    pixels, labels = train.batch(step)
    x_val, y_val = val.batch(step)
    random = generator(step)
    pixels = search.preparation.crop_flip(pixels, random)
    sample = search.augmentation.sample(len(pixels), random)
    others = apply(pixels, search.augmentation.to_draw(sample, len(pixels), random))
    z = None if search.architecture is None else search.architecture.sample(generator(step), 1.0)
    theta = search.network.active(z)
    weights = list(theta.values())

    def losses(batch: Tensor, named: dict[str, Tensor]) -> Tensor:
        logits = search.logits(search.preparation.normalize(batch), z, weights=named)
        return cross_entropy(logits, labels, reduction="none")

    g = torch.autograd.grad(losses(others, dict(theta)).mean(), weights)
    with one_step_ahead(weights, g, ETA):
        logits = search.logits(search.preparation.normalize(x_val), z)
        v = torch.autograd.grad(cross_entropy(logits, y_val), weights)

    def influence(batch: Tensor) -> Tensor:
        return influence_rewards(partial(losses, batch, dict(theta)), search.preparation.normalize(batch), weights, v)

    found = torch.zeros(images, len(OPERATION_NAMES), 3)
    for b in range(images):
        level = torch.randint(10, (len(OPERATION_NAMES),), generator=random)
        value = search.augmentation.table[torch.arange(len(OPERATION_NAMES)), level]
        candidates = Draw.from_choices(
            torch.arange(len(OPERATION_NAMES)).unsqueeze(1),
            value.unsqueeze(1),
            torch.ones(len(OPERATION_NAMES), 1, dtype=torch.bool),
            random,
        )
        rows = []
        for image in [pixels[b], *apply(pixels[b].expand(len(OPERATION_NAMES), -1, -1, -1).contiguous(), candidates)]:
            batch = others.clone()
            batch[b] = image
            rewards = directional_derivative(lambda named, batch=batch: losses(batch, named), theta, v)
            rows.append(torch.stack([rewards[b], rewards.sum() - rewards[b], influence(batch)[b]]))
        found[b] = torch.stack(rows[1:]) - rows[0]
    return found


def main() -> None:
    options = _options()
    images = load_images(data_dir=options.data_dir)
    data = halves(images, 4000, 0)
    train, val = (BatchStream(half, 64, k) for k, half in enumerate(data))
    search = build(0, len(images.class_names), data[0], Uniform(policies=1), shared=False)
    if options.network == "supernet":
        put_supernet(search, len(images.class_names))
    train_with(search, train, val, Uniform(policies=1), options.train, 0)
    found = torch.cat(
        [changes(search, train, val, 10_000 + k, options.images) for k in tqdm(range(options.batches), disable=None)]
    )
    mean, error = found.mean(0), found.std(0) / len(found) ** 0.5
    rows = [
        [name, *(f"{float(mean[o, k]):+.2f} (se {float(error[o, k]):.2f})" for k in range(3))]
        for o, name in enumerate(OPERATION_NAMES)
    ]
    own, cross, seen = (mean[:, k] - mean[:, k].mean() for k in range(3))  # a gradient of pi sees differences alone
    total = found[..., 0] + found[..., 1]
    facts = {
        "cosine of own and own + cross": float(torch.cosine_similarity(own, own + cross, dim=0)),
        "norm of cross / norm of own": float(cross.norm() / own.norm()),
        "correlation of cross and own": float(torch.cosine_similarity(own, cross, dim=0)),
        "cosine of influence and own + cross": float(torch.cosine_similarity(seen, own + cross, dim=0)),
        "correlation of own with own + cross, change by change": _correlation(found[..., 0], total),
        "correlation of influence with own + cross, change by change": _correlation(found[..., 2], total),
        "correlation of influence - own with cross, change by change": _correlation(
            found[..., 2] - found[..., 0], found[..., 1]
        ),
    }
    text = (
        f"{NETWORKS[options.network]} after {options.train} iterations under uniform policies, batch 64, "
        f"{len(found)} images in {options.batches} batches. Change of the reward against no operation, with its "
        "standard error.\n\n"
        + table(["operation", "of the image itself", "of the 63 others together", "of its influence"], rows)
        + "\n\n"
        + "\n".join(f"- {name}: {value:.2f}" for name, value in facts.items())
    )
    figures = {**facts, "mean": mean.tolist(), "standard_error": error.tolist(), "images": len(found)}
    name = "cross_term" if options.network == "convnet" else "cross_term_supernet"
    command = (
        f"python -m benchmarks.cross_term --data-dir {options.data_dir.name} --network {options.network} "
        f"--train {options.train} --batches {options.batches} --images {options.images}"
    )
    write(name, command, text, figures)


def put_supernet(search: State, classes: int) -> None:
    """A supernet instead of the search's network; alpha and beta stay uniform."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        search.network = SuperNet(classes, 8, 5).to(memory_format=torch.channels_last)
    search.architecture = ArchitectureDistribution(4, generator=generator(0, 1))
    search.architecture_optimizer = torch.optim.SGD(search.architecture.parameters(), 0.0)


def _correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="a folder of class folders, or a .tar of one")
    parser.add_argument("--network", choices=list(NETWORKS), default="convnet")
    parser.add_argument("--train", type=int, default=400, help="iterations before the measurement")
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--images", type=int, default=8, help="of each batch that are changed, one after another")
    return parser.parse_args()


if __name__ == "__main__":
    main()
