"""Cell networks of one size: published cells beside found ones, with as many weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from daas.errors import BadInput
from daas.models import list_genotypes
from daas.race.candidates import CELLS, Candidate, Network
from daas.reading import read_json

TOLERANCE = 0.1
"""By how much the numbers of weights may differ, as a share."""
_SIZE = ("channels", "layers")
_CHANNELS = 4096


def searched_size(summary: Mapping[str, Any]) -> dict[str, int]:
    """Channels and cells with which a search's cells are trained, by the command that it prints.

    Args:
        summary: As summary.json has it; empty where there is none.

    >>> searched_size({"options": {"channels": 8, "layers": 5, "preset": "cpu"}})
    {'channels': 8, 'layers': 5}
    """
    told = summary.get("cost", {}).get("network", summary.get("options", {}))
    return {name: int(told[name]) for name in _SIZE if name in told}


def folder_size(folder: Path) -> dict[str, int]:
    """The same, of the folder of a search; empty where it has no summary."""
    path = folder / "summary.json"
    return searched_size(read_json(path, "summary")) if os.path.isfile(path) else {}


def at_equal_size(candidates: Sequence[Candidate], classes: int) -> list[Candidate]:
    """Brings cell networks whose size nobody named to that of the first one whose size is known.

    The first one is usually a search's, which is trained with the channels and cells of its search. The others get
    the number of cells nearest to its own, and the channels, with which their weights are as many to within a tenth.
    Networks without cells, and those whose ``channels`` or ``layers`` are given, stay as they are.

    Args:
        candidates: In their order.
        classes: Of the images.

    Raises:
        BadInput: Cells of which no network has about as many weights.
    """
    first = next((one.network for one in candidates if _cells(one.network) and _sized(one.network)), None)
    if first is None:
        return list(candidates)
    weights, layers = _weights(first, classes), int(dict(first.kwargs).get("layers", 20))
    known: dict[Network, Network] = {}
    found = []
    for one in candidates:
        net = one.network
        if _cells(net) and not _sized(net):
            if net not in known:
                sized, nearest = _of_size(net, weights, layers, classes)
                if sized is None:
                    raise BadInput(
                        f"No network of the cells {net.name} has {weights:,} weights to within a tenth; the nearest "
                        f"has {nearest:,}. Give its size (channels=, layers=), or race without equal sizes "
                        "(equal_size=False, --no-equal-size)."
                    )
                known[net] = sized
            one = replace(one, network=known[net])
        found.append(one)
    return found


def as_large(net: Network, than: Network, classes: int, most: int | None = None) -> Network | None:
    """Cells with as many weights as a network has, to within a tenth.

    The number of cells is the nearest to the other network's with which that can be.

    Args:
        net: Cells of no size yet.
        than: A network of cells.
        classes: Of the images.
        most: How many weights are allowed; None for no limit.

    Returns:
        None where there is no such network.
    """
    weights, layers = _weights(than, classes), int(dict(than.kwargs).get("layers", 20))
    return _of_size(net, weights, layers, classes, most)[0]


def alike(weights: Sequence[int]) -> list[int]:
    """Numbers of weights, those alike that lie within a tenth: each as the smallest one of its kind.

    >>> alike([105, 100, 111, 300])
    [100, 100, 111, 300]
    """
    least: list[int] = []
    for number in sorted(weights):
        if not least or number > (1 + TOLERANCE) * least[-1]:
            least.append(number)
    return [max(one for one in least if one <= number) for number in weights]


def _counts(layers: int) -> list[int]:
    """Numbers of cells, the nearest first."""
    return sorted(range(3, 2 * layers + 1), key=lambda count: (abs(count - layers), count))


def _cells(net: Network) -> bool:
    published = {f"{name}_{stem}" for name in list_genotypes() for stem in ("cifar", "imagenet")}
    return not net.start.given and (net.genotype is not None or net.model in published | {CELLS, "daas_cell_imagenet"})


def _sized(net: Network) -> bool:
    return not dict(net.kwargs).keys().isdisjoint(_SIZE)


def _weights(net: Network, classes: int) -> int:
    with torch.device("meta"):
        return net.parameters(classes)


def _of_size(
    net: Network, weights: int, layers: int, classes: int, most: int | None = None
) -> tuple[Network | None, int]:
    """The network with about so many weights, and the number of cells that is nearest to ``layers``.

    Where there is none, the number of weights that came nearest goes with it.
    """
    nearest = 0
    for count in _counts(layers):
        allowed = [one for one in _around(net, weights, count, classes) if most is None or one[1] <= most]
        for sized, held in sorted(allowed, key=lambda one: abs(one[1] - weights)):
            if abs(held - weights) <= TOLERANCE * weights:
                return sized, held
            nearest = min((nearest, held), key=lambda value: abs(value - weights))
    return None, nearest


def _around(net: Network, weights: int, layers: int, classes: int) -> tuple[tuple[Network, int], tuple[Network, int]]:
    """With so many cells, the widest network that has no more weights (or the narrowest), and the next wider one."""

    def made(channels: int) -> tuple[Network, int]:
        size = {"channels": channels, "layers": layers}
        sized = replace(net, kwargs=tuple(sorted({**dict(net.kwargs), **size}.items())))
        return sized, _weights(sized, classes)

    low, high = 2, 4
    while high < _CHANNELS and made(high)[1] < weights:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if made(middle)[1] <= weights else (low, middle)
    return made(low), made(high)
