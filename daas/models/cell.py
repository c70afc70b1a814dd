"""One cell of a derived network, built from a genotype: everything that can be decided at construction is."""

from __future__ import annotations

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from daas.models.genotype import Node
from daas.models.primitives import build_primitive, factorized_reduce, relu_conv_bn


class Cell(nn.Module):
    """Two inputs, nodes that sum their edges, and the concatenation of some states.

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
        self.preprocess0 = (factorized_reduce if after_reduction else relu_conv_bn)(c_pp, channels)
        self.preprocess1 = relu_conv_bn(c_p, channels)
        edges: list[nn.Module] = []
        self.sources: list[int] = []
        self.opens_node: list[bool] = []
        for node in nodes:
            for position, (name, source) in enumerate(node):
                primitive = build_primitive(name, channels, 2 if reduction and source < 2 else 1)
                if not isinstance(primitive, nn.Identity):
                    primitive = nn.Sequential(primitive, DropPath(drop_path))
                edges.append(primitive)
                self.sources.append(source)
                self.opens_node.append(position == 0)
        self.edges = nn.ModuleList(edges)
        self.concat: list[int] = list(concat)
        self.out_channels = channels * len(concat)

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        """[B, c_pp, H', W'], [B, c_p, H, W] -> [B, channels * len(concat), H or H/2, W or W/2]."""
        states: list[Tensor] = [self.preprocess0(s0), self.preprocess1(s1)]
        for index, edge in enumerate(self.edges):
            output = edge(states[self.sources[index]])
            if self.opens_node[index]:
                states.append(output)
            else:
                states[-1] = states[-1] + output
        return torch.cat([states[index] for index in self.concat], 1)
