"""Memory for results, used again: fresh memory costs a page fault per 4 KiB, more than the augmentation itself."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_LEAST, _MOST = 1 << 20, 192 << 20  # bytes: below, the allocator keeps them; above, nobody wants them kept
_KEPT = 2  # a loop holds the last result while it asks for the next


class Outputs:
    """Gives tensors, and gives the memory of earlier ones again when nothing refers to it any more."""

    def __init__(self) -> None:
        self._kept: list[npt.NDArray[np.uint8]] = [np.empty(1, np.uint8)]
        self._alone = self._references(0)
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._kept, self._lock = [], threading.Lock()

    def _references(self, index: int) -> int:
        return sys.getrefcount(self._kept[index])

    def get(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A contiguous tensor on the CPU with whatever is in its memory."""
        size = int(np.prod(shape)) * dtype.itemsize
        if not _LEAST <= size <= _MOST:
            return torch.empty(shape, dtype=dtype, device="cpu")
        with self._lock:
            for index in range(len(self._kept)):
                if self._kept[index].size == size and self._references(index) == self._alone:
                    return torch.from_numpy(self._kept[index]).view(dtype).view(shape)
            fresh = torch.empty(size, dtype=torch.uint8, device="cpu").numpy()
            self._kept = [*self._kept[1 - _KEPT :], fresh]
            return torch.from_numpy(fresh).view(dtype).view(shape)
