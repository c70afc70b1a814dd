"""The network that a search's cells will be trained in: the one that the command at its end makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import timm
import torch
from torch import nn

import daas.models  # noqa: F401  # registers the models
from daas.models import Genotype
from daas.models.table import multiply_adds
from daas.models.zoo import SIZES

LARGE = 64  # pixels beyond which the paper's presets train behind the ImageNet stem


@dataclass(frozen=True)
class TrainedNetwork:
    """A network but for its cells.

    Attributes:
        model: The timm model.
        channels: Of a state in the first cells.
        layers: Number of cells.
        classes: Of all images, also those that were left out of the search.
        image_size: Side in pixels.
    """

    model: str
    channels: int
    layers: int
    classes: int
    image_size: int

    def create(self, genotype: Genotype) -> nn.Module:
        """The network with these cells, without an auxiliary head."""
        made: nn.Module = timm.create_model(
            self.model, genotype=genotype, channels=self.channels, layers=self.layers, num_classes=self.classes
        )
        return made

    def counts(self, genotype: Genotype) -> dict[str, int]:
        """``params``, and ``macs`` (multiply-adds of convolutions and matrix products for one image), counted."""
        with torch.device("meta"):
            made = self.create(genotype)
        return {
            "params": sum(parameter.numel() for parameter in made.parameters()),
            "macs": multiply_adds(made, (3, self.image_size, self.image_size)),
        }

    def __str__(self) -> str:
        size = f"{self.channels} channels, {self.layers} cells, {self.classes} classes"
        return f"{self.model} with {size}, on images of {self.image_size} x {self.image_size}"

    def to_dict(self) -> dict[str, Any]:
        """For files."""
        return asdict(self)


def papers(preset: str) -> bool:
    """Whether a preset's cells are trained at the paper's size, and not at the search's."""
    return preset.startswith("paper-")


def model_of(preset: str, image_size: int) -> str:
    """The timm model in which cells are trained."""
    return "daas_cell_imagenet" if papers(preset) and image_size > LARGE else "daas_cell_cifar"


def trained_network(options: Mapping[str, Any], image_size: int, classes: int) -> TrainedNetwork:
    """The network of the command that a search's report prints.

    Args:
        options: Of the search, by name.
        image_size: Side in pixels.
        classes: Of all images.

    >>> print(trained_network({"preset": "cpu", "channels": 8, "layers": 5}, 32, 10))
    daas_cell_cifar with 8 channels, 5 cells, 10 classes, on images of 32 x 32
    """
    model = model_of(options["preset"], image_size)
    size = SIZES["imagenet" if model == "daas_cell_imagenet" else "cifar"] if papers(options["preset"]) else options
    return TrainedNetwork(model, size["channels"], size["layers"], classes, image_size)
