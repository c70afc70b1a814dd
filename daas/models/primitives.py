"""The operations that an edge can carry, by name. A supernet's edge and a derived network's edge are built alike.

Every primitive that ends in a batch norm is an ``nn.Sequential`` whose last child is that batch norm, so that the
search can fold a gate into its scale. Layer order and padding follow the evaluation network of DARTS (Liu et al.,
ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from daas.errors import BadInput
from daas.models.depthwise import Depthwise
from daas.models.reduce import OffsetReduce

DARTS_PRIMITIVES = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The searched set: that of DARTS without ``none``."""


@dataclass(frozen=True)
class _Norm:
    affine: bool
    track_running_stats: bool

    def __call__(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, affine=self.affine, track_running_stats=self.track_running_stats)


def relu_conv_bn(c_in: int, c_out: int, *, affine: bool = True, track_running_stats: bool = True) -> nn.Sequential:
    """The 1x1 convolution that brings a cell's input to the cell's width: [B, c_in, H, W] -> [B, c_out, H, W]."""
    norm = _Norm(affine, track_running_stats)
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), norm(c_out))


def factorized_reduce(c_in: int, c_out: int, *, affine: bool = True, track_running_stats: bool = True) -> nn.Sequential:
    """``relu_conv_bn`` at half the resolution: [B, c_in, H, W] -> [B, c_out, ceil(H/2), ceil(W/2)]."""
    norm = _Norm(affine, track_running_stats)
    return nn.Sequential(nn.ReLU(), OffsetReduce(c_in, c_out), norm(c_out))


def _skip_connect(channels: int, stride: int, norm: _Norm) -> nn.Module:
    if stride == 1:
        return nn.Identity()
    return factorized_reduce(channels, channels, affine=norm.affine, track_running_stats=norm.track_running_stats)


def _separable(channels: int, norm: _Norm, depthwise: nn.Conv2d, inplace: bool = False) -> list[nn.Module]:
    return [nn.ReLU(inplace), depthwise, nn.Conv2d(channels, channels, 1, bias=False), norm(channels)]


def _sep_conv(kernel: int) -> Callable[[int, int, _Norm], nn.Module]:
    def build(channels: int, stride: int, norm: _Norm) -> nn.Module:
        return nn.Sequential(
            *_separable(channels, norm, Depthwise(channels, kernel, stride)),
            *_separable(channels, norm, Depthwise(channels, kernel), inplace=True),
        )

    return build


def _dil_conv(kernel: int) -> Callable[[int, int, _Norm], nn.Module]:
    def build(channels: int, stride: int, norm: _Norm) -> nn.Module:
        return nn.Sequential(*_separable(channels, norm, Depthwise(channels, kernel, stride, dilation=2)))

    return build


def _conv_7x1_1x7(channels: int, stride: int, norm: _Norm) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
        nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
        norm(channels),
    )


def _max_pool(channels: int, stride: int, norm: _Norm) -> nn.Module:
    return nn.MaxPool2d(3, stride, 1)


def _avg_pool(channels: int, stride: int, norm: _Norm) -> nn.Module:
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


_BUILDERS: dict[str, Callable[[int, int, _Norm], nn.Module]] = {
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _avg_pool,
    "skip_connect": _skip_connect,
    "sep_conv_3x3": _sep_conv(3),
    "sep_conv_5x5": _sep_conv(5),
    "sep_conv_7x7": _sep_conv(7),
    "dil_conv_3x3": _dil_conv(3),
    "dil_conv_5x5": _dil_conv(5),
    "conv_7x1_1x7": _conv_7x1_1x7,
}

PRIMITIVE_NAMES = tuple(_BUILDERS)
"""The primitives of the package; programs register others."""
DRAWN_AS = ("sep", "dil", "conv", "max", "avg", "skip")
"""Kinds of primitives, which differ by their colour in drawings; by default the first part of the name."""
_drawn_as: dict[str, str] = {}  # of registered primitives


def known_primitives() -> tuple[str, ...]:
    """Every primitive that a genotype may name."""
    return tuple(_BUILDERS)


def drawn_as(name: str) -> str:
    """The kind by which a primitive is coloured, one of ``DRAWN_AS``, or empty."""
    kind = _drawn_as.get(name, name.split("_")[0])
    return kind if kind in DRAWN_AS else ""


def register_primitive(name: str, build: Callable[[int, int], nn.Module], draw_as: str = "conv") -> None:
    """Makes an operation of one's own a primitive: for ``--primitives`` and ``CellSpace``, genotypes, models, drawings.

    As with the package's convolutions a ReLU stands before it and a batch norm behind it.

    Args:
        name: Letters, digits and underscores, as genotype files will have it.
        build: (channels, stride) -> a module that maps [B, channels, H, W] to [B, channels, ceil(H / stride),
            ceil(W / stride)] and leaves its input as it is. It is run once for each stride, to see that it does.
        draw_as: Its colour in drawings: ``sep``, ``dil``, ``conv``, ``max``, ``avg`` or ``skip``.

    Raises:
        BadInput: The name is taken or has other characters, or the module does not do that.

    >>> register_primitive("blur_3x3", lambda channels, stride: nn.AvgPool2d(3, stride, 1), draw_as="avg")
    >>> build_primitive("blur_3x3", 4, stride=2)(torch.zeros(2, 4, 9, 9)).shape
    torch.Size([2, 4, 5, 5])
    """
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
        raise BadInput(f"primitive {name!r}: use letters, digits and underscores, and no digit first.")
    if name in _BUILDERS or name == "none":
        raise BadInput(f"primitive {name!r} is there already; choose another name.")
    if draw_as not in DRAWN_AS:
        raise BadInput(f"draw_as is {draw_as!r}; it is one of {', '.join(DRAWN_AS)}.")
    with torch.random.fork_rng(devices=[]):
        for stride in (1, 2):
            _try(name, build, stride)
    _BUILDERS[name] = _own(build)
    _drawn_as[name] = draw_as


def _own(build: Callable[[int, int], nn.Module]) -> Callable[[int, int, _Norm], nn.Module]:
    def run(channels: int, stride: int, norm: _Norm) -> nn.Module:
        core = build(channels, stride)
        if not norm.track_running_stats:
            for module in core.modules():
                if isinstance(module, nn.modules.batchnorm._NormBase):  # instance norms too
                    module.track_running_stats = False
                    module.running_mean = module.running_var = module.num_batches_tracked = None
        return nn.Sequential(nn.ReLU(), core, norm(channels))

    return run


def _try(name: str, build: Callable[[int, int], nn.Module], stride: int) -> None:
    """Runs a primitive forward and backward on a small tensor, in a network of a search.

    Raises:
        BadInput: It fails, gives another shape or no numbers, or changes its input.
    """
    where = f"primitive {name!r} with stride {stride} on [2, 16, 9, 9]"
    images = torch.randn(2, 16, 9, 9).relu().requires_grad_() * 1.0
    before, version = images.detach().clone(), images._version
    try:
        core = build(16, stride)
        found = core(images) if isinstance(core, nn.Module) else None
        if isinstance(found, Tensor):
            found.sum().backward()
    except Exception as error:  # a program's own module raises anything
        raise BadInput(f"{where}: {type(error).__name__}: {error}") from error
    size = -(-9 // stride)
    if not isinstance(found, Tensor):
        got = type(core).__name__ if found is None else type(found).__name__
        raise BadInput(f"{where}: build(channels, stride) gives a module that maps a tensor to a tensor; found {got}.")
    if found.shape != (2, 16, size, size) or not bool(found.isfinite().all()):
        raise BadInput(f"{where} gives {list(found.shape)} or no finite numbers; expected [2, 16, {size}, {size}].")
    if images._version != version or not torch.equal(images, before):
        raise BadInput(f"{where} changes its input, which other edges read; leave out inplace=True at its start.")


def build_primitive(
    name: str,
    channels: int,
    stride: int,
    *,
    affine: bool = True,
    pool_norm: bool = False,
    track_running_stats: bool = True,
) -> nn.Module:
    """Builds one operation: [B, channels, H, W] -> [B, channels, ceil(H/stride), ceil(W/stride)].

    Args:
        name: One of ``known_primitives()``.
        channels: Input and output channels.
        stride: 1 or 2.
        affine: Whether batch norms have scale and shift (a search network's do not).
        pool_norm: Whether a batch norm follows a pool (as in the search network).
        track_running_stats: Whether batch norms keep running statistics.

    Raises:
        BadInput: An unknown name.
    """
    if name not in _BUILDERS:
        raise BadInput(f"unknown primitive {name!r}; known are {', '.join(_BUILDERS)}.")
    norm = _Norm(affine, track_running_stats)
    primitive = _BUILDERS[name](channels, stride, norm)
    if pool_norm and isinstance(primitive, (nn.MaxPool2d, nn.AvgPool2d)):
        return nn.Sequential(primitive, norm(channels))
    return primitive
