"""Several batches run as one: batch norm takes its statistics batch by batch, as if each were alone.

In the field: ghost batch norm (Hoffer et al., NeurIPS 2017), here with the policies' batches as the ghost batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from daas.search.algorithm.batch_norm import BatchNormMode, Norm
from daas.search.spaces.cells import Mixture, Path
from daas.search.spaces.supernet import FixedNetwork, SearchCell, SuperNet

_IMAGES = 4  # of each of the two batches that a network is tried on
_TOLERANCE = 1e-2  # what mixes or draws is off by the size of the output itself


class PerPart(BatchNormMode):
    """Within the block batch norms of the images, in whatever network they stand, normalise part by part.

    Running statistics move part by part, in the order of the parts, as in passes one after the other. A norm of another
    number of rows (of a convolution's weights, say) stays as it is.

    Args:
        parts: Batches of equal size that the images are made of, one behind the other.
        rows: Images in all.
        tracked: Whether running statistics move; a pass that only differentiates leaves them alone.

    >>> x = torch.arange(8.0).view(4, 2)
    >>> with PerPart(2, rows=4):
    ...     joined = F.batch_norm(x, None, None, training=True)
    >>> torch.equal(joined[:2], F.batch_norm(x[:2], None, None, training=True))
    True
    """

    def __init__(self, parts: int, rows: int, tracked: bool = True) -> None:
        super().__init__(rows)
        self.parts = parts
        self.tracked = tracked

    def normalized(self, input: Tensor, norm: Norm) -> Tensor:
        """Part by part."""
        running = norm.running if self.tracked else (None, None)
        return torch.cat(
            [
                F.batch_norm(part, *running, norm.weight, norm.bias, True, norm.momentum, norm.eps)
                for part in input.chunk(self.parts)
            ]
        )


def why_not_joined(network: SuperNet | FixedNetwork, side: int) -> str:
    """Why batches of this network cannot be run as one, or nothing: two are, and apart, and its modules compared.

    Batch norm alone may mix the images of a batch, and nothing may draw at random: masks for all images at once are
    others than those of one batch after the other.

    Args:
        network: In training mode; left as it was, and so are torch's random streams.
        side: Of the images, in pixels.

    Returns:
        A sentence that names the first module that stands against it, or an empty text.
    """
    parameter = next(network.parameters())
    device = parameter.device
    z = _everything(network)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        images = torch.rand(2 * _IMAGES, 3, side, side, device=device, dtype=parameter.dtype)
        images[_IMAGES:] *= 0.25  # so that statistics of both together are those of neither
        images = images.contiguous(memory_format=torch.channels_last)
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
        if isinstance(network, FixedNetwork):
            network.set_mode(training=True)
        apart = [_watched(network, part, z) for part in images.chunk(2)]
        with PerPart(2, len(images)):
            joined = _watched(network, images, z)
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
    if joined.draws:
        return f"{joined.draws} draws at random in training"
    for (name, whole), (_, first), (_, second) in zip(joined.seen, apart[0].seen, apart[1].seen, strict=True):
        if whole is None or first is None or second is None:
            continue
        if not torch.allclose(whole, torch.cat([first, second]), rtol=_TOLERANCE, atol=_TOLERANCE):
            return f"{name} mixes the images of a batch in another way than batch norm does"
    return ""


@dataclass
class _Seen:
    """What the modules of a network did in one pass.

    Attributes:
        draws: The first module that moved a random stream.
        seen: Of every module, in the order in which they ended, its kind, and mean and length of each row of its
            output; None where that has no row per image.
    """

    draws: str = ""
    seen: list[tuple[str, Tensor | None]] = field(default_factory=list)


def _watched(network: SuperNet | FixedNetwork, images: Tensor, z: Path | None) -> _Seen:
    found = _Seen()
    with _hooks(network, found, len(images), images.device):
        network(images, z)
    return found


@contextmanager
def _hooks(network: nn.Module, found: _Seen, rows: int, device: torch.device) -> Iterator[None]:
    """Within the block ``found`` is filled as modules run."""
    before: list[Tensor] = []

    def stream() -> Tensor:
        return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()

    def begins(module: nn.Module, inputs: Any) -> None:
        before.append(stream())

    def ends(module: nn.Module, inputs: Any, output: Any) -> None:
        moved = not torch.equal(before.pop(), stream())
        if moved and not found.draws:
            found.draws = type(module).__name__
        sizes: Tensor | None = None
        if isinstance(output, Tensor) and output.dim() > 0 and len(output) == rows:
            flat = output.float().view(rows, -1) if output.dim() < 2 else output.float().flatten(1)
            sizes = torch.stack([flat.mean(1), flat.square().mean(1).sqrt()], 1)
        found.seen.append((type(module).__name__, sizes))

    handles = [module.register_forward_pre_hook(begins) for module in network.modules()]
    handles += [module.register_forward_hook(ends) for module in network.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _everything(network: SuperNet | FixedNetwork) -> Path | None:
    """A path that runs every candidate."""
    if isinstance(network, FixedNetwork):
        return None
    cell = network.cells[0]
    assert isinstance(cell, SearchCell)
    candidates = cell.edges[0]
    assert isinstance(candidates, nn.ModuleList)
    return Mixture(torch.ones(2, len(cell.edges), len(candidates), device=next(network.parameters()).device))
