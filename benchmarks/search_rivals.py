"""The iterations that the joint step is measured against, built from the same cells: DARTS, PC-DARTS.

DARTS (Liu et al., ICLR 2019) as its users run it: eight candidate operations with ``none``, every operation's output
multiplied by its weight, gradients of all weights in both passes. PC-DARTS (Xu et al., ICLR 2020): a quarter of the
channels passes through the mixture, the rest beside it. GDAS needs no code of its own: it is ``--arch-estimator gdas``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import cross_entropy

from daas.models.depthwise import Depthwise
from daas.search.algorithm.gradients import one_step_ahead
from daas.search.spaces import supernet
from daas.search.spaces.cells import PRIMITIVE_SETS, cell_edges
from daas.search.spaces.supernet import SearchCell, SuperNet

ETA = 0.025
Batch = tuple[Tensor, Tensor]


class MixedCell(SearchCell):
    """A cell in which all operations run on all edges, or on a share of their channels."""

    def __init__(self, partial: int, *args: Any) -> None:
        nodes, c_pp, c_p, channels, reduction, after_reduction, primitives = args
        super().__init__(nodes, c_pp, c_p, channels, reduction, after_reduction, primitives)
        self.partial = partial
        if partial > 1:
            self.edges = SearchCell(
                nodes, channels, channels, channels // partial, reduction, False, primitives
            ).edges  # preprocessing stays at full width

    def mix(self, s0: Tensor, s1: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        """alpha: [edges, operations], beta: [edges], both normalised."""
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for node in range(2, self.nodes + 2):
            inputs = [index for index, (_, target) in enumerate(self.edge_list) if target == node]
            states.append(
                sum(
                    (beta[edge] if self.partial > 1 else 1.0)
                    * self._edge(states[self.edge_list[edge][0]], edge, alpha[edge])
                    for edge in inputs
                )
            )
        return torch.cat(states[2:], 1)

    def _edge(self, x: Tensor, edge: int, alpha: Tensor) -> Tensor:
        if self.partial == 1:
            return sum(weight * primitive(x) for weight, primitive in zip(alpha, self.edges[edge], strict=True))
        width = x.shape[1] // self.partial
        mixed = sum(weight * op(x[:, :width]) for weight, op in zip(alpha, self.edges[edge], strict=True))
        beside = x[:, width:]
        if mixed.shape[-1] != x.shape[-1]:
            beside = F.max_pool2d(beside, 2, 2)
        both = torch.cat([mixed, beside], 1)
        batch, channels, height, width = both.shape  # channel shuffle
        return both.view(batch, self.partial, -1, height, width).transpose(1, 2).reshape(batch, channels, height, width)


class MixedNet(SuperNet):
    """A supernet of ``MixedCell``.

    Args:
        channels: Of the first cells.
        layers: Cells.
        partial: 1 for DARTS; 4 for PC-DARTS: only a quarter of the channels is mixed.
    """

    def __init__(self, channels: int, layers: int, partial: int = 1) -> None:
        primitives = PRIMITIVE_SETS["darts"]
        made = supernet.SearchCell
        supernet.SearchCell = lambda *args: MixedCell(partial, *args)
        try:
            super().__init__(10, channels, layers, 4, primitives)
        finally:
            supernet.SearchCell = made
        edges = len(cell_edges(4))
        self.alpha = nn.Parameter(1e-3 * torch.randn(2, edges, len(primitives)))
        self.beta = nn.Parameter(1e-3 * torch.randn(2, edges))

    def forward(self, images: Tensor, *_: Any) -> Tensor:
        """[B, 3, H, W] -> [B, 10]."""
        alpha = self.alpha.softmax(-1)
        beta = torch.cat([part.softmax(-1) for part in self.beta.split([2, 3, 4, 5], 1)], 1)
        s0 = s1 = self.stem(images)
        for cell in self.cells:
            kind = int(cell.reduction)
            s0, s1 = s1, cell.mix(s0, s1, alpha[kind], beta[kind])
        return self.classifier(s1.mean((2, 3)))

    def weights(self) -> list[Tensor]:
        """All parameters but alpha and beta."""
        return [p for p in self.parameters() if p is not self.alpha and p is not self.beta]


def with_plain_depthwise(network: MixedNet) -> MixedNet:
    """The network with PyTorch's own depthwise convolutions, as its users have them."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Depthwise):
                plain = nn.Conv2d(
                    child.in_channels, child.out_channels, child.kernel_size, child.stride, child.padding,
                    child.dilation, child.groups, bias=False,
                )  # fmt: skip
                plain.weight = child.weight
                setattr(module, name, plain)
    return network


class FirstOrder:
    """An iteration of DARTS or PC-DARTS, first order: alpha on a validation batch, then the weights.

    Args:
        network: Of mixed cells.
        layout: Memory format of weights and images.
    """

    def __init__(self, network: MixedNet, layout: torch.memory_format = torch.channels_last) -> None:
        self.network = network.to(memory_format=layout)
        self.layout = layout
        self.sgd = torch.optim.SGD(network.weights(), ETA, momentum=0.9, weight_decay=3e-4)
        self.adam = torch.optim.Adam([network.alpha, network.beta], 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def __call__(self, train: Batch, val: Batch) -> None:
        """One iteration."""
        self.architecture(train, val)
        self.sgd.zero_grad()
        self.loss(train).backward()
        nn.utils.clip_grad_norm_(self.network.weights(), 5.0)
        self.sgd.step()

    def architecture(self, train: Batch, val: Batch) -> None:
        """One step of alpha (and beta)."""
        self.adam.zero_grad()
        self.loss(val).backward()  # gradients of the weights too, as published
        self.adam.step()

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of uint8 images [B, 3, H, W] with their labels [B]."""
        images = ((batch[0].float() - 102.0) / 76.5).contiguous(memory_format=self.layout)
        return cross_entropy(self.network(images), batch[1])


class SecondOrder(FirstOrder):
    """DARTS, second order: alpha's gradient at theta', corrected by a central difference of two further passes."""

    def architecture(self, train: Batch, val: Batch) -> None:
        """One step of alpha along eq. 7 of DARTS."""
        network = self.network
        alpha, weights = [network.alpha], network.weights()
        g = torch.autograd.grad(self.loss(train), weights)
        with one_step_ahead(weights, g, ETA):
            *v, ahead = torch.autograd.grad(self.loss(val), [*weights, *alpha])
        step = 0.01 / float(torch.stack(torch._foreach_norm(v)).norm())
        ends = []
        for sign in (1.0, -1.0):
            with one_step_ahead(weights, v, -sign * step):
                ends.append(torch.autograd.grad(self.loss(train), alpha)[0])
        network.alpha.grad = ahead - ETA * (ends[0] - ends[1]) / (2 * step)
        network.beta.grad = None
        self.adam.step()
