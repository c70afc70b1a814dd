"""Networks as timm models: cells from genotypes, and the networks that augmentation papers report on."""

from __future__ import annotations

from daas.models import pyramid_net, searched, shake_shake, wide_resnet  # their entry points register themselves
from daas.models.cell_net import CellNet
from daas.models.genotype import Genotype
from daas.models.zoo import find_genotype, list_genotypes, register_genotype

__all__ = [
    "CellNet",
    "Genotype",
    "find_genotype",
    "list_genotypes",
    "pyramid_net",
    "register_genotype",
    "searched",
    "shake_shake",
    "wide_resnet",
]
