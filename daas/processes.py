"""The collective operations of a search on several processes; with one process each of them does nothing."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from daas.errors import BadInput

_PATIENCE = timedelta(
    hours=12
)  # how long processes wait for the one that writes; a process that dies is noticed at once
_alone = False


class RankLost(RuntimeError):
    """Another process of this search has ended; it says why."""


class RanksDiffer(RuntimeError):
    """The processes of a search no longer hold the same values; their results would be meaningless."""


@contextmanager
def processes() -> Iterator[None]:
    """Joins the processes that ``torchrun`` started (gloo on CPUs, NCCL on GPUs); does nothing without ``torchrun``."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "MASTER_ADDR" not in os.environ or dist.is_initialized():
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Within the block this process is the only one, so that each process may run a search of its own."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def refuse_in_a_pool(what: str, instead: str) -> None:
    """Raises BadInput in a process that may start no others; ``what`` would, ``instead`` would not."""
    if multiprocessing.current_process().daemon:
        raise BadInput(
            f"{what}: this is a daemonic process, as multiprocessing.Pool starts them, which may start no others. Take "
            f"{instead} here, or a concurrent.futures.ProcessPoolExecutor in place of the pool."
        )


def rank() -> int:
    """Number of this process, from 0; process 0 alone writes files and prints."""
    return 0 if _alone or not dist.is_initialized() else dist.get_rank()


def world_size() -> int:
    """Number of processes that share this search."""
    return 1 if _alone or not dist.is_initialized() else dist.get_world_size()


def local_device(name: str) -> torch.device:
    """The device of this process: ``auto`` and ``cuda`` take the GPU of its number on the machine.

    Raises:
        BadInput: No such device here.
    """
    try:
        return _local_device(name)
    except (RuntimeError, ValueError, AssertionError, ImportError) as error:
        raise BadInput(f"--device {name} cannot be used ({str(error).splitlines()[0]}).") from error


def _local_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}"  # set_device wants a number
    device = torch.device(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.empty(0, device=device)
    return device


def share(count: int) -> range:
    """Which of ``count`` samples this process runs: every world_size-th one; shares differ by at most one sample."""
    return range(rank(), count, world_size())


def total(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, for example of (sum of rewards, their number).

    Args:
        values: Of the same shape on every process.
    """
    if world_size() == 1:
        return values
    values = values.clone()
    _reduce(values)
    return values


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, [n, ...] each with its own n -> [sum of n, ...], in the order of the processes."""
    if world_size() == 1:
        return rows
    counts = torch.zeros(world_size(), dtype=torch.int64)
    counts[rank()] = len(rows)
    _reduce(counts)
    start = int(counts[: rank()].sum())
    everything = rows.new_zeros((int(counts.sum()), *rows.shape[1:]))
    everything[start : start + len(rows)] = rows
    _reduce(everything)
    return everything


def sum_gradients(gradients: MutableMapping[Tensor, Tensor], parameters: Iterable[Tensor]) -> None:
    """Replaces gradients by their sums over all processes.

    A weight that no process has a gradient of keeps none, on all of them: neither it nor its momentum moves.

    Args:
        gradients: By parameter; changed in place, and put into the order of ``parameters``.
        parameters: All that may have one, in the same order on every process.
    """
    if world_size() == 1:
        return
    ordered = list(parameters)
    present = torch.tensor([parameter in gradients for parameter in ordered], dtype=torch.int32)
    _reduce(present, dist.ReduceOp.MAX)
    used = [parameter for parameter, flag in zip(ordered, present.tolist(), strict=True) if flag]
    if not used:
        return
    parts = [gradients[p] if p in gradients else torch.zeros_like(p, dtype=torch.float64) for p in used]
    flat = torch.cat([part.double().reshape(-1) for part in parts])
    _reduce(flat)
    gradients.clear()
    for parameter, part in zip(used, flat.split([p.numel() for p in used]), strict=True):
        gradients[parameter] = torch.empty_like(parameter, dtype=torch.float64).copy_(part.view(parameter.shape))


def any_of(*flags: bool) -> list[bool]:
    """For each flag, whether it is set on any process: what one process wants (to stop, say) all do together."""
    if world_size() == 1:
        return list(flags)
    values = torch.tensor(flags, dtype=torch.int32)
    _reduce(values, dist.ReduceOp.MAX)
    return [bool(value) for value in values.tolist()]


def wait() -> None:
    """Returns when every process has come here."""
    any_of(False)


@contextmanager
def in_turn() -> Iterator[None]:
    """The first process runs the block before all others do, for what only one should fetch."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def check_same(what: str, tensors: Mapping[str, Tensor]) -> None:
    """Compares named tensors bit for bit between all processes.

    Raises:
        RanksDiffer: They differ; the message says where.
    """
    if world_size() == 1:
        return
    digests = [hashlib.sha256(_bytes(tensor)).digest()[:8] for tensor in tensors.values()]
    mine = torch.tensor([int.from_bytes(digest, "big") >> 1 for digest in digests], dtype=torch.int64)
    lowest, highest = mine.clone(), mine.clone()
    _reduce(lowest, dist.ReduceOp.MIN)
    _reduce(highest, dist.ReduceOp.MAX)
    different = [
        name for name, low, high in zip(tensors, lowest.tolist(), highest.tolist(), strict=True) if low != high
    ]
    if different:
        raise RanksDiffer(
            f"{what}: the {world_size()} processes hold different values of {', '.join(different[:5])}. Their results "
            "cannot be trusted. Check that all run the same versions on the same kind of device, then resume."
        )


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def _reduce(tensor: Tensor, operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> None:
    try:
        dist.all_reduce(tensor, operation)
    except RuntimeError as error:  # gloo and NCCL: a connection was closed
        raise RankLost(f"process {rank()}: another process of this search has ended ({error})") from error
