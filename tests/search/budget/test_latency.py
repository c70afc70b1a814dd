"""Times of parts of networks: what is measured, kept and read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from daas.errors import BadInput
from daas.search.budget import latency as module
from daas.search.budget.latency import Latency, load_latency, measure, save_latency
from daas.search.budget.trained import TrainedNetwork
from daas.search.spaces.cells import ArchitectureDistribution

NETWORK = TrainedNetwork("daas_cell_cifar", 2, 3, 2, 8)
PRIMITIVES = ("skip_connect", "none", "sep_conv_3x3")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Latency:
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    return measure(NETWORK, 2, PRIMITIVES, batch=3, threads=1, device=torch.device("cpu"))


def test_every_part_is_measured(measured: Latency) -> None:
    threads = torch.get_num_threads()
    table = measured.table
    assert table.base > 0
    assert bool((table.parts[..., [0, 2]] > 0).all())
    assert not bool(table.parts[..., 1].any())
    assert (measured.batch, measured.threads, measured.device) == (3, 1, "cpu")
    assert measured.error >= 0
    assert torch.get_num_threads() == threads


def test_the_table_is_the_sum_of_parts_at_the_speed_of_whole_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which a part takes 1 ms and a whole network twice the sum of its parts."""
    parts = 1 + 2 * NETWORK.layers + 1 + NETWORK.layers * 4  # stem, preprocessing, classifier, edges of two nodes

    def clock(call: object, images: torch.Tensor) -> int:
        return 2_000_000 * parts if isinstance(call, module.CellNet) else 1_000_000

    monkeypatch.setattr(module, "_median", clock)
    found = measure(NETWORK, 2, PRIMITIVES, batch=1, threads=1, device=torch.device("cpu"))
    assert found.error == 0
    assert found.table.base == 2_000_000 * (2 + 2 * NETWORK.layers)
    cells = ArchitectureDistribution(2, PRIMITIVES)
    assert found.table.of(cells.derive()) == 2_000_000 * parts


def test_a_table_is_read_back(measured: Latency, tmp_path: Path) -> None:
    save_latency(tmp_path / "latency.json", measured)
    found = load_latency(tmp_path / "latency.json")
    assert torch.equal(found.table.parts, measured.table.parts)
    assert found.to_dict() == measured.to_dict()


@pytest.mark.parametrize("change", [{"format": "other"}, {"parts": "none"}, {"base": None}])
def test_another_file_is_named(measured: Latency, tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "latency.json"
    path.write_text(json.dumps({**measured.to_dict(), **change}))
    with pytest.raises(BadInput, match=r"latency\.json is no table of latencies"):
        load_latency(path)
