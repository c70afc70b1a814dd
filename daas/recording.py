"""How a step is kept and done again: as a CUDA graph; or not at all, where it is called each time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.torch_version import TorchVersion

from daas.randomness import capture, restore

_ORDER = "replay comes after record"
_HOST = torch.device("cpu")
_WARM_UP = 3  # libraries choose their algorithms and take their memory in the first calls


class Uncapturable(Exception):
    """A step that cannot be captured; the message says why."""


@cache
def say_eager(reason: str, what: str = "Training steps") -> None:
    """Says once why something is launched operation by operation."""
    print(f"{what} are not captured as a CUDA graph: {reason}.", file=sys.stderr)


def why_not_tried() -> str | None:
    """Why this PyTorch is better not asked for a capture that CUDA may refuse; None: it goes on as if there were none.

    Older ones (2.6 and 2.11 do, 2.14 does not) leave the device's generator marked as capturing, also where the network
    draws nothing: dropout, and seeding with another number, fail from there on.
    """
    if TorchVersion(torch.__version__) >= "2.14":
        return None
    return f"PyTorch {torch.__version__} does not recover from a capture that CUDA refuses, as 2.14 does"


class Recorder(Protocol):
    """Keeps a function that reads and writes tensors which stay where they are."""

    def record(
        self, function: Callable[[], None], tensors: Sequence[Tensor], optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        """Keeps ``function``; the tensors that it changes are afterwards what they were.

        Args:
            function: No arguments, no result, nothing that waits for the device.
            tensors: What it changes and somebody still needs, without the optimizer's state.
            optimizer: Whose state it changes, if one's; state that it makes is afterwards 0.

        Raises:
            Uncapturable: It does what cannot be kept.
        """

    def replay(self) -> None:
        """Does what the function does."""


class Eager:
    """Calls the function each time."""

    def __init__(self) -> None:
        self._function: Callable[[], None] | None = None

    def record(
        self, function: Callable[[], None], tensors: Sequence[Tensor], optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        """Keeps the function itself."""
        self._function = function

    def replay(self) -> None:
        """Calls it."""
        if self._function is None:
            raise RuntimeError(_ORDER)
        self._function()


class Shared:
    """What graphs have in common that are replayed one after the other, in any order: a stream and memory.

    The memory is for what lives within one replay. What outlives it lies elsewhere, where its owner has put it.

    Args:
        device: Of the tensors.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()


class CUDAGraph:
    """A CUDA graph: everything is launched at once, and nothing of Python runs.

    Args:
        device: Of the tensors.
        alone: Whether no other graph runs beside this one. Graphs of one process read one place for the seed of
            random numbers, so that several at a time may not draw any.
        shared: For one of many small graphs.
    """

    def __init__(self, device: torch.device, alone: bool = True, shared: Shared | None = None) -> None:
        self.device, self.alone, self.shared = device, alone, shared
        self._graph: torch.cuda.CUDAGraph | None = None

    def record(
        self, function: Callable[[], None], tensors: Sequence[Tensor], optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        """Calls the function three times on a stream of its own, undoes that, and captures it there."""
        stream = torch.cuda.Stream(self.device) if self.shared is None else self.shared.stream
        stream.wait_stream(torch.cuda.current_stream(self.device))
        self._graph = None  # gives its memory back before more is taken
        failed: list[BaseException] = []
        try:
            with torch.cuda.stream(stream):
                with undone(tensors, optimizer, self.device):
                    before, streams = torch.cuda.get_rng_state(self.device), []
                    for _ in range(_WARM_UP):
                        function()
                        streams.append(capture(_HOST))
                    decides = not torch.equal(streams[0], streams[-1])  # seeding alone would leave them the same
                    draws = not torch.equal(before, torch.cuda.get_rng_state(self.device))
                if decides:
                    raise Uncapturable("it draws random numbers on the host, of which a graph would repeat the first")
                if draws and not self.alone:
                    raise Uncapturable("its network draws random numbers, and other trainings run beside it")
                graph = torch.cuda.CUDAGraph()
                with self._capturing(graph, stream), _noting(failed):
                    function()
        except RuntimeError as error:
            cause = failed[0] if failed else error
            if not isinstance(cause, RuntimeError):
                raise cause from cause.__cause__
            raise Uncapturable(f"CUDA refuses it: {str(cause).strip().splitlines()[0].rstrip('.')}") from cause
        finally:
            torch.cuda.current_stream(self.device).wait_stream(stream)
        self._graph = graph

    def _capturing(self, graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream) -> AbstractContextManager[object]:
        if self.shared is None:
            return torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local")
        return _quickly(graph, self.shared)

    def replay(self) -> None:
        """Launches the graph on the current stream."""
        if self._graph is None:
            raise RuntimeError(_ORDER)
        self._graph.replay()


@contextmanager
def _noting(failed: list[BaseException]) -> Iterator[None]:
    """Keeps what went wrong in a capture; the end of the capture then fails in its turn, and says no more than that."""
    try:
        yield
    except BaseException as error:
        failed.append(error)
        raise


@contextmanager
def _quickly(graph: torch.cuda.CUDAGraph, shared: Shared) -> Iterator[None]:
    """Captures on the current stream, without giving cached memory back first: a moment, times thousands of graphs."""
    graph.capture_begin(pool=shared.pool, capture_error_mode="thread_local")
    try:
        yield
    finally:
        graph.capture_end()


@contextmanager
def undone(tensors: Sequence[Tensor], optimizer: torch.optim.Optimizer | None, device: torch.device) -> Iterator[None]:
    """What runs inside leaves no trace: tensors, the optimizer's state and the global random streams are as before.

    Everything stays in its place in memory. State that the optimizer makes inside stays and is 0, as it is before the
    first update.
    """
    streams = capture(device)
    known = [*tensors, *_state(optimizer)]
    values = [tensor.detach().clone() for tensor in known]
    places = {id(tensor) for tensor in known}
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(known, values, strict=True):
                tensor.copy_(value)
            for tensor in _state(optimizer):
                if id(tensor) not in places:
                    tensor.zero_()
        restore(streams, device)


def _state(optimizer: torch.optim.Optimizer | None) -> list[Tensor]:
    if optimizer is None:
        return []
    return [value for slots in optimizer.state.values() for value in slots.values() if isinstance(value, Tensor)]
