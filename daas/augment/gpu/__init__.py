"""The operations as fused Triton kernels for uint8 images on CUDA (the extra ``gpu``).

They have never run on a GPU: what is known of them is what Triton's interpreter shows on the CPU, which is every bit of
the arithmetic and nothing of the speed, and that they compile. ``backend="triton"`` takes them; ``backend="auto"`` does
on a device on which they have given the CPU's bytes just before (``daas.augment.gpu.proof``).
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch

from daas.augment.gpu.records import ONE_PROGRAM

_answers: dict[tuple[int, bool], bool] = {}


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


def trusted(device: torch.device, pixels: int) -> bool:
    """Whether ``backend="auto"`` takes the kernels; the first time on a device they are tried there.

    Args:
        device: Of the images.
        pixels: Of an image.
    """
    if device.type != "cuda":
        return False
    number = torch.cuda.current_device() if device.index is None else device.index
    key = (number, pixels > ONE_PROGRAM)
    if key not in _answers:
        there = torch.device("cuda", number)
        possible = torch.cuda.is_available() and reason_against(there) is None
        if possible and torch.cuda.is_current_stream_capturing():
            return False  # nothing can be compared within a capture
        from daas.augment.gpu.proof import passed

        _answers[key] = possible and passed(there, key[1])
    return _answers[key]


def draws(requested: str, device: torch.device) -> bool:
    """Whether draws on a device are made by a kernel; they are the same without."""
    return reason_against(device) is None if requested == "triton" else requested == "auto" and trusted(device, 0)
