"""A batch through compiled code: the loop over its images, the buffers it reuses, the threads that share it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daas.augment.cpu.image import operations
from daas.augment.cpu.jit import Bytes, Floats, compiled_entry, source_digest
from daas.augment.cpu.memory import copy_bytes
from daas.augment.cpu.point import look_up, look_up_normalized, normalize
from daas.augment.draw import Draw

_WORTH_A_THREAD = 1 << 18
"""Bytes of images below which another thread costs more than it saves."""


def _make_loop(digest: str) -> Callable[..., None]:
    @compiled_entry
    def loop(
        images: Bytes,
        as_bytes: Bytes,
        as_floats: Floats,
        op: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
        center: npt.NDArray[np.float64],
        size: tuple[int, int],
        bilinear: bool,
        colors: Bytes,
        scale: Floats,
        scratch: Bytes,
        numbers: npt.NDArray[np.uint32],
        floats: Floats,
    ) -> None:
        _ = digest  # a part of numba's key
        channels = colors.shape[1]
        luts, pixels = scratch[: 512 * channels], scratch[512 * channels :]
        for b in range(len(images)):
            image, waiting, lut = operations(
                images[b], op[b], value[b], center[b], size, bilinear, colors, pixels, luts, numbers
            )
            if len(as_floats):
                if waiting:
                    look_up_normalized(image, as_floats[b], lut, floats, scale[0], scale[1])
                else:
                    normalize(image, as_floats[b], scale[0], scale[1])
            elif waiting:
                look_up(image, as_bytes[b], lut, channels)
            else:
                copy_bytes(as_bytes[b], 0, image, 0, len(image))

    return loop


_loop = _make_loop(source_digest())
# Once freed, a block of this size tells glibc to keep up to 64 MiB of freed memory instead of giving it back: a batch
# of floats then lands where the last one was, without page faults, which take a third of the time at 224 pixels.
torch.empty(31 << 20, dtype=torch.uint8)


class _Scratch(threading.local):
    """Buffers of one thread, kept from batch to batch and made anew only for another size of image."""

    def __init__(self) -> None:
        self.size = (0, 0, 0)
        self.buffers: tuple[Bytes, npt.NDArray[np.uint32], Floats]

    def get(self, channels: int, height: int, width: int) -> tuple[Bytes, npt.NDArray[np.uint32], Floats]:
        if self.size != (channels, height, width):
            self.buffers = (
                np.empty(channels * (512 + 2 * height * width), np.uint8),
                np.empty(max(1024, 2 * width + 2), np.uint32),
                np.empty(channels * 256, np.float32),
            )
            self.size = (channels, height, width)
        return self.buffers


class _Threads:
    """A pool that a forked process starts anew, because threads do not survive a fork."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._pool, self._lock = None, threading.Lock()

    def get(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="daas-augment")
            return self._pool


_scratch, _threads = _Scratch(), _Threads()
_NO_BYTES, _NO_FLOATS = np.empty((0, 0), np.uint8), np.empty((0, 0), np.float32)


def run(images: Tensor, draw: Draw, colors: Bytes, scale: Floats | None, bilinear: bool) -> Tensor:
    """Applies a draw to a batch, on as many threads as torch uses (one in a DataLoader worker).

    Args:
        images: [B, C, H, W] uint8 on the CPU.
        draw: One row per image, on the CPU.
        colors: [2, C], what geometric operations and Cutout fill with.
        scale: [2, C], a shift and a factor per channel: the output is (x - shift) * factor in float32. None: uint8.
        bilinear: Interpolation of geometric operations, instead of the nearest neighbour.

    Returns:
        [B, C, H, W], contiguous.
    """
    count, channels, height, width = images.shape
    out = torch.empty(images.shape, dtype=torch.uint8 if scale is None else torch.float32)
    source, target = images.contiguous().view(count, -1).numpy(), out.view(count, -1).numpy()
    op, value, center = (np.ascontiguousarray(t.numpy()) for t in (draw.op, draw.value, draw.center))

    def part(first: int, stop: int) -> None:
        chosen = slice(first, stop)
        _loop(
            source[chosen],
            target[chosen] if scale is None else _NO_BYTES,
            _NO_FLOATS if scale is None else target[chosen],
            op[chosen], value[chosen], center[chosen], (height, width), bilinear, colors,
            _NO_FLOATS if scale is None else scale, *_scratch.get(channels, height, width),
        )  # fmt: skip

    threads = min(torch.get_num_threads(), max(1, source.size // _WORTH_A_THREAD), count)
    ends = [count * k // threads for k in range(threads + 1)]
    waiting = [_threads.get().submit(part, *ends[k : k + 2]) for k in range(1, threads)]
    part(*ends[:2])
    for future in waiting:
        future.result()
    return out
