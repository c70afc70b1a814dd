"""Part (c): seconds and memory of an iteration of the search, of DARTS, GDAS and PC-DARTS, from the same cells."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

import daas
from benchmarks.gpu.setting import Row, Rows, Setting
from benchmarks.search_cost import CONTESTANTS, REFERENCE, Ours, batches
from daas.errors import BadInput
from daas.search.algorithm.estimators import PolicyGradient
from daas.search.graphs.passes import Passes, recorders_on

PAPER = 390 * (20 + 30)
"""Iterations of the paper's search on CIFAR-10."""
JOINT = "policy-gradient, N=5, M=2"
GRAPHS = ", graphs"
FIXED = "--mode aug, cells of DARTS, M=2"
ARCH, GDAS, FD = "--mode arch, N=5", "--mode arch --arch-estimator gdas", "per-image, fd, N=5, M=2"
_FIRST = 16
"""Iterations after which most candidates have been sampled, and captured."""


def rows(setting: Setting) -> Rows:
    """One row per kind of iteration, with what it is against DARTS; those from CUDA graphs beside those without."""
    began = time.monotonic()
    channels, layers, size, many = (4, 3, 4, 3) if setting.smoke else (16, 8, 64, 16)
    data = [tuple(part.to(setting.device) for part in batch) for batch in batches(size)]
    first: Row = {}
    for name, run, counted in _runs(setting, channels, layers, many):
        if setting.left(began) <= 0:
            return
        row: Row = {"what": name}
        once = partial(run, *data)
        gc.collect()  # what came before it
        try:
            row |= {} if counted is None else _capturing(setting, once, counted)
            row["seconds"] = setting.milliseconds(lambda _, once=once: once(), 5, warmup=2) / 1000
        except BadInput as error:  # not captured; the next rows are of interest all the same
            yield row | {"error": str(error)}
            continue
        row |= {"peak MB": setting.peak_megabytes(once), "device MB": setting.used_megabytes()}
        first = first or row
        row["time / DARTS"] = row["seconds"] / first["seconds"]
        if row["peak MB"] is not None:
            row["memory / DARTS"] = row["peak MB"] / first["peak MB"]
        if name.startswith(JOINT):
            row["hours of the paper's search"] = PAPER * row["seconds"] / 3600
        yield row


class _Counted:
    """Makes recorders, and counts them.

    Attributes:
        made: Graphs so far.
    """

    def __init__(self, device: torch.device) -> None:
        self._make, self.made = recorders_on(device), 0

    def __call__(self) -> Any:
        self.made += 1
        return self._make()


Run = Callable[[Any, Any], Any]


def _runs(setting: Setting, channels: int, layers: int, many: int) -> Iterator[tuple[str, Run, _Counted | None]]:
    """Name, iteration, and what counts its graphs; each made when its turn comes."""

    def made(name: str) -> Any:
        run = CONTESTANTS[name](channels, layers)
        run.network.to(setting.device)
        return run

    def joint(count: int) -> Ours:
        run = Ours(channels, layers, PolicyGradient(count, baseline=False))
        run.network.to(setting.device)
        for group in run.search.weights.param_groups:
            group["lr"] = 0.0  # so that a loss is a number however often the same images are taken
        return run

    name_of_many = f"policy-gradient, N=5, M={many}"
    for name in (REFERENCE, JOINT, ARCH, GDAS):
        yield name, joint(2) if name == JOINT else made(name), None
    counted, base = _Counted(setting.device), joint(2)
    base.search.passes = Passes(base.search, counted, required=True)
    yield JOINT + GRAPHS, base, counted
    for name in (ARCH, GDAS, FD):
        yield name + GRAPHS, _on(base, made(name)), counted
    yield name_of_many + GRAPHS, _on(base, joint(many)), counted
    del base  # with its graphs and their memory
    for graph, words in (("off", ""), ("on" if setting.device.type == "cuda" else "auto", GRAPHS)):
        yield FIXED + words, _fixed(setting, graph, channels, layers), None
    for name in ("PC-DARTS, first order", "DARTS, second order", FD):
        yield name, made(name), None
    if setting.device.type == "cuda":  # a CPU's bfloat16 gradients of narrow convolutions are sometimes no numbers
        yield from _half(joint(2), setting.device)
    yield name_of_many, joint(many), None


def _half(run: Ours, device: torch.device) -> Iterator[tuple[str, Run, _Counted | None]]:
    """The same in bfloat16."""
    run.search.amp = True
    yield f"{JOINT}, --amp", run, None
    counted = _Counted(device)
    run.search.passes = Passes(run.search, counted, required=True)
    yield f"{JOINT}, --amp{GRAPHS}", run, counted


def _on(base: Ours, run: Ours) -> Ours:
    """An iteration of another kind on the network of one whose pieces are captured."""
    run.search.network, run.search.weights = base.search.network, base.search.weights
    run.search.passes = base.search.passes
    return run


def _fixed(setting: Setting, graph: str, channels: int, layers: int) -> Run:
    """An iteration of the search of a policy for a fixed network."""
    search = daas.Search(
        "daas_cell_cifar",
        estimator=PolicyGradient(2, baseline=False),
        num_classes=10,
        model_kwargs=("genotype=darts_v2", f"channels={channels}", f"layers={layers}"),
        device=str(setting.device),
        graph=graph,
    )
    return search.step


def _capturing(setting: Setting, once: Callable[[], Any], counted: _Counted) -> Row:
    """Seconds of the first iterations, in which most graphs are captured, and their number."""
    start = time.monotonic()
    for _ in range(1 if setting.smoke else _FIRST):
        once()
    setting.synchronize()
    return {"seconds of the first": time.monotonic() - start, "graphs": counted.made}
