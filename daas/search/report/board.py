"""The metrics of a search as TensorBoard event files, for people who watch many runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daas.errors import BadInput

_NO_CURVE = ("epoch", "step", "phase", "alpha", "beta", "pi", "partial")


class Board:
    """Writes the epochs' metrics below ``out/tensorboard``.

    Args:
        out: The run folder.
        step: Iterations done; what an interrupted run wrote beyond them is dropped.

    Raises:
        BadInput: TensorBoard is not installed.
    """

    def __init__(self, out: Path, step: int) -> None:
        check()
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def line(self, metrics: dict[str, Any]) -> None:
        """Writes one epoch."""
        for name, value in _flat(metrics):
            self._writer.add_scalar(name, value, metrics["step"])
        self._writer.flush()

    def close(self) -> None:
        """Finishes the file."""
        self._writer.close()


def check() -> None:
    """Raises BadInput where TensorBoard is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise BadInput("--tensorboard needs TensorBoard: pip install 'timm-daas[tensorboard]'.") from error


def _flat(metrics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers by name, those in groups as ``group/name``."""
    for key, value in metrics.items():
        if key in _NO_CURVE or value is None:
            continue
        if isinstance(value, dict):
            yield from ((f"{key}/{name}", float(number)) for name, number in value.items())
        else:
            yield key, float(value)
