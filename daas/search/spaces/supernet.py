"""The weight-sharing network: every candidate operation on every edge, of which only one sampled path is run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from daas.errors import BadInput
from daas.models.depthwise import channels_last, dense_gradient
from daas.models.own import refuse_lazy
from daas.models.primitives import DARTS_PRIMITIVES, build_primitive, factorized_reduce, relu_conv_bn
from daas.search.spaces.cells import NONE, Mixture, Path, cell_edges


class Zero(nn.Module):
    """The primitive ``none``: no connection.

    Args:
        stride: 1 or 2.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> zeros [B, C, ceil(H/stride), ceil(W/stride)]."""
        return x[:, :, :: self.stride, :: self.stride] * 0.0


class SearchCell(nn.Module):
    """A cell with every primitive on every edge (eq. 4).

    Args:
        nodes: Intermediate nodes; their outputs are concatenated.
        c_pp: Channels of the cell before the previous one.
        c_p: Channels of the previous cell.
        channels: Channels of each node.
        reduction: Whether edges from the cell's inputs have stride 2.
        after_reduction: Whether the previous cell was a reduction, so that input 0 is twice as large as input 1.
        primitives: Candidate operations.
    """

    def __init__(
        self,
        nodes: int,
        c_pp: int,
        c_p: int,
        channels: int,
        reduction: bool,
        after_reduction: bool,
        primitives: Sequence[str],
    ) -> None:
        super().__init__()
        first = factorized_reduce if after_reduction else relu_conv_bn
        self.preprocess0 = first(c_pp, channels, affine=False, track_running_stats=False)
        self.preprocess1 = relu_conv_bn(c_p, channels, affine=False, track_running_stats=False)
        self.reduction = reduction
        self.edge_list = cell_edges(nodes)
        self.nodes = nodes
        self.edges = nn.ModuleList(
            nn.ModuleList(_candidate(name, channels, 2 if reduction and source < 2 else 1) for name in primitives)
            for source, _ in self.edge_list
        )

    def forward(self, s0: Tensor, s1: Tensor, z: Path, gated: bool) -> Tensor:
        """Runs the sampled edges of this cell's type.

        Args:
            s0: [B, c_pp, H', W'], output of the cell before the previous one, after a ReLU.
            s1: [B, c_p, H, W], output of the previous cell, after a ReLU.
            z: The sampled architecture.
            gated: Whether the outputs are multiplied by z's gates, which are ones and carry gradient. A mixture's
                always are.

        Returns:
            [B, nodes * channels, H or H/2, W or W/2], before a ReLU.
        """
        states = [_State(after_relu(self.preprocess0, s0)), _State(after_relu(self.preprocess1, s1))]
        node: Tensor | None = None
        paths = self.paths(z, gated)
        for index, (edge, operation, gate) in enumerate(paths):
            source, target = self.edge_list[edge]
            primitive, state = self.primitive(edge, operation), states[source]
            x = state.activated() if begins_with_relu(primitive) else state.raw
            output = run_primitive(primitive, x, gate)
            node = output if node is None else node + output
            if index + 1 == len(paths) or self.edge_list[paths[index + 1][0]][1] != target:
                states.append(_State(node))
                node = None
        return torch.cat([dense_gradient(state.raw) for state in states[2:]], 1)

    def primitive(self, edge: int, operation: int) -> nn.Module:
        """A candidate."""
        found: nn.Module = self.edges[edge][operation]  # type: ignore[index]  # a ModuleList of ModuleLists
        return found

    def paths(self, z: Path, gated: bool) -> list[tuple[int, int, Tensor | None]]:
        """What runs, in order: edge, operation, gate."""
        cell = int(self.reduction)
        if isinstance(z, Mixture):
            weights = z.gates[cell]
            return [(edge, o, weights[edge, o]) for edge in range(len(self.edge_list)) for o in range(weights.shape[1])]
        chosen = z.operations[cell]
        return [(edge, chosen[edge], z.gates[cell, edge] if gated else None) for edge in z.edges[cell]]

    def path(self, z: Path) -> Iterator[nn.Module]:
        """The modules that ``forward`` runs for z."""
        yield self.preprocess0
        yield self.preprocess1
        for edge, operation, _ in self.paths(z, gated=False):
            yield self.primitive(edge, operation)


def after_relu(modules: nn.Sequential, x: Tensor) -> Tensor:
    """Runs a Sequential without the ReLU that it starts with."""
    for module in list(modules)[1:]:
        x = module(x)
    return x


def _candidate(name: str, channels: int, stride: int) -> nn.Module:
    if name == NONE:
        return Zero(stride)
    return build_primitive(name, channels, stride, affine=False, pool_norm=True, track_running_stats=False)


class _State:
    """A node's output, and its ReLU, which is computed once for all edges that start with one."""

    def __init__(self, raw: Tensor) -> None:
        self.raw = raw
        self._activated: Tensor | None = None

    def activated(self) -> Tensor:
        if self._activated is None:
            self._activated = F.relu(self.raw)
        return self._activated


def begins_with_relu(primitive: nn.Module) -> bool:
    """Whether it reads a node's output after a ReLU."""
    return isinstance(primitive, nn.Sequential) and isinstance(primitive[0], nn.ReLU)


def run_primitive(primitive: nn.Module, x: Tensor, gate: Tensor | None) -> Tensor:
    """What a primitive makes of a node, times the gate, the scale of the last batch norm: there its gradient is free.

    Args:
        primitive: Identity, ``Zero``, or a Sequential that ends in a batch norm without affine parameters.
        x: [B, C, H, W], the node's output; after the ReLU, where the primitive begins with one.
        gate: A scalar tensor, or None.
    """
    if not isinstance(primitive, nn.Sequential):
        output: Tensor = primitive(x)
        return output if gate is None else output * gate.to(output)
    modules = list(primitive)
    norm = modules.pop()
    assert isinstance(norm, nn.BatchNorm2d)
    for module in modules[1:] if begins_with_relu(primitive) else modules:
        x = module(x)
    # the kernel reads C numbers, whatever the stride
    scale = None if gate is None else gate.to(x).expand(norm.num_features).contiguous()
    return F.batch_norm(x, None, None, weight=scale, training=True, eps=norm.eps)


class SuperNet(nn.Module):
    """The search network: a stem, cells with reductions at 1/3 and 2/3 of the depth, a linear classifier.

    Batch norm always uses the statistics of the batch (no running statistics): different paths through shared
    weights have different statistics. In cells it has no affine parameters and follows the pools too (as in DARTS).

    Args:
        num_classes: Output size.
        channels: Channels of a node in the first cells; doubled by each reduction.
        layers: Number of cells.
        nodes: Intermediate nodes per cell.
        primitives: Candidate operations.
        stem_multiplier: The stem has ``stem_multiplier * channels`` channels.

    Attributes:
        at_start: The buffers as they were made, by name: those of primitives of one's own.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 16,
        layers: int = 8,
        nodes: int = 4,
        primitives: Sequence[str] = DARTS_PRIMITIVES,
        stem_multiplier: int = 3,
    ) -> None:
        super().__init__()
        width = stem_multiplier * channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width, track_running_stats=False)
        )
        c_pp, c_p = width, width
        self.cells = nn.ModuleList()
        after_reduction = False
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduction else 1
            self.cells.append(SearchCell(nodes, c_pp, c_p, channels, reduction, after_reduction, primitives))
            after_reduction = reduction
            c_pp, c_p = c_p, nodes * channels
        self.classifier = nn.Linear(c_p, num_classes)
        self._names = {parameter: name for name, parameter in self.named_parameters()}
        self.at_start = copies_of_buffers(self)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SuperNet:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # PyTorch's has no types
        self._names = {parameter: name for name, parameter in self.named_parameters()}  # some devices make new ones
        return self

    def forward(self, images: Tensor, z: Path | None, gated: bool = False) -> Tensor:
        """[B, 3, H, W] normalised images -> [B, num_classes] logits along the path z."""
        if z is None:
            raise ValueError("a supernet runs one sampled path: pass an Architecture")
        output = self.stem(channels_last(images))
        s0 = s1 = F.relu(output)
        for index, cell in enumerate(self.cells):
            output = cell(s0, s1, z, gated)
            if index + 1 < len(self.cells):
                s0, s1 = s1, F.relu(output, inplace=True)  # shared by the two cells that read it
        return self.classifier(output.mean((2, 3)))  # type: ignore[no-any-return]  # modules return Any

    def active(self, z: Path | None) -> dict[str, nn.Parameter]:
        """The parameters that the path z uses, by name, in the order in which they are used."""
        if z is None:
            raise ValueError("a supernet runs one sampled path: pass an Architecture")
        modules: list[nn.Module] = [self.stem]
        for cell in self.cells:
            assert isinstance(cell, SearchCell)
            modules.extend(cell.path(z))
        modules.append(self.classifier)
        return {self._names[parameter]: parameter for module in modules for parameter in module.parameters()}


class FixedNetwork(nn.Module):
    """A copy of any network with the interface of the supernet, for searching a policy alone.

    The network itself is left as it is: weights, running statistics, mode. Batch norm of the copy uses the
    statistics of the batch, as in the supernet, and instance norm those of the image, so that no pass of a search step
    leaves a trace in them; what passes change in other modules (spectral norm's vectors, say) is part of a checkpoint.
    Dropout, drop-path and the like are active in training passes alone.

    Args:
        model: Maps [B, 3, H, W] to [B, num_classes]; parameters without ``requires_grad`` stay as they are.

    Attributes:
        model: The copy.
        at_start: Its buffers as they were before the first pass, by name.

    Raises:
        BadInput: The network cannot be copied, or no parameter of it learns.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        name = type(model).__name__
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise BadInput(
                f"No parameter of the network {name} has requires_grad; a policy is learned while it trains."
            )
        refuse_lazy(model)
        try:
            self.model = copy.deepcopy(model)
        except Exception as error:  # whatever the parts of a network raise that cannot be copied
            raise BadInput(f"The network {name} cannot be copied by copy.deepcopy ({error}).") from error
        for module in self.model.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):  # instance norms too
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
        self.at_start = copies_of_buffers(self)

    def set_mode(self, training: bool) -> None:
        """Whether dropout and the like are active; batch norm is the same in both modes."""
        if not training:
            self.model.train()  # some of timm's models forget what they computed from older weights only here
        self.model.train(training)

    def forward(self, images: Tensor, z: Path | None = None, gated: bool = False) -> Tensor:
        """[B, 3, H, W] -> [B, num_classes]; a fixed network has no path to choose."""
        return self.model(images)  # type: ignore[no-any-return]  # modules return Any

    def active(self, z: Path | None = None) -> dict[str, nn.Parameter]:
        """All parameters."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


def copies_of_buffers(network: nn.Module) -> dict[str, Tensor]:
    """The buffers of a network as they are now, by name."""
    return {name: buffer.detach().clone() for name, buffer in network.named_buffers()}


def moved(network: SuperNet | FixedNetwork) -> dict[str, Tensor]:
    """The buffers that passes have changed, by name."""
    start = network.at_start
    return {name: now for name, now in network.named_buffers() if not torch.equal(now, start[name].to(now.device))}
