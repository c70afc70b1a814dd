"""``python -m benchmarks.augment_parity``: how far each operation is from Pillow's, on uint8, on both paths.

Every operation, base transforms included, runs at its ten magnitudes with random signs and centres, on pictures like
photographs, noise, narrow ranges and constant images; rotations also at any angle. The last rows are policies of two
operations: random ones, and the shipped ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.pillow_policy import reference
from benchmarks.rivals import pictures as photographs
from benchmarks.timing import table, write
from daas import DAASPolicy, Policy, list_policies
from daas.augment import Draw
from daas.augment.ops import Backend, Interpolation, apply
from daas.augment.space import INDEX, at, known, magnitude_table

SIZES = ((32, 32), (33, 47), (224, 224))
BACKENDS: tuple[Backend, ...] = ("numba", "torch")
Found = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=80, help="per operation and size; an eighth of it at 224 pixels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found: dict[tuple[str, str], Found] = {}
    cases = [
        (size, channels, *case)
        for size in SIZES
        for channels in (3, 1)
        for case in _cases(options.images // (8 if size[0] > 100 else 1), options.seed)
    ]
    for size, channels, name, interpolation, draw in tqdm(cases, disable=None, leave=False):
        images = pictures(len(draw), size, channels, options.seed)
        expected = reference(images, draw, interpolation)
        for backend in BACKENDS:
            result = apply(images, draw, backend=backend, interpolation=interpolation)
            _add(found.setdefault((name, backend), {}), result, expected)
    rows = [
        [name, backend, f"{v['largest']:g}", f"{v['sum'] / v['values']:.2g}",
         f"{100 * v['different'] / v['values']:.2g} %", f"{v['values'] / 1e6:.1f} M"]
        for (name, backend), v in found.items()
    ]  # fmt: skip
    sizes = ", ".join(f"{w} x {h}" for h, w in SIZES)
    text = (
        f"Levels of 0 to 255 by which results differ from Pillow's; images of {sizes} pixels, three channels and one."
    )
    head = ["", "path", "largest", "mean", "values that differ", "values compared"]
    command = f"python -m benchmarks.augment_parity --images {options.images} --seed {options.seed}"
    figures = {f"{name}, {backend}": values for (name, backend), values in found.items()}
    write("augment_parity", command, f"{text}\n\n{table(head, rows)}", figures)


def pictures(count: int, size: tuple[int, int], channels: int, seed: int) -> Tensor:
    """A half like photographs; the others noise, of a narrow range, or constant: [count, channels, H, W] uint8."""
    images = photographs(count, max(size), seed)[:, :channels, : size[0], : size[1]].clone()
    random = torch.Generator().manual_seed(seed)
    images[1::4] = torch.randint(256, images[1::4].shape, generator=random, dtype=torch.uint8)
    images[2::8] = 90 + images[2::8] // 6
    images[3::8] = torch.randint(256, (len(images[3::8]), channels, 1, 1), generator=random, dtype=torch.uint8)
    return images


def _cases(count: int, seed: int) -> Iterator[tuple[str, Interpolation, Draw]]:
    """Name, interpolation and draw."""
    random = torch.Generator().manual_seed(seed)
    names = [row.name for row in known()]
    levels = magnitude_table(names)
    applied = torch.ones(count, 1, dtype=torch.bool)
    for name in names:
        op = torch.full((count, 1), INDEX[name])
        draw = Draw.from_choices(op, levels[op, torch.arange(count).view(-1, 1) % 10], applied, random)
        yield name, "nearest", draw
        if at(INDEX[name]).matrix is not None:
            yield f"{name}, bilinear", "bilinear", draw
    angle = torch.rand(count, 1, generator=random, dtype=torch.float64) * 180
    rotate = torch.full((count, 1), INDEX["Rotate"])
    yield "Rotate, any angle", "nearest", Draw.from_choices(rotate, angle, applied, random)
    yield "random policies", "nearest", DAASPolicy(Policy.random(random)).sample(count, random)
    for shipped in list_policies():
        yield shipped, "nearest", DAASPolicy.load(shipped).sample(count, random)


def _add(found: Found, result: Tensor, expected: Tensor) -> None:
    difference = (result.int() - expected.int()).abs()
    found["largest"] = max(float(difference.max()), found.get("largest", 0.0))
    for key, value in (
        ("sum", difference.sum()),
        ("different", (difference > 0).sum()),
        ("values", difference.numel()),
    ):
        found[key] = float(value) + found.get(key, 0.0)


if __name__ == "__main__":
    main()
