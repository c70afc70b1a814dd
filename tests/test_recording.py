"""What is asked of CUDA to keep a step, in which order, and what is said where it refuses; CUDA itself is pretended."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import torch

from daas.recording import CUDAGraph, Eager, Shared, Uncapturable
from daas.search.graphs.passes import why_launched
from daas.search.options import SearchConfig
from daas.train.batches import Place
from daas.train.captured import why_eager
from daas.train.options import TrainOptions

DEVICE = torch.device("cuda")


class PretendedCUDA:
    """Notes what is asked of it.

    Attributes:
        done: In order.
        offset: Of the device's random stream.
        refuses: Whether a capture fails.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.offset, self.refuses = 0, False
        owner = self

        class Stream:
            def __init__(self, name: object) -> None:
                self.name = "current" if name == "current" else "side"

            def wait_stream(self, other: Stream) -> None:
                owner.done.append(f"{self.name} waits for {other.name}")

        class Graph:
            def replay(self) -> None:
                owner.done.append("replay")

            def capture_begin(self, pool: object, capture_error_mode: str) -> None:
                owner.done.append(f"capture into {pool}, {capture_error_mode}")

            def capture_end(self) -> None:
                owner.done.append("end")
                if owner.refuses:
                    raise RuntimeError("operation failed due to a previous error during capture.\nCUDA ...")
                owner.done.append("captured")

        patch.setattr(torch.cuda, "Stream", Stream)
        patch.setattr(torch.cuda, "CUDAGraph", Graph)
        patch.setattr(torch.cuda, "current_stream", lambda _: Stream("current"))
        patch.setattr(torch.cuda, "stream", self.on)
        patch.setattr(torch.cuda, "graph", self.graph)
        patch.setattr(torch.cuda, "graph_pool_handle", lambda: "a pool")
        patch.setattr(torch.cuda, "get_rng_state", lambda _: torch.tensor([self.offset], dtype=torch.uint8))
        patch.setattr(torch.cuda, "set_rng_state", lambda state, _: setattr(self, "offset", int(state[0])))

    @contextmanager
    def on(self, stream: Any) -> Iterator[None]:
        self.done.append(f"on {stream.name}")
        yield
        self.done.append(f"off {stream.name}")

    @contextmanager
    def graph(self, graph: object, stream: Any, capture_error_mode: str) -> Iterator[None]:
        self.done.append(f"capture on {stream.name}, {capture_error_mode}")
        try:
            yield
        finally:
            if self.refuses:
                raise RuntimeError("operation failed due to a previous error during capture.\nCUDA kernel errors ...")
        self.done.append("captured")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> PretendedCUDA:
    return PretendedCUDA(monkeypatch)


class Step:
    """Moves a weight; ``draws`` random numbers on the device."""

    def __init__(self, cuda: PretendedCUDA, draws: int = 0) -> None:
        self.cuda, self.draws = cuda, draws
        self.weight = torch.ones(1, requires_grad=True)
        self.optimizer = torch.optim.SGD([self.weight], lr=0.1, momentum=0.9)

    def __call__(self) -> None:
        self.cuda.done.append("step")
        self.cuda.offset += self.draws
        self.optimizer.zero_grad()
        (3 * self.weight).sum().backward()
        self.optimizer.step()

    def record(self, alone: bool = True, shared: Shared | None = None) -> CUDAGraph:
        graph = CUDAGraph(DEVICE, alone, shared)
        graph.record(self, [self.weight], self.optimizer)
        return graph


WARM_UP = ["side waits for current", "on side", "step", "step", "step"]


def test_it_warms_up_on_a_stream_of_its_own_undoes_that_and_captures(cuda: PretendedCUDA) -> None:
    step = Step(cuda, draws=2)

    @contextmanager
    def graph(*arguments: Any, **more: Any) -> Iterator[None]:
        assert step.weight.item() == 1.0  # undone before anything is captured
        assert step.optimizer.state[step.weight]["momentum_buffer"].item() == 0.0
        assert cuda.offset == 0
        with pretended(*arguments, **more):
            yield

    pretended, torch.cuda.graph = torch.cuda.graph, graph  # type: ignore[misc,assignment]  # the fixture puts it back
    kept = step.record()
    assert cuda.done == [
        *WARM_UP, "capture on side, thread_local", "step", "captured", "off side", "current waits for side",
    ]  # fmt: skip
    cuda.done.clear()
    kept.replay()
    assert cuda.done == ["replay"]


def test_small_graphs_share_a_stream_and_memory(cuda: PretendedCUDA) -> None:
    shared = Shared(DEVICE)
    for _ in range(2):
        cuda.done.clear()
        Step(cuda).record(shared=shared)
        assert cuda.done[5:] == [
            "capture into a pool, thread_local", "step", "end", "captured", "off side", "current waits for side",
        ]  # fmt: skip
    cuda.refuses = True
    with pytest.raises(Uncapturable, match=r"^CUDA refuses it: operation failed due to a previous error during"):
        Step(cuda).record(shared=shared)
    assert cuda.done[-1] == "current waits for side"


def test_a_function_without_an_optimizer_is_undone_too(cuda: PretendedCUDA) -> None:
    moved = torch.zeros(1)
    graph = CUDAGraph(DEVICE, shared=Shared(DEVICE))
    seen = []

    def function() -> None:
        seen.append(moved.item())
        moved.add_(1)

    graph.record(function, [moved])
    assert seen == [0.0, 1.0, 2.0, 0.0]  # the pretended capture runs it once more


@pytest.mark.parametrize("small", [True, False])
def test_what_cuda_refuses_first_is_said_in_a_line_and_the_streams_meet_again(cuda: PretendedCUDA, small: bool) -> None:
    step = Step(cuda)

    def refused() -> None:
        step()
        if cuda.done.count("step") == 4:
            cuda.refuses = True
            with suppress(KeyError):
                raise KeyError("what the network handles itself")
            try:
                raise AttributeError("there is no faster way")
            except AttributeError:
                slowly()

    def slowly() -> None:
        raise RuntimeError("operation not permitted when stream is capturing.\nCUDA kernel errors might ...")

    cause = "operation not permitted when stream is capturing"
    try:
        raise KeyError("what is under way")
    except KeyError:
        with pytest.raises(Uncapturable, match=rf"^CUDA refuses it: {cause}$") as raised:
            CUDAGraph(DEVICE, shared=Shared(DEVICE) if small else None).record(refused, [step.weight])
    assert str(raised.value.__cause__).startswith(cause)
    assert cuda.done[-1] == "current waits for side"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Uncapturable("a primitive is odd"), TypeError("a mistake")])
def test_what_ends_a_capture_otherwise_is_not_called_a_refusal(cuda: PretendedCUDA, error: BaseException) -> None:
    step = Step(cuda)

    def ended() -> None:
        step()
        if cuda.done.count("step") == 4:
            cuda.refuses = True
            raise error

    with pytest.raises(type(error)) as raised:
        CUDAGraph(DEVICE, shared=Shared(DEVICE)).record(ended, [step.weight])
    assert raised.value is error


@pytest.mark.parametrize(
    ("version", "tried"), [("2.6.0+cu124", False), ("2.11.0", False), ("2.14.1", True), ("3.0.0a0+git1", True)]
)
def test_what_an_old_pytorch_does_not_survive_is_not_tried_by_itself(
    monkeypatch: pytest.MonkeyPatch, version: str, tried: bool
) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    place, optimizer = Place(DEVICE), torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    fixed = {"preset": "paper-cifar10", "mode": "aug", "model": "resnet18"}
    for reason in (
        why_eager(TrainOptions(), place, optimizer),
        why_launched(SearchConfig(**fixed, graph="auto"), DEVICE),
    ):
        assert (reason is None) == tried
        assert tried or f"PyTorch {version} does not recover" in str(reason)
    assert why_eager(TrainOptions(graph="on"), place, optimizer) is None
    assert why_launched(SearchConfig(**fixed, graph="on"), DEVICE) is None


def test_graphs_beside_others_may_not_draw(cuda: PretendedCUDA) -> None:
    assert Step(cuda).record(alone=False)
    with pytest.raises(Uncapturable, match="draws random numbers"):
        Step(cuda, draws=4).record(alone=False)
    assert "captured" not in cuda.done[-6:]
    assert cuda.offset == 0


def test_what_draws_on_the_host_is_not_kept(cuda: PretendedCUDA) -> None:
    """A graph would repeat the first draw for ever; numbers from a seed of its own are the same in every call."""
    step, before = Step(cuda), random.getstate()
    with pytest.raises(Uncapturable, match="random numbers on the host"):
        CUDAGraph(DEVICE).record(lambda: step.weight.data.add_(random.random()), [step.weight])
    assert random.getstate() == before
    assert step.weight.item() == 1.0
    CUDAGraph(DEVICE).record(lambda: torch.manual_seed(3), [step.weight])


@pytest.mark.parametrize("kept_by", [Eager, lambda: CUDAGraph(DEVICE)])
def test_nothing_is_replayed_that_was_not_recorded(kept_by: Any) -> None:
    with pytest.raises(RuntimeError, match="after record"):
        kept_by().replay()
