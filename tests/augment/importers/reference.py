"""The distribution over images that a policy gives, by enumeration: ours, and another library's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from daas.augment import Draw, Policy
from daas.augment.ops import apply
from daas.augment.space import INDEX, OPERATIONS

Distribution = dict[bytes, float]


def picture(size: int, seed: int = 0) -> Image.Image:
    """Coarse colours and some noise, square."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.nn.functional.interpolate(torch.rand(1, 3, 4, 4, generator=random), (size, size), mode="bicubic")[0]
    noise = torch.rand(3, size, size, generator=random)
    return Image.fromarray((190 * coarse + 60 * noise).clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy())


def ours(policy: Policy, image: Image.Image) -> Distribution:
    """Every sub-policy, every subset of it that is applied, every sign: our image and its probability."""
    rows: list[tuple[list[int], list[float]]] = []
    shares: list[float] = []
    total = sum(sub.weight for sub in policy.sub_policies)
    for sub in policy.sub_policies:
        options = []
        for op in sub.ops:
            signs = (1, -1) if OPERATIONS[INDEX[op.op]].signed else (1,)
            applied = [(op.prob / len(signs), INDEX[op.op], sign * (op.value or 0.0)) for sign in signs]
            options.append([choice for choice in [(1 - op.prob, -1, 0.0), *applied] if choice[0] > 0])
        for chosen in itertools.product(*options):
            padded = [*chosen, *[(1.0, -1, 0.0)] * (policy.slots - len(chosen))]
            rows.append(([c[1] for c in padded], [c[2] for c in padded]))
            shares.append(sub.weight / total * float(np.prod([c[0] for c in chosen])))
    op = torch.tensor([row[0] for row in rows])
    value = torch.tensor([row[1] for row in rows], dtype=torch.float64)
    draw = Draw(op, value, torch.zeros(*op.shape, 2, dtype=torch.float64))
    batch = torch.from_numpy(np.array(image)).permute(2, 0, 1).expand(len(rows), -1, -1, -1)
    return gather(zip(apply(batch, draw, policy.fill).permute(0, 2, 3, 1).contiguous().numpy(), shares, strict=True))


def theirs(
    subs: Iterable[tuple[float, Sequence[Any]]], image: Image.Image, run: Callable[[Any, Image.Image, int], Image.Image]
) -> Distribution:
    """The same of (weight, operations): ``run(operation, image, sign)``; operations have a ``prob`` in front."""
    found = []
    weights = list(subs)
    total = sum(weight for weight, _ in weights)
    cache: dict[Any, Image.Image] = {}
    for weight, ops in weights:
        for steps in itertools.product((0, 1, -1), repeat=len(ops)):  # not applied, or applied with a sign
            share, key, result = weight / total, (), image
            for (prob, operation), step in zip(ops, steps, strict=True):
                share *= prob / 2 if step else 1 - prob
                if step and share > 0:
                    key = (*key, (operation, step))
                    if key not in cache:
                        cache[key] = run(operation, result, step)
                    result = cache[key]
            if share > 0:
                found.append((np.array(result), share))
    return gather(found)


def gather(pairs: Iterable[tuple[Any, float]]) -> Distribution:
    """Equal images together."""
    found: Distribution = {}
    for image, share in pairs:
        found[image.tobytes()] = found.get(image.tobytes(), 0.0) + share
    return found


def assert_same(a: Distribution, b: Distribution) -> None:
    """The same images with the same probabilities."""
    assert sum(a.values()) == pytest.approx(1.0)
    assert a.keys() == b.keys(), f"{len(a.keys() - b.keys())} and {len(b.keys() - a.keys())} images are in one only"
    for image, share in a.items():
        assert share == pytest.approx(b[image], abs=1e-9)
