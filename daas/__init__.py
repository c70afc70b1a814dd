"""Networks and the augmentation they should be trained with, searched together: timm models and batched transforms.

``import daas`` registers every model of the package with timm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daas.augment import Operation, Policy, list_policies, register_operation
from daas.errors import BadInput
from daas.models import Genotype, register_genotype

__all__ = [
    "BadInput",
    "DAASPolicy",
    "Genotype",
    "Operation",
    "Policy",
    "list_policies",
    "register_genotype",
    "register_operation",
]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from daas.augment import DAASPolicy


def __getattr__(name: str) -> Any:
    if name == "screen":
        from importlib import import_module

        return import_module("daas.screen")
    if name == "DAASPolicy":  # at need: it imports Kornia
        from daas.augment import DAASPolicy

        return DAASPolicy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
