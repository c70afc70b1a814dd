"""Applying a draw to a batch: the way in to the implementations of the operations.

Reference semantics are Pillow's on uint8: on uint8 (and on quantised float) batches the result is Pillow's to the bit,
whichever implementation runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from daas.augment import batched, cpu, gpu
from daas.augment.draw import Draw
from daas.augment.operation import Kind
from daas.augment.space import all_fused, only_fused
from daas.errors import BadInput
from daas.sending import sent

Backend = Literal["auto", "torch", "numba", "triton"]
ChosenBackend = Literal["torch", "numba", "triton"]
Interpolation = Literal["nearest", "bilinear"]
Statistics = tuple[Sequence[float], Sequence[float]]

_KINDS = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)
_IN_CACHE = 1 << 17
"""Values that several passes over them find in the cache."""
_SLACK = 1e-3
"""By which float images may miss [0, 1]: a quarter of a level, for rounding."""
_NO_LEVELS = "it works on 256 levels, and quantize=False asks for float arithmetic"
CUTOUT_FILL = (125, 123, 114)
"""The grey that Cutout fills with (Fast AutoAugment, DADA)."""


@dataclass(frozen=True)
class Form:
    """What a batch comes out as.

    Attributes:
        dtype: Of a normalised batch; None: float32 for uint8, the dtype that floats came with.
        channels_last: Whether its memory has the channels last.
    """

    dtype: torch.dtype | None = None
    channels_last: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        """As PyTorch calls it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def of(self, batch: Tensor) -> Tensor:
        """The batch in this form; itself, where it has it."""
        return batch.to(self.dtype or batch.dtype, memory_format=self.memory_format)


_PLAIN = Form()


def apply(
    images: Tensor,
    draw: Draw,
    fill: Sequence[int] = (0, 0, 0),
    quantize: bool = True,
    backend: Backend = "auto",
    interpolation: Interpolation = "nearest",
    normalize: Statistics | None = None,
    form: Form = _PLAIN,
) -> Tensor:
    """Applies a draw to a batch: slot 0 of every image first, then slot 1, and so on.

    Args:
        images: [B, C, H, W] with 1 or 3 channels: uint8, or float in [0, 1].
        draw: One row per image.
        fill: RGB in 0..255, for pixels that geometric operations bring in.
        quantize: Float images: True rounds to the 256 levels first and gives what uint8 would give; False truncates
            nowhere, and gradients pass (Equalize and Posterize are flat, as they must be).
        backend: ``auto``: see ``choose_backend``.
        interpolation: Of geometric operations.
        normalize: (mean, std) per channel, as shares of the full range: the output is then a normalised float batch.
        form: Of the output; the Triton kernels write it at once, after the others it is a pass of its own.

    Returns:
        A batch of the same shape and dtype, contiguous unless ``form`` says otherwise (uint8 becomes float32 with
        ``normalize``); the input is not changed.

    Raises:
        BadInput: Another shape or dtype, floats beyond [0, 1] on the CPU (on other devices looking would mean waiting),
            a draw for another number of images or with operations that do not exist, or a backend that cannot work on
            these images.
    """
    if form.dtype is not None and normalize is None:
        raise BadInput(f"dtype is {form.dtype}, which is that of normalised output: give normalize=(mean, std) too.")
    return form.of(_applied(images, draw, fill, quantize, backend, interpolation, normalize, form))


def _applied(
    images: Tensor,
    draw: Draw,
    fill: Sequence[int],
    quantize: bool,
    backend: Backend,
    interpolation: Interpolation,
    normalize: Statistics | None,
    form: Form,
) -> Tensor:
    """``apply``, where what comes out need not have the form yet."""
    _check(images, draw)
    colors = fill_colors(tuple(fill), images.shape[1])
    if images.numel() == 0:
        return images.to(torch.float32) if normalize and not images.is_floating_point() else images.clone()
    bilinear = interpolation == "bilinear"
    wanted = build(images, draw.op.shape[1], normalize, form, interpolation)
    chosen = choose_backend(backend, images, quantize, wanted)
    made_there = draw.op.device == images.device and images.device.type != "cpu"
    if chosen == "triton" and images.dtype == torch.uint8 and made_there and only_fused():
        scale = None if normalize is None else shift_and_factor(normalize, images.shape[1])
        return _triton(images, draw, colors, scale, bilinear, form)  # where the draw was made, so nothing waits
    draw = draw.to("cpu")
    draw.check()
    if images.dtype == torch.uint8 and chosen != "torch":
        return _compiled(images, draw, colors, normalize, bilinear, chosen, form)
    if images.dtype != torch.uint8 and quantize:
        levels = images.float().mul(255.0).round_().clamp_(0, 255).to(torch.uint8)
        levels = apply(levels, draw, fill, True, backend, interpolation)
        result = levels.float().div_(255.0) if normalize is None else normalized(levels, normalize)
        return result.to(images.dtype)
    if images.dtype == torch.uint8:
        result = batched.run(images, draw, colors, bilinear, "bytes")
        return result if normalize is None else normalized(result, normalize)
    wide = images if images.dtype == torch.float64 else images.float()
    with torch.autocast(images.device.type, enabled=False):  # a matrix in half precision misses by pixels
        result = batched.run(wide, draw, colors, bilinear, "floats")
    return (result if normalize is None else normalized(result * 255.0, normalize)).to(images.dtype)


def _compiled(
    images: Tensor,
    draw: Draw,
    colors: Tensor,
    statistics: Statistics | None,
    bilinear: bool,
    backend: Literal["numba", "triton"],
    form: Form,
) -> Tensor:
    """Through numba or Triton; images of operations that their code does not have are left to the operations' forms."""
    run = _numba if backend == "numba" else _triton
    scale = None if statistics is None else shift_and_factor(statistics, images.shape[1])
    fused = all_fused(draw.op)
    if bool(fused.all()):
        if backend == "triton":
            return _triton(images, draw, colors, scale, bilinear, form)
        return _numba(images, draw, colors, scale, bilinear)
    kind = torch.uint8 if statistics is None else torch.float32
    result = torch.empty(images.shape, dtype=kind, device=images.device)
    mine, others = fused.nonzero().squeeze(1), (~fused).nonzero().squeeze(1)
    mine_there, others_there = sent(mine, images.device), sent(others, images.device)
    if len(mine):
        result[mine_there] = run(images[mine_there], draw[mine], colors, scale, bilinear)
    kind_of: Kind = "compiled" if backend == "numba" else "bytes"
    done = batched.run(images[others_there], draw[others], colors, bilinear, kind_of)
    result[others_there] = done if statistics is None else normalized(done, statistics)
    return result


def _numba(images: Tensor, draw: Draw, colors: Tensor, scale: Tensor | None, bilinear: bool) -> Tensor:
    from daas.augment.cpu.driver import run

    return run(images, draw, colors.numpy(), None if scale is None else scale.numpy(), bilinear)


def _triton(
    images: Tensor, draw: Draw, colors: Tensor, scale: Tensor | None, bilinear: bool, form: Form = _PLAIN
) -> Tensor:
    from daas.augment.gpu.driver import run

    dtype = form.dtype or torch.float32
    return run(images, draw, colors, scale, bilinear, dtype=dtype, memory_format=form.memory_format)


def normalized(levels: Tensor, statistics: Statistics) -> Tensor:
    """``(x - 255 mean) / (255 std)`` per channel, by one subtraction and one multiplication.

    Args:
        levels: [B, C, H, W] on the scale 0 to 255, uint8 or float.
        statistics: Mean and standard deviation per channel, as shares of the full range.

    Returns:
        The normalised batch, float32 for uint8.
    """
    shift, factor = sent(shift_and_factor(statistics, levels.shape[1]), levels.device).view(2, -1, 1, 1)
    if levels.device.type != "cpu" or levels.requires_grad:
        return levels.sub(shift).mul_(factor)
    result = torch.empty_like(
        levels, dtype=torch.promote_types(levels.dtype, torch.float32), memory_format=torch.contiguous_format
    )
    images = max(1, _IN_CACHE // (levels[:1].numel() or 1))
    for part, out in zip(levels.split(images), result.split(images), strict=True):
        out.copy_(part).sub_(shift).mul_(factor)
    return result


def shift_and_factor(statistics: Statistics, channels: int) -> Tensor:
    """255 mean and 1 / (255 std), [2, C] float32.

    Raises:
        BadInput: Not one mean and one positive standard deviation per channel.
    """
    mean, std = (tuple(float(x) for x in values) for values in statistics)
    return _shift_and_factor(mean, std, channels)


@lru_cache(maxsize=64)
def _shift_and_factor(mean: tuple[float, ...], std: tuple[float, ...], channels: int) -> Tensor:
    whole = all(map(math.isfinite, (*mean, *std)))
    if len(mean) != channels or len(std) != channels or not (whole and all(s > 0 for s in std)):
        raise BadInput(
            f"normalize is {(mean, std)}; images of {channels} channels need a mean and a positive standard deviation "
            "for each, as shares of the full range."
        )
    if not all(0 <= m <= 1 for m in mean) or not all(s <= 1 for s in std):
        raise BadInput(
            f"normalize is {(mean, std)}; both are shares of the full range, from 0 to 1. Divide levels from 0 to 255 "
            "by 255, mean and standard deviation alike."
        )
    values = [[255.0 * m for m in mean], [1.0 / (255.0 * s) for s in std]]
    return torch.tensor(values, dtype=torch.float64, device="cpu").float()


@lru_cache(maxsize=64)
def fill_colors(fill: tuple[int, ...], channels: int) -> Tensor:
    """What geometric operations and Cutout fill with, in the images' channels: [2, C] uint8."""
    colors = np.array([fill, CUTOUT_FILL])
    if channels == 1:  # luma (ITU-R 601) in Pillow's 16-bit fixed point
        colors = (colors @ np.array([19595, 38470, 7471]) + 32768)[:, None] >> 16
    return torch.from_numpy(colors.astype(np.uint8))


def build(
    images: Tensor, slots: int, normalize: Statistics | None, form: Form, interpolation: Interpolation
) -> gpu.Build:
    """What the Triton kernels are compiled for; floats go through them as bytes, and are normalised after them."""
    if images.is_floating_point():
        normalize, form = None, _PLAIN
    dtype = None if normalize is None else form.dtype or torch.float32
    return gpu.Build(slots, dtype, form.channels_last, interpolation == "bilinear")


def choose_backend(
    requested: Backend, images: Tensor | None = None, quantize: bool = True, wanted: gpu.Build | None = None
) -> ChosenBackend:
    """Which implementation runs.

    Args:
        requested: ``auto``, for images of 256 levels (uint8 or quantised float): compiled on the CPU, if numba is
            installed, and the Triton kernels on a CUDA device where they have given the same bytes, as long as there
            are no registered operations; torch otherwise. ``torch``, ``numba`` and ``triton`` force.
        images: The batch; None asks for a uint8 batch on the CPU.
        quantize: As for ``apply``.
        wanted: What the kernels would be compiled for; without, ``auto`` does not take them.

    Raises:
        BadInput: ``numba`` or ``triton`` where it cannot work, or another word.
    """
    if requested not in ("auto", "torch", "numba", "triton"):
        raise BadInput(f"backend is {requested!r}; it is 'auto', 'torch', 'numba' or 'triton'.")
    if requested == "torch":
        return "torch"
    levels = quantize or (images is not None and not images.is_floating_point())
    if requested == "triton":
        reason = gpu.reason_against(torch.device("cuda") if images is None else images.device)
        if reason is None and not levels:
            reason = _NO_LEVELS
        if reason is not None:
            raise BadInput(f"backend='triton' cannot be used: {reason}. backend='auto' takes another one.")
        return "triton"
    if requested == "auto" and levels and images is not None and wanted is not None and _proved(images, wanted):
        return "triton"
    reason = None
    if not cpu.available():
        reason = "numba is not installed: pip install 'timm-daas[cpu]'"
    elif images is not None and images.device.type != "cpu":
        reason = f"it works on the CPU and the images are on {images.device}"
    elif not levels:
        reason = _NO_LEVELS
    if reason is None:
        return "numba"
    if requested == "numba":
        raise BadInput(f"backend='numba' cannot be used: {reason}. backend='auto' takes torch in such cases.")
    return "torch"


def _proved(images: Tensor, wanted: gpu.Build) -> bool:
    """Whether the Triton kernels give the CPU's bytes there; with registered operations there is more than kernels."""
    return images.device.type == "cuda" and only_fused() and gpu.trusted(images, wanted)


def _check(images: Tensor, draw: Draw) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        last = images.ndim == 4 and images.shape[3] in (1, 3)
        hint = " Channels come first: images.permute(0, 3, 1, 2)." if last else ""
        raise BadInput(f"images are [B, C, H, W] with 1 or 3 channels; found {tuple(images.shape)}.{hint}")
    if images.dtype not in _KINDS:
        raise BadInput(f"images are uint8, or float in [0, 1] of 16, 32 or 64 bits; found {images.dtype}.")
    if images.layout != torch.strided:
        raise BadInput(f"images are dense; found {images.layout}. images.to_dense() makes them so.")
    if images.is_floating_point() and images.device.type == "cpu" and images.numel():
        low, high = (float(value) for value in images.detach().aminmax())
        if not (low >= -_SLACK and high <= 1.0 + _SLACK):
            raise BadInput(
                f"float images are in [0, 1]; found values from {low:.4g} to {high:.4g}. Levels from 0 to 255 are "
                "divided by 255 or given as uint8; normalised images come out of the policy (normalize=(mean, std)), "
                "not into it."
            )
    if len(draw) != len(images):
        raise BadInput(f"the draw is for {len(draw)} images and the batch has {len(images)}.")
