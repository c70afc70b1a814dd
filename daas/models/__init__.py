"""Cell networks as timm models: genotypes as data, one network class, entry points by name."""

from __future__ import annotations

from daas.models.cell_net import CellNet
from daas.models.genotype import Genotype
from daas.models.zoo import find_genotype, list_genotypes, register_genotype

__all__ = ["CellNet", "Genotype", "find_genotype", "list_genotypes", "register_genotype"]
