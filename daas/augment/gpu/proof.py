"""Whether the kernels give Pillow's bits on a device: asked of it once, before ``backend="auto"`` takes a build."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from daas.augment import batched
from daas.augment.draw import Draw
from daas.augment.gpu import Build, linear
from daas.augment.space import BASE, OPERATIONS, at, magnitude_table
from daas.seeds import generator

_FEWEST, _MOST, _VALUES = 40, 400, 400 * 1024  # images, and pixels of all of them
_COLORS = ((9, 200, 30), (125, 123, 114))
_SCALE = ((125.3, 123.0, 113.9), (1 / 63.0, 1 / 62.1, 1 / 66.7))
_SEED = 20


def warn(device: torch.device, reason: str) -> None:
    """Says that torch augments on a device, and why."""
    warnings.warn(
        f"the Triton kernels are not used on {device} for such images: {reason}. torch augments them, with Pillow's "
        "bits, and takes longer; backend='torch' does so without asking.",
        stacklevel=2,
    )


def differing(like: Tensor, wanted: Build, most: int = _MOST) -> str | None:
    """What a build does otherwise than the CPU; None: nothing that was looked at.

    Every operation runs in the first slot, and before (or after) every other one where there are two; up to 400 images
    of 32 pixels, 40 of 224. What has not been compiled on this machine is, which takes seconds.

    Args:
        like: Images [B, C, H, W] on the device, which others are made like: in channels, size and layout.
        wanted: The build.
        most: Images that are looked at.

    Raises:
        torch.cuda.OutOfMemoryError: There is no memory for them; nothing is known then.
    """
    _, channels, height, width = like.shape
    count = min(most, max(_FEWEST, _VALUES // (height * width)))
    try:
        with torch.device("cpu"), torch.autocast("cpu", enabled=False):
            random = generator(_SEED)
            images, draw = _images(count, channels, height, width, random), _draw(count, wanted.slots, random)
            return _compared(images, draw, wanted, like)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # what stops a kernel here (no compiler, too few registers) would stop it in a training
        said = str(error).strip().splitlines() or [""]
        return f"they do not run there ({type(error).__name__}: {said[0][:200]})"


def _compared(images: Tensor, draw: Draw, wanted: Build, like: Tensor) -> str | None:
    from daas.augment.gpu.driver import run  # needs Triton

    channels = images.shape[1]
    colors = torch.tensor(_COLORS, dtype=torch.uint8)[:, :channels]
    scale = None if wanted.dtype is None else torch.tensor(_SCALE, dtype=torch.float32)[:, :channels]
    expected = batched.run(images, draw, colors, wanted.bilinear, "bytes")
    if scale is not None:
        shift, factor = scale.view(2, -1, 1, 1)
        expected = expected.float().sub(shift).mul(factor).to(wanted.dtype)
    there = images.to(like.device)
    if not linear(like):
        there = there.repeat_interleave(2, 3)[..., ::2]
    form = torch.channels_last if wanted.channels_last else torch.contiguous_format
    dtype = wanted.dtype or torch.float32
    found = run(there, draw, colors, scale, wanted.bilinear, dtype=dtype, memory_format=form).cpu()
    wrong = (found != expected).flatten(1).any(1).nonzero().flatten().tolist()
    if not wrong:
        return None
    first = " then ".join(at(index).name for index in draw.op[wrong[0]].tolist() if index >= 0)
    return f"{len(wrong)} of {len(images)} images differ from Pillow's, the first under {first}"


def _draw(count: int, slots: int, random: torch.Generator) -> Draw:
    """Every operation in the first slot, and in the others those that have not followed it yet; random levels."""
    names = [row.name for row in (*OPERATIONS, *BASE)]
    image, slot = torch.arange(count).unsqueeze(1), torch.arange(slots)
    op = (image + slot * (7 + image // len(names))) % len(names)
    level = torch.randint(10, op.shape, generator=random)
    return Draw.from_choices(op, magnitude_table(names)[op, level], torch.ones_like(op, dtype=torch.bool), random)


def _images(count: int, channels: int, height: int, width: int, random: torch.Generator) -> Tensor:
    """Smooth colours with noise, a third of them of a narrow range: [count, channels, height, width] uint8."""
    coarse = torch.rand(count, channels, 4, 4, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    mixed = 200 * smooth + 55 * torch.rand(smooth.shape, generator=random)
    mixed[1::3] = 90 + mixed[1::3] / 6
    return mixed.clamp(0, 255).to(torch.uint8)
