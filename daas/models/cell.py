"""One cell of a derived network, built from a genotype: everything that can be decided at construction is."""

from __future__ import annotations

from collections import OrderedDict

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from daas.models.genotype import Node
from daas.models.primitives import build_primitive, factorized_reduce, relu_conv_bn


class Cell(nn.Module):
    """Two inputs, nodes that sum their edges, and the concatenation of some states.

    Most primitives start with a ReLU. Here that ReLU is computed once per state and shared by all edges that read it;
    that of the cell's own inputs is left to the network, which shares it between the two cells that read it.

    Args:
        nodes: Per node, its edges (primitive, input state).
        concat: States that form the output.
        c_pp: Channels of the cell before the previous one.
        c_p: Channels of the previous cell.
        channels: Channels of every state.
        reduction: Whether edges from the cell's inputs have stride 2.
        after_reduction: Whether input 0 has twice the resolution of input 1.
        drop_path: Probability with which an image skips an edge, in training; identities are never skipped.
    """

    def __init__(
        self,
        nodes: tuple[Node, ...],
        concat: tuple[int, ...],
        c_pp: int,
        c_p: int,
        channels: int,
        reduction: bool,
        after_reduction: bool,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.preprocess0 = _without_relu((factorized_reduce if after_reduction else relu_conv_bn)(c_pp, channels))
        self.preprocess1 = _without_relu(relu_conv_bn(c_p, channels))
        self.edges = nn.ModuleList()
        self.sources: list[int] = []
        self.activated: list[bool] = []
        self.opens_node: list[bool] = []
        self.closes_node: list[bool] = []
        for node in nodes:
            for position, (name, source) in enumerate(node):
                primitive = build_primitive(name, channels, 2 if reduction and source < 2 else 1)
                self.edges.append(_edge(primitive, drop_path))
                self.sources.append(source)
                self.activated.append(_starts_with_relu(primitive))
                self.opens_node.append(position == 0)
                self.closes_node.append(position == len(node) - 1)
        read = {source for source, activated in zip(self.sources, self.activated, strict=True) if activated}
        self.activate: list[bool] = [state in read for state in range(len(nodes) + 2)]
        self.concat: list[int] = list(concat)
        self.out_channels = channels * len(concat)

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        """Runs the cell.

        Args:
            s0: [B, c_pp, H', W'], output of the cell before the previous one, after a ReLU.
            s1: [B, c_p, H, W], output of the previous cell, after a ReLU.

        Returns:
            [B, channels * len(concat), H or H/2, W or W/2], without a ReLU.
        """
        states: list[Tensor] = [self.preprocess0(s0), self.preprocess1(s1)]
        active: list[Tensor] = [F.relu(state) if self.activate[i] else state for i, state in enumerate(states)]
        node = s1
        for index, edge in enumerate(self.edges):
            source = self.sources[index]
            output = edge(active[source] if self.activated[index] else states[source])
            node = output if self.opens_node[index] else node + output
            if self.closes_node[index]:
                active.append(F.relu(node) if self.activate[len(states)] else node)
                states.append(node)
        return torch.cat([states[index] for index in self.concat], 1)


def _starts_with_relu(primitive: nn.Module) -> bool:
    return isinstance(primitive, nn.Sequential) and isinstance(primitive[0], nn.ReLU)


def _without_relu(primitive: nn.Sequential) -> nn.Sequential:
    """The same modules under the same names, without the first."""
    return nn.Sequential(OrderedDict(list(primitive.named_children())[1:]))


def _edge(primitive: nn.Module, drop_path: float) -> nn.Module:
    if isinstance(primitive, nn.Identity):
        return primitive
    edge = primitive if isinstance(primitive, nn.Sequential) else nn.Sequential(primitive)
    edge = _without_relu(edge) if _starts_with_relu(edge) else edge
    edge.add_module("drop_path", DropPath(drop_path))
    return edge
