"""How long networks take on this machine: measured part by part, and set beside whole networks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from daas.errors import BadInput
from daas.files import write_json
from daas.models import CellNet, Genotype
from daas.models.cell import Cell
from daas.models.primitives import build_primitive
from daas.reading import read_json
from daas.search.budget.table import CostTable, places, reference
from daas.search.budget.trained import TrainedNetwork
from daas.search.spaces.cells import NONE, cell_edges

FORMAT = "daas-latency/1"
LATENCY = "latency.json"
_WARM_UP, _LEAST, _MOST, _SECONDS = 3, 5, 50, 0.15  # calls, and for how long they go on
_WHOLE = 8  # networks that are measured whole; from every other one comes the ratio, from the rest the error


@dataclass(frozen=True)
class Latency:
    """A table of measured times, and what was measured.

    Attributes:
        table: Nanoseconds.
        batch: Images at a time.
        threads: Of a CPU.
        device: Where it was measured.
        error: Mean of |table - measured| / measured over whole networks that the table was not fitted to.
    """

    table: CostTable
    batch: int
    threads: int
    device: str
    error: float

    def to_dict(self) -> dict[str, Any]:
        """latency.json."""
        return {
            "format": FORMAT,
            "batch": self.batch,
            "threads": self.threads,
            "device": self.device,
            "error": self.error,
            "primitives": list(self.table.primitives),
            "base": self.table.base,
            "parts": self.table.parts.tolist(),
        }

    @classmethod
    def of_dict(cls, found: Mapping[str, Any], where: str) -> Latency:
        """The inverse of ``to_dict``.

        Raises:
            BadInput: Something else.
        """
        try:
            if found["format"] != FORMAT:
                raise ValueError(found["format"])
            parts = torch.tensor(found["parts"], dtype=torch.int64)
            table = CostTable("latency", int(found["base"]), parts, tuple(found["primitives"]))
            return cls(table, int(found["batch"]), int(found["threads"]), str(found["device"]), float(found["error"]))
        except (LookupError, TypeError, ValueError) as error:
            raise BadInput(f"{where} is no table of latencies of a search. Bring the file of the run back.") from error


def load_latency(path: Path) -> Latency:
    """Reads latency.json.

    Raises:
        BadInput: It is missing, or something else.
    """
    return Latency.of_dict(read_json(path, "table of latencies"), str(path))


def save_latency(path: Path, latency: Latency) -> None:
    """Writes latency.json."""
    write_json(path, latency.to_dict())


def measure(
    network: TrainedNetwork, nodes: int, primitives: Sequence[str], batch: int, threads: int, device: torch.device
) -> Latency:
    """Measures every operation in every place where it can stand, and what all networks have.

    Evaluation mode, float32; the median of calls after a warm-up. The parts of a network in a row are slower or
    faster than each alone, so that the table is the sum of the parts times a ratio, which is the median of
    measured / sum over whole networks.

    Args:
        network: What is trained, but for its cells.
        nodes: Of a cell.
        primitives: The candidates.
        batch: Images at a time.
        threads: Of a CPU.
        device: Where.
    """
    with _threads(threads), torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        sums = _sums(network, nodes, primitives, batch, device)
        networks = [reference(nodes, primitives, turn) for turn in range(_WHOLE)]
        whole = [whole_latency(network, cells, batch, device) for cells in networks]
        ratio = statistics.median(seen / sums.of(cells) for cells, seen in zip(networks[::2], whole[::2], strict=True))
        table = CostTable("latency", round(ratio * sums.base), (ratio * sums.parts).round().long(), sums.primitives)
        error = statistics.fmean(
            abs(table.of(cells) / seen - 1) for cells, seen in zip(networks[1::2], whole[1::2], strict=True)
        )
    return Latency(table, batch, threads, str(device), error)


def whole_latency(network: TrainedNetwork, cells: Genotype, batch: int, device: torch.device) -> int:
    """Nanoseconds of a whole network, with the threads that torch has."""
    images = torch.zeros(batch, 3, network.image_size, network.image_size, device=device)
    return _median(network.create(cells).to(device).eval(), images)


def _sums(
    network: TrainedNetwork, nodes: int, primitives: Sequence[str], batch: int, device: torch.device
) -> CostTable:
    parts = torch.zeros(2, len(cell_edges(nodes)), len(primitives), dtype=torch.int64)
    known: dict[tuple[str, int, int, int], int] = {}
    for place in places(network, nodes):
        for index, name in enumerate(primitives):
            if name == NONE:
                continue
            key = (name, place.channels, place.stride, place.side)
            if key not in known:
                module = build_primitive(name, place.channels, place.stride).to(device).eval()
                maps = torch.randn(batch, place.channels, place.side, place.side, device=device)
                known[key] = _median(module, maps.contiguous(memory_format=torch.channels_last))
            parts[place.cell, place.edge, index] += known[key]
    return CostTable("latency", _base(network, nodes, primitives, batch, device), parts, tuple(primitives))


def _base(network: TrainedNetwork, nodes: int, primitives: Sequence[str], batch: int, device: torch.device) -> int:
    """Nanoseconds of stem, classifier and the convolutions in front of each cell, each measured alone."""
    made = network.create(reference(nodes, primitives)).to(device).eval()
    assert isinstance(made, CellNet)
    parts: list[nn.Module] = [made.stem]
    for cell in made.cells:
        assert isinstance(cell, Cell)
        parts += [cell.preprocess0, cell.preprocess1]
    inputs: dict[nn.Module, Tensor] = {}
    hooks = [part.register_forward_pre_hook(lambda module, args: inputs.update({module: args[0]})) for part in parts]
    features = made.forward_features(torch.zeros(batch, 3, network.image_size, network.image_size, device=device))
    for hook in hooks:
        hook.remove()
    return sum(_median(part, inputs[part]) for part in parts) + _median(made.forward_head, features)


def _median(call: Callable[[Tensor], object], images: Tensor) -> int:
    """Nanoseconds of a call: the median after a warm-up."""
    for _ in range(_WARM_UP):
        call(images)
    seen: list[int] = []
    end = time.perf_counter() + _SECONDS
    while len(seen) < _LEAST or (len(seen) < _MOST and time.perf_counter() < end):
        _finished(images.device)
        start = time.perf_counter_ns()
        call(images)
        _finished(images.device)
        seen.append(time.perf_counter_ns() - start)
    return max(1, round(statistics.median(seen)))


def _finished(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
