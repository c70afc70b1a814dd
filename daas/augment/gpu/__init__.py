"""The operations as fused Triton kernels for uint8 images on CUDA (the extra ``gpu``).

They have never run on a GPU: what is known of them is what Triton's interpreter shows on the CPU, which is every bit of
the arithmetic and nothing of the speed, and that they compile. ``backend="triton"`` takes them; ``backend="auto"`` does
on a device where the very build that is wanted has just given the CPU's bytes (``daas.augment.gpu.proof``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Lock

import torch
from torch import Tensor

from daas.augment.gpu.records import ONE_PROGRAM

_BLOCK = (64, 512)
"""Pixels that a program has at a time, at least and at most. (With 1,024 an H100 has too few registers: ptxas.)"""
_answers: dict[tuple[object, ...], bool] = {}
_asking = Lock()


@dataclass(frozen=True)
class Build:
    """What kernels are compiled for beside the images.

    Attributes:
        slots: Operations per image.
        dtype: Of a normalised batch; None: bytes come out.
        channels_last: Whether the output's memory has the channels last.
        bilinear: Interpolation.
    """

    slots: int
    dtype: torch.dtype | None = None
    channels_last: bool = False
    bilinear: bool = False


def block(pixels: int) -> int:
    """Pixels that a program has at a time: a power of two."""
    return min(_BLOCK[1], max(_BLOCK[0], 1 << max(0, pixels - 1).bit_length()))


def linear(images: Tensor) -> bool:
    """Whether the rows of a channel follow each other."""
    _, _, height, width = images.shape
    _, _, row, column = images.stride()
    return (column == 1 or width == 1) and (row == width or height == 1)


def reason_against(device: torch.device) -> str | None:
    """Why the kernels cannot run on images of a device; None: they can."""
    if find_spec("triton") is None:
        return "Triton is not installed: pip install 'timm-daas[gpu]' (Linux)"
    if device.type == "cuda":
        return None
    if device.type == "cpu":
        if os.environ.get("TRITON_INTERPRET") == "1":
            return None
        return "it works on CUDA and the images are on cpu (Triton's interpreter takes those: TRITON_INTERPRET=1)"
    return f"it works on CUDA and the images are on {device}"


def trusted(images: Tensor, wanted: Build) -> bool:
    """Whether ``backend="auto"`` takes the kernels; the first time for such images on a device they are tried there.

    Args:
        images: [B, C, H, W] uint8.
        wanted: What is to be done with them.
    """
    if images.device.type != "cuda" or images.ndim != 4:
        return False
    pixels = images.shape[2] * images.shape[3]
    key = (images.device.index, images.shape[1], linear(images), pixels > ONE_PROGRAM, block(pixels), wanted)
    return _answers[key] if key in _answers else _asked(key, images, wanted)


def _asked(key: tuple[object, ...], images: Tensor, wanted: Build) -> bool:
    with _asking:
        if key in _answers:
            return _answers[key]
        possible = torch.cuda.is_available() and reason_against(images.device) is None
        if possible and torch.cuda.is_current_stream_capturing():
            return False  # nothing can be compared within a capture
        from daas.augment.gpu.proof import differing, warn

        reason = differing(images, wanted) if possible else ""
        _answers[key] = reason is None
    if reason:
        warn(images.device, reason)
    return _answers[key]
