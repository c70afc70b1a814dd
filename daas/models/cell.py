"""One cell of a derived network, built from a genotype: everything that can be decided at construction is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.fx
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from daas.models.depthwise import dense_gradient
from daas.models.genotype import Node
from daas.models.primitives import build_primitive, factorized_reduce, relu_conv_bn

torch.fx.wrap("dense_gradient")


class Cell(nn.Module):
    """Two inputs, nodes that sum their edges, and the concatenation of some states.

    Most primitives start with a ReLU: it is computed once per state, for all edges that read it, and so is each pool. A
    map that nobody reads again is overwritten. All this is laid down at construction as a list of steps: an edge, or a
    ReLU or pool that several edges share.

    Args:
        nodes: Per node, its edges (primitive, input state).
        concat: States that form the output.
        c_pp: Channels of the cell before the previous one.
        c_p: Channels of the previous cell.
        channels: Channels of every state.
        reduction: Whether edges from the cell's inputs have stride 2.
        after_reduction: Whether input 0 has twice the resolution of input 1.
        drop_path: Probability with which an image skips an edge, in training; identities are never skipped.
        relu_output: Whether a ReLU follows the concatenation.
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
        relu_output: bool = False,
    ) -> None:
        super().__init__()
        self.preprocess0 = _without_relu((factorized_reduce if after_reduction else relu_conv_bn)(c_pp, channels))
        self.preprocess1 = _without_relu(relu_conv_bn(c_p, channels))
        self.relu_output = relu_output
        self.out_channels = channels * len(concat)
        built = [
            [
                (name, source, build_primitive(name, channels, 2 if reduction and source < 2 else 1))
                for name, source in node
            ]
            for node in nodes
        ]
        plain = {source for node in built for _, source, primitive in node if not _starts_with_relu(primitive)}
        steps = _Steps(built, plain if relu_output else plain | set(concat))
        self.edges = _in_order({key: _droppable(step, drop_path) for key, step in steps.modules.items()})
        self.reads = steps.reads
        self.opens = steps.opens
        self.into_output = steps.into_output
        self.into_node = steps.into_node
        self.closes = steps.closes
        self.concat: list[int] = [steps.output_map(state, relu_output) for state in concat]

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        """Runs the cell.

        Args:
            s0: [B, c_pp, H', W'], output of the cell before the previous one, after a ReLU.
            s1: [B, c_p, H, W], output of the previous cell, after a ReLU.

        Returns:
            [B, channels * len(concat), H or H/2, W or W/2].
        """
        maps: list[Tensor] = [self.preprocess0(s0), self.preprocess1(s1)]
        node = s1
        for index, step in enumerate(self.edges.values()):
            output = step(maps[self.reads[index]])
            if self.opens[index]:
                node = output
            elif self.into_output[index]:
                node = output.add_(node)
            elif self.into_node[index]:
                node = node.add_(output)
            else:
                node = node + output
            if self.closes[index]:
                maps.append(node)
        output = torch.cat([dense_gradient(maps[index]) for index in self.concat], 1)
        return F.relu_(output) if self.relu_output else output


class _Steps:
    """The steps of a cell, in the order in which they run; each reads one of the maps made so far.

    Maps 0 and 1 are the preprocessed inputs; every node and every shared ReLU or pool adds one.

    Args:
        nodes: Per node, its edges: primitive, input state, and what computes it.
        kept: States that are read as they are, and not only through a ReLU.

    Attributes:
        modules: What each step computes. Edges are named by their number, as their weights are in files.
        reads: Which map it reads.
        opens: Whether it begins a map, of which it may be the only step.
        into_output: Otherwise: whether the sum of the edges so far may be added to its output in place,
        into_node: or its output to the sum.
        closes: Whether the map is then complete.
    """

    def __init__(self, nodes: Sequence[Sequence[tuple[str, int, nn.Module]]], kept: set[int]) -> None:
        self.modules: OrderedDict[str, nn.Module] = OrderedDict()
        self.reads: list[int] = []
        self.opens: list[bool] = []
        self.into_output: list[bool] = []
        self.into_node: list[bool] = []
        self.closes: list[bool] = []
        self._maps = {(0, ""): 0, (1, ""): 1}  # by state and what was done to it
        self._overwritable = {0, 1} - kept
        edges = 0
        for state, node in enumerate(nodes, start=2):
            reads = [self._read(*edge) for edge in node]
            fresh = False  # whether the sum so far is nobody else's map
            for position, (read, (_, _, primitive)) in enumerate(zip(reads, node, strict=True)):
                own = _starts_with_relu(primitive)  # an output that is nobody else's map
                self._add(str(edges), _remainder(primitive), read, position == 0, own, fresh, position == len(node) - 1)
                fresh = own or position > 0
                edges += 1
            self._maps[state, ""] = 1 + sum(self.closes)
            self._overwritable |= {state} - kept if fresh else set()

    def output_map(self, state: int, relu: bool) -> int:
        """Which map of a state goes into the output; with ``relu`` one that had its ReLU already, if there is one."""
        plain = self._maps[state, ""]
        return self._maps.get((state, "relu"), plain) if relu else plain

    def _read(self, name: str, state: int, primitive: nn.Module) -> int:
        """The map that an edge reads; what it shares with other edges becomes a step when the first of them comes."""
        if isinstance(primitive, nn.Identity):
            return self._maps[state, ""]
        if _starts_with_relu(primitive):
            name, primitive = "relu", nn.ReLU(inplace=state in self._overwritable)
        if (state, name) not in self._maps:
            self._add(f"{name}_of_{state}", primitive, self._maps[state, ""], True, False, False, True)
            self._maps[state, name] = 1 + sum(self.closes)
        return self._maps[state, name]

    def _add(
        self, key: str, module: nn.Module, read: int, opens: bool, into_output: bool, into_node: bool, closes: bool
    ) -> None:
        self.modules[key] = module
        self.reads.append(read)
        self.opens.append(opens)
        self.into_output.append(into_output)
        self.into_node.append(into_node)
        self.closes.append(closes)


def _starts_with_relu(primitive: nn.Module) -> bool:
    return isinstance(primitive, nn.Sequential)


def _remainder(primitive: nn.Module) -> nn.Module:
    """What is left of an edge once the map that it shares with others is made."""
    if isinstance(primitive, nn.Identity):
        return primitive
    return _without_relu(primitive) if isinstance(primitive, nn.Sequential) else nn.Sequential()


def _in_order(steps: dict[str, nn.Module]) -> nn.ModuleDict:
    """The steps, for TorchScript too: it takes dictionaries with the same entries in another order for one type.

    A constant is part of that type.
    """
    found = nn.ModuleDict(steps)
    found.order = " ".join(steps)  # type: ignore[assignment]  # any attribute may be set
    found.__constants__ = ["order"]  # type: ignore[assignment]
    return found


def _droppable(step: nn.Module, drop_path: float) -> nn.Module:
    """An edge with its drop-path; a shared map or an identity is never dropped."""
    if isinstance(step, nn.Sequential):
        step.add_module("drop_path", DropPath(drop_path))
    return step


def _without_relu(primitive: nn.Sequential) -> nn.Sequential:
    """The same modules under the same names, without the first."""
    return nn.Sequential(OrderedDict(list(primitive.named_children())[1:]))
