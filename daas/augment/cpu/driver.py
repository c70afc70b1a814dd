"""A batch through compiled code: the loop over its images, the buffers it reuses, the threads that share it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daas.augment.cpu.image import operations
from daas.augment.cpu.jit import Bytes, Floats, compiled_entry, source_digest
from daas.augment.cpu.memory import copy_bytes, fetch_add
from daas.augment.cpu.outputs import Outputs
from daas.augment.cpu.point import look_up, look_up_normalized, normalize
from daas.augment.cpu.threads import Helpers
from daas.augment.draw import Draw

_WORTH_A_THREAD = 1 << 17
"""Bytes of images below which another thread costs more than it saves."""
_PART = 1 << 14
"""Bytes of images that a thread takes at a time."""


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
        taken: npt.NDArray[np.int64],
        part: int,
    ) -> None:
        _ = digest  # a part of numba's key
        channels = colors.shape[1]
        luts, pixels = scratch[: 512 * channels], scratch[512 * channels :]
        b, stop = 0, 0
        while True:
            if b == stop:  # the next part that no other thread has taken
                b = fetch_add(taken, part)
                stop = min(b + part, len(images))
                if b >= stop:
                    return
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
            b += 1

    return loop


_loop = _make_loop(source_digest())


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


_scratch, _helpers, _outputs = _Scratch(), Helpers(), Outputs()
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
    out = _outputs.get(images.shape, torch.uint8 if scale is None else torch.float32)
    source, target = images.contiguous().view(count, -1).numpy(), out.view(count, -1).numpy()
    op, value, center = (np.ascontiguousarray(t.numpy()) for t in (draw.op, draw.value, draw.center))
    as_bytes, as_floats = (target, _NO_FLOATS) if scale is None else (_NO_BYTES, target)
    scales = _NO_FLOATS if scale is None else scale
    taken, part = np.zeros(1, np.int64), max(1, _PART // source.shape[1])

    def work() -> None:
        _loop(source, as_bytes, as_floats, op, value, center, (height, width), bilinear, colors, scales,
              *_scratch.get(channels, height, width), taken, part)  # fmt: skip

    threads = min(torch.get_num_threads(), source.size // _WORTH_A_THREAD, -(-count // part))
    _helpers.run(work, threads - 1)
    return out
