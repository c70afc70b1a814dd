"""The weight-sharing network: every candidate operation on every edge, of which only one sampled path is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from daas.models.primitives import DARTS_PRIMITIVES, build_primitive, factorized_reduce, relu_conv_bn
from daas.models.stems import for_depthwise
from daas.search.architecture import Architecture, cell_edges


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
            nn.ModuleList(
                build_primitive(
                    name,
                    channels,
                    2 if reduction and source < 2 else 1,
                    affine=False,
                    pool_norm=True,
                    track_running_stats=False,
                )
                for name in primitives
            )
            for source, _ in self.edge_list
        )

    def forward(self, s0: Tensor, s1: Tensor, z: Architecture, gated: bool) -> Tensor:
        """Runs the sampled edges of this cell's type.

        Args:
            s0: [B, c_pp, H', W'], output of the cell before the previous one.
            s1: [B, c_p, H, W], output of the previous cell.
            z: The sampled architecture.
            gated: Whether the outputs are multiplied by z's gates, which are ones and carry gradient.

        Returns:
            [B, nodes * channels, H or H/2, W or W/2].
        """
        cell = int(self.reduction)
        operations, sampled = z.operations[cell], z.edges[cell]
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for node in range(self.nodes):
            outputs = [
                self._edge(states, edge, operations[edge], z.gates[cell, edge] if gated else None)
                for edge in sampled[2 * node : 2 * node + 2]
            ]
            states.append(outputs[0] + outputs[1])
        return torch.cat(states[2:], 1)

    def _edge(self, states: list[Tensor], edge: int, operation: int, gate: Tensor | None) -> Tensor:
        x = states[self.edge_list[edge][0]]
        primitive = self.edges[edge][operation]  # type: ignore[index]  # a ModuleList of ModuleLists
        return primitive(x) if gate is None else gated_primitive(primitive, x, gate)

    def path(self, z: Architecture) -> Iterator[nn.Module]:
        """The modules that ``forward`` runs for z."""
        yield self.preprocess0
        yield self.preprocess1
        cell = int(self.reduction)
        for edge in z.edges[cell]:
            yield self.edges[edge][z.operations[cell][edge]]  # type: ignore[index]  # a ModuleList of ModuleLists


def gated_primitive(primitive: nn.Module, x: Tensor, gate: Tensor) -> Tensor:
    """``gate * primitive(x)``, with the gate as the scale of the last batch norm, where its gradient costs nothing.

    Args:
        primitive: Identity, or a Sequential that ends in a batch norm without affine parameters.
        x: [B, C, H, W].
        gate: A scalar tensor.
    """
    if isinstance(primitive, nn.Identity):
        return x * gate.to(x)
    assert isinstance(primitive, nn.Sequential)
    *body, norm = primitive
    assert isinstance(norm, nn.BatchNorm2d)
    for module in body:
        x = module(x)
    scale = gate.to(x).expand(norm.num_features).contiguous()  # the kernel reads C numbers, whatever the stride
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

    def forward(self, images: Tensor, z: Architecture | None, gated: bool = False) -> Tensor:
        """[B, 3, H, W] normalised images -> [B, num_classes] logits along the path z."""
        if z is None:
            raise ValueError("a supernet runs one sampled path: pass an Architecture")
        s0 = s1 = self.stem(for_depthwise(images))
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1, z, gated)
        return self.classifier(s1.mean((2, 3)))  # type: ignore[no-any-return]  # modules return Any

    def active(self, z: Architecture | None) -> dict[str, nn.Parameter]:
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
    """Any network with the interface of the supernet, for searching a policy alone.

    Batch norm uses the statistics of the batch, as in the supernet, so that no pass of a search step leaves a trace.

    Args:
        model: Maps [B, 3, H, W] to [B, num_classes].
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None

    def forward(self, images: Tensor, z: Architecture | None = None, gated: bool = False) -> Tensor:
        """[B, 3, H, W] -> [B, num_classes]; a fixed network has no path to choose."""
        return self.model(images)  # type: ignore[no-any-return]  # modules return Any

    def active(self, z: Architecture | None = None) -> dict[str, nn.Parameter]:
        """All parameters."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}
