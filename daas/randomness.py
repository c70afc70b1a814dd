"""The state of the global random streams as one tensor, so that a checkpoint can hold it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seeds the global streams of torch, NumPy and Python, which timm's parts read."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the stream that timm's Mixup reads
    random.seed(seed)


def capture(device: torch.device) -> Tensor:
    """The states of torch's (CPU and the device's), NumPy's and Python's global streams, as one int64 tensor."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    version, words, python_gauss = random.getstate()
    floats = torch.tensor([gauss, python_gauss or 0.0], dtype=torch.float64).view(torch.int64)
    parts = [
        torch.tensor([position, has_gauss, version, python_gauss is not None]),
        floats,
        torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        torch.tensor(words, dtype=torch.int64),
        torch.get_rng_state().long(),
    ]
    if device.type == "cuda":
        parts.append(torch.cuda.get_rng_state(device).long())
    return torch.cat(parts)


def restore(state: Tensor, device: torch.device) -> None:
    """The inverse of ``capture``."""
    position, has_gauss, version, python_has_gauss = state[:4].tolist()
    gauss, python_gauss = state[4:6].view(torch.float64).tolist()
    keys, words, rest = state[6:630], state[630:1255], state[1255:]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    random.setstate((version, tuple(words.tolist()), python_gauss if python_has_gauss else None))
    size = len(torch.get_rng_state())
    torch.set_rng_state(rest[:size].to(torch.uint8))
    if device.type == "cuda":
        torch.cuda.set_rng_state(rest[size:].to(torch.uint8), device)


@contextmanager
def kept(device: torch.device) -> Iterator[None]:
    """After the block the global streams are as they were before."""
    before = capture(device)
    try:
        yield
    finally:
        restore(before, device)
