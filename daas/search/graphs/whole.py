"""A whole pass with its gradient as one graph, where every pass runs the same operations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from daas.recording import Recorder
from daas.search.algorithm.gradients import copies
from daas.search.algorithm.state import Batch, Differentiated
from daas.search.graphs.outliving import refuse_outliving

Run = Callable[[Batch, Tensor | None], Differentiated]
"""A pass over a batch, with these values of the gates, if there are any."""


class WholePass:
    """A pass over batches of one shape, in one launch.

    Args:
        run: The pass; the weights that it reads stay where they are.
        batch: Normalised images and labels, as all that follow in shape.
        gates: Of the path, on the network's device; None for a fixed network.
        changes: What else the pass changes: the network's buffers.
        recorder: Keeps the graph.
    """

    def __init__(self, run: Run, batch: Batch, gates: Tensor | None, changes: list[Tensor], recorder: Recorder) -> None:
        self._run = run
        self._given = [torch.empty_like(tensor) for tensor in (*batch, *(() if gates is None else (gates,)))]
        self._found: list[Tensor] = []
        self._changes, self._recorder, self._recorded = changes, recorder, False

    def __call__(self, batch: Batch, gates: Tensor | None) -> Differentiated:
        """One pass.

        Returns:
            Losses, logits and the gradient, in memory of their own.

        Raises:
            Uncapturable: The network cannot be kept as a graph.
        """
        for mine, tensor in zip(self._given, (*batch, *(() if gates is None else (gates,))), strict=True):
            mine.copy_(tensor)
        if not self._recorded:
            refuse_outliving([self._go, self._go], [batch[0], *self._changes], set)
            self._recorder.record(self._go, self._changes)
            self._recorded = True
        self._recorder.replay()
        losses, logits, *gradient = copies(self._found)
        return Differentiated(losses, logits, tuple(gradient))

    def _go(self) -> None:
        images, labels, *gates = self._given
        taken = self._run((images, labels), gates[0] if gates else None)
        found = [taken.losses, taken.logits, *taken.gradient]
        if not self._found:  # at the first call, which is not captured
            self._found = [torch.empty_like(tensor) for tensor in found]
        with torch.no_grad():
            torch._foreach_copy_(self._found, found)
