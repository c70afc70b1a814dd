"""Part (a): the bits against Pillow's.

Alone, also on the CPU through Triton's interpreter:
``TRITON_INTERPRET=1 python -m benchmarks.gpu.parity --policies 2000 --sizes 16``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.augment_parity import pictures
from benchmarks.gpu.setting import Rows, Setting
from benchmarks.pillow_policy import reference
from daas import DAASPolicy, list_policies
from daas.augment import Draw, Policy, gpu
from daas.augment.ops import Backend, apply
from daas.augment.space import INDEX, known, magnitude_table

Case = tuple[str, Draw]
_AT_ONCE = 64  # images


def operations(count: int, seed: int) -> Iterator[Case]:
    """Every operation on ``count`` images, at levels of the search space."""
    random = torch.Generator().manual_seed(seed)
    names = [row.name for row in known()]
    levels = magnitude_table(names)
    for name in names:
        op = torch.full((count, 1), INDEX[name])
        level = torch.randint(10, op.shape, generator=random)
        yield name, Draw.from_choices(op, levels[op, level], torch.ones_like(op, dtype=torch.bool), random)


def pairs(count: int, seed: int) -> Iterator[Case]:
    """``count`` random policies of two operations, one image each."""
    random = torch.Generator().manual_seed(seed)
    levels = magnitude_table([row.name for row in known()])
    op = torch.randint(len(levels), (count, 2), generator=random)
    level = torch.randint(10, op.shape, generator=random)
    drawn = Draw.from_choices(op, levels[op, level], torch.ones_like(op, dtype=torch.bool), random)
    for start in range(0, count, _AT_ONCE):
        yield "random two-operation policies", drawn[start : start + _AT_ONCE]


def shipped(count: int, seed: int) -> Iterator[Case]:
    """The shipped policies and a random one, ``count`` images each."""
    random = torch.Generator().manual_seed(seed)
    for name in list_policies():
        yield name, DAASPolicy.load(name).sample(count, random)
    yield "random policy", DAASPolicy(Policy.random(random)).sample(count, random)


def compared(cases: Iterator[Case], size: int, channels: int, backend: Backend, device: str) -> list[dict[str, Any]]:
    """One row per name: images, and how many of them differ from Pillow's in any byte."""
    rows: dict[str, dict[str, Any]] = {}
    for number, (name, draw) in enumerate(cases):
        images = pictures(len(draw), (size, size + size % 2), channels, number)
        found = apply(images.to(device), draw, backend=backend).cpu()
        different = (found != reference(images, draw)).flatten(1).any(1)
        row = rows.setdefault(
            name, {"what": name, "backend": backend, "size": size, "channels": channels, "images": 0, "differ": 0}
        )
        row["images"] += len(draw)
        row["differ"] += int(different.sum())
    return list(rows.values())


def parity(device: str, sizes: Sequence[int], each: int, policies: int, backends: Sequence[Backend]) -> dict[str, Any]:
    """All operations, random pairs and shipped policies at these sizes; rows that differ, and totals."""
    rows: list[dict[str, Any]] = []
    for backend in backends:
        for size in sizes:
            for channels in (3, 1):
                rows += compared(operations(each, size), size, channels, backend, device)
            rows += compared(pairs(policies, size), size, 3, backend, device)
            rows += compared(shipped(each, size), size, 3, backend, device)
    return {
        "images": sum(row["images"] for row in rows),
        "differ": sum(row["differ"] for row in rows),
        "rows that differ": [row for row in rows if row["differ"]],
    }


def rows(setting: Setting) -> Rows:
    """One row per backend and size."""
    began = time.monotonic()
    device = setting.device
    backends: list[Backend] = ["torch"] if gpu.reason_against(device) else ["triton", "torch"]
    sizes, each, policies = ((7,), 1, 4) if setting.smoke else ((32, 33, 97, 224), 16, 500)
    for size in sizes:
        for backend in backends:
            if setting.left(began) <= 0:
                return
            yield {"what": backend, "pixels": size, **parity(str(device), [size], each, policies, [backend])}
    if "triton" in backends:
        for size in (32, 224):
            yield comparison(torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device))


def comparison(like: torch.Tensor) -> dict[str, Any]:
    """What ``backend="auto"`` asks of a device before it takes the kernels, and how long that takes."""
    from daas.augment.gpu.proof import differing

    began = time.monotonic()
    reason = differing(like, gpu.Build(2, torch.float32))
    return {"what": "auto, normalised", "pixels": like.shape[-1], "takes": "torch" if reason else "triton",
            "reason": reason, "seconds": round(time.monotonic() - began, 2)}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[7, 16, 33], help="of images: S x S, odd ones S x (S + 1)"
    )
    parser.add_argument("--each", type=int, default=2, help="images per operation and shipped policy")
    parser.add_argument("--policies", type=int, default=100, help="random two-operation policies, per size")
    options = parser.parse_args(argv)
    start = time.perf_counter()
    found = parity(options.device, options.sizes, options.each, options.policies, ["triton"])
    for row in found["rows that differ"]:
        print(row)
    print(f"{found['images']} images on {options.device}, {found['differ']} differ from Pillow's "
          f"({options.policies} random two-operation policies per size; sizes {options.sizes}; "
          f"{time.perf_counter() - start:.0f} s)")  # fmt: skip
    return 1 if found["differ"] else 0


if __name__ == "__main__":
    sys.exit(main())
