"""The evaluation network of DARTS written as plainly as its description: what ``CellNet`` is measured against.

Every edge is a module with its own ReLU, nodes add up lists, nothing is shared and nothing is laid out for speed. Its
modules hold their parameters in the order of ``CellNet``, so the weights of one can be copied into the other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from daas.models.genotype import Genotype


def _bn(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels)


class Reduce(nn.Module):
    """ReLU, two strided 1x1 convolutions one pixel apart, batch norm."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv2 = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.bn = _bn(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, H/2, W/2] for even H and W."""
        x = torch.relu(x)
        return self.bn(torch.cat([self.conv1(x), self.conv2(x[:, :, 1:, 1:])], dim=1))


def _preprocess(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), _bn(c_out))


def _half(c: int, kernel: int, stride: int, dilation: int) -> list[nn.Module]:
    padding = dilation * (kernel - 1) // 2
    depthwise = nn.Conv2d(c, c, kernel, stride, padding, dilation, groups=c, bias=False)
    return [nn.ReLU(), depthwise, nn.Conv2d(c, c, 1, bias=False), _bn(c)]


def _operation(name: str, c: int, stride: int) -> nn.Module:
    kind, _, size = name.rpartition("_")
    kernel = int(size[0])
    if kind == "sep_conv":
        return nn.Sequential(*_half(c, kernel, stride, 1), *_half(c, kernel, 1, 1))
    if kind == "dil_conv":
        return nn.Sequential(*_half(c, kernel, stride, 2))
    if kind == "max_pool":
        return nn.MaxPool2d(kernel, stride, 1)
    if kind == "avg_pool":
        return nn.AvgPool2d(kernel, stride, 1, count_include_pad=False)
    raise ValueError(name)


class Cell(nn.Module):
    """Two preprocessed inputs, nodes that add up their edges, the concatenation of some states."""

    def __init__(self, genotype: Genotype, reduction: bool, after: bool, c_pp: int, c_p: int, c: int) -> None:
        super().__init__()
        self.nodes = genotype.reduce if reduction else genotype.normal
        self.concat = genotype.reduce_concat if reduction else genotype.normal_concat
        self.preprocess0 = Reduce(c_pp, c) if after else _preprocess(c_pp, c)
        self.preprocess1 = _preprocess(c_p, c)
        self.edges = nn.ModuleList()
        for node in self.nodes:
            for name, source in node:
                stride = 2 if reduction and source < 2 else 1
                if name == "skip_connect":
                    self.edges.append(Reduce(c, c) if stride == 2 else nn.Identity())
                else:
                    self.edges.append(_operation(name, c, stride))

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        """The outputs of the two cells before -> this cell's output."""
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        edge = 0
        for node in self.nodes:
            outputs = []
            for _, source in node:
                outputs.append(self.edges[edge](states[source]))
                edge += 1
            states.append(sum(outputs[1:], outputs[0]))
        return torch.cat([states[i] for i in self.concat], dim=1)


class LiteralCellNet(nn.Module):
    """The CIFAR network of a genotype.

    Args:
        genotype: Two cells of DARTS primitives.
        channels: Of a node in the first cells.
        layers: Number of cells.
        num_classes: Size of the classifier.
    """

    def __init__(self, genotype: Genotype, channels: int, layers: int, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * channels, 3, padding=1, bias=False), _bn(3 * channels))
        c_pp = c_p = 3 * channels
        self.cells = nn.ModuleList()
        after = False
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduction else 1
            self.cells.append(Cell(genotype, reduction, after, c_pp, c_p, channels))
            c_pp, c_p = c_p, channels * len(self.cells[-1].concat)
            after = reduction
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(c_p, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, num_classes]."""
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1)
        return self.classifier(self.pool(s1).flatten(1))


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copies parameters and buffers in order, between networks that hold the same ones in the same order."""
    theirs, ours = source.state_dict().values(), target.state_dict().values()
    with torch.no_grad():
        for a, b in zip(theirs, ours, strict=True):
            b.copy_(a)
