"""The operations as fused Triton kernels for uint8 images on CUDA (the extra ``gpu``).

They have never run on a GPU: what is known of them is what Triton's interpreter shows on the CPU, which is every bit of
the arithmetic and nothing of the speed, and that they compile. ``backend="triton"`` takes them, ``backend="auto"`` does
not.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch


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
