"""The cells that are searched, as an object: the supernet's size, its candidate operations, how paths are sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daas.errors import BadInput, names_checked
from daas.ranges import plain
from daas.search.spaces.cells import ArchEstimator


@names_checked
@dataclass(frozen=True)
class CellSpace:
    """Cells of a supernet; whatever is None is left to the preset.

    Attributes:
        channels: Initial channels.
        layers: Cells in a row.
        nodes: Intermediate nodes of a cell.
        primitives: Candidate operations of an edge: their names, or ``paper`` or ``darts``.
        estimator: ``gumbel``, ``gdas`` or ``darts``.
        architectures: N, sampled architectures per iteration.

    >>> CellSpace(channels=8, primitives=["skip_connect", "sep_conv_3x3"]).options()
    {'channels': 8, 'primitives': 'skip_connect,sep_conv_3x3'}
    """

    channels: int | None = None
    layers: int | None = None
    nodes: int | None = None
    primitives: Sequence[str] | str | None = None
    estimator: ArchEstimator | None = None
    architectures: int | None = None

    def options(self) -> dict[str, Any]:
        """The options of the search that this stands for.

        Raises:
            BadInput: Primitives that are no names.
        """
        primitives = self.primitives
        if primitives is not None and not isinstance(primitives, str):
            if not all(isinstance(name, str) for name in primitives):
                raise BadInput(f"primitives is {primitives!r}; it holds names. daas.register_primitive makes new ones.")
            primitives = ",".join(primitives)
        values = {
            "channels": self.channels,
            "layers": self.layers,
            "nodes": self.nodes,
            "primitives": primitives,
            "arch_estimator": self.estimator,
            "architectures": self.architectures,
        }
        return {name: plain(value) for name, value in values.items() if value is not None}
