"""Whether the kernels give Pillow's bits on a device: asked of it once, before ``backend="auto"`` takes them."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from daas.augment import batched, counter
from daas.augment.draw import Draw
from daas.augment.space import BASE, OPERATIONS, at, magnitude_table
from daas.seeds import generator

_SIDES = {False: (32, 31), True: (144, 121)}  # one program for an image, or several
_COLORS = ((9, 200, 30), (125, 123, 114))
_SEED = 20


def passed(device: torch.device, large: bool) -> bool:
    """Whether the kernels give the CPU's bytes on a device; where they do not, a warning says why.

    Every operation runs on images there, after and before every other one, and so does a draw; what has not been
    compiled on this machine is, which takes seconds.

    Args:
        device: Of CUDA.
        large: For images of more than 128 x 128 pixels.
    """
    reason = differing(device, large)
    if reason is not None:
        warnings.warn(
            f"the Triton kernels are not used on {device}: {reason}. torch augments there, with Pillow's bits, and "
            "takes longer; backend='torch' does so without asking.",
            stacklevel=2,
        )
    return reason is None


def differing(device: torch.device, large: bool, images: int = 400) -> str | None:
    """What the kernels do otherwise than the CPU; None: nothing that was looked at.

    Args:
        device: Of the images.
        large: For images of more than 128 x 128 pixels.
        images: How many are looked at.
    """
    try:
        with torch.device("cpu"):
            return _bytes(device, large, images) or _draws(device)
    except Exception as error:  # what stops a kernel here (no compiler, too few registers) would stop it in a training
        said = str(error).strip().splitlines() or [""]
        return f"they do not run there ({type(error).__name__}: {said[0][:200]})"


def _bytes(device: torch.device, large: bool, count: int) -> str | None:
    """Every operation in either of two slots, at random levels, on noise, smooth colours and narrow ranges."""
    from daas.augment.gpu.driver import run

    random = generator(_SEED)
    names = [row.name for row in (*OPERATIONS, *BASE)]
    op = (torch.arange(count).unsqueeze(1) + torch.tensor([0, 7])) % len(names)
    op[:, 1] = (op[:, 1] + torch.arange(count) // len(names)) % len(names)
    level = torch.randint(10, op.shape, generator=random)
    draw = Draw.from_choices(op, magnitude_table(names)[op, level], torch.ones_like(op, dtype=torch.bool), random)
    images = _images(count, *_SIDES[large], random)
    colors = torch.tensor(_COLORS, dtype=torch.uint8).view(2, 3)
    expected = batched.run(images, draw, colors, False, "bytes")
    found = run(images.to(device), draw, colors).cpu()
    wrong = (found != expected).flatten(1).any(1).nonzero().flatten().tolist()
    if not wrong:
        return None
    first = " then ".join(at(index).name for index in op[wrong[0]].tolist())
    return f"{len(wrong)} of {count} images differ from Pillow's, the first under {first}"


def _images(count: int, height: int, width: int, random: torch.Generator) -> Tensor:
    """[count, 3, height, width] uint8."""
    coarse = torch.rand(count, 3, 4, 4, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    mixed = 200 * smooth + 55 * torch.rand(smooth.shape, generator=random)
    mixed[1::3] = 90 + mixed[1::3] / 6
    return mixed.clamp(0, 255).to(torch.uint8)


def _draws(device: torch.device) -> str | None:
    """A draw on the device beside the same one on the CPU."""
    from daas.augment.gpu.draws import sample

    count = len(OPERATIONS)
    op = torch.stack([torch.arange(count), torch.arange(count).flip(0)], 1).numpy()
    value = magnitude_table([row.name for row in OPERATIONS])[op, 7].numpy()
    prob, ends = torch.full(op.shape, 0.7).double().numpy(), torch.arange(1, count).double().div(count).numpy()
    address = counter.Address(seed=(1 << 64) - 5, step=(1 << 33) + 3)
    here = counter.sample(counter.Tables.on(torch.device("cpu"), (op, prob, value, ends), 0.9), 300, address)
    there = sample(counter.Tables.on(device, (op, prob, value, ends), 0.9), 300, address).to("cpu")
    same = (torch.equal(getattr(here, name), getattr(there, name)) for name in ("op", "value", "center"))
    return None if all(same) else "draws are others than the CPU's"
