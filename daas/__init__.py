"""Networks and the augmentation they should be trained with, searched together: timm models and batched transforms.

``import daas`` registers every model of the package with timm, and lets timm's ``auto_augment`` (``--aa`` of its
training script) take policies as ``daas:NAME``; everything else is imported when it is first asked for.
"""

from __future__ import annotations

from daas import working_folder

working_folder.check()  # first: it says where the imports below are looked for

from importlib import import_module  # noqa: E402  # after the check
from typing import TYPE_CHECKING, Any  # noqa: E402  # after the check

from daas import models, timm_names  # noqa: E402  # after the check

if TYPE_CHECKING:
    from daas import race, screen, search, train
    from daas.augment import DAASPolicy, Operation, Policy, list_policies, register_operation
    from daas.errors import BadInput
    from daas.models import Genotype, register_genotype
    from daas.models.primitives import register_primitive
    from daas.screen.result import Screen
    from daas.search.algorithm import estimators
    from daas.search.found import Found
    from daas.search.loop import Search
    from daas.search.spaces.cell_space import CellSpace
    from daas.search.spaces.policy_space import PolicySpace

__all__ = [
    "BadInput",
    "CellSpace",
    "DAASPolicy",
    "Found",
    "Genotype",
    "Operation",
    "Policy",
    "PolicySpace",
    "Screen",
    "Search",
    "augment",
    "data",
    "estimators",
    "hub",
    "list_policies",
    "models",
    "race",
    "register_genotype",
    "register_operation",
    "register_primitive",
    "screen",
    "search",
    "train",
]
__version__ = "0.2.0"

_WHERE = {
    "BadInput": "daas.errors",
    "CellSpace": "daas.search.spaces.cell_space",
    "DAASPolicy": "daas.augment",
    "Found": "daas.search.found",
    "Genotype": "daas.models",
    "Operation": "daas.augment",
    "Policy": "daas.augment",
    "Search": "daas.search.loop",
    "PolicySpace": "daas.search.spaces.policy_space",
    "Screen": "daas.screen.result",
    "list_policies": "daas.augment",
    "register_genotype": "daas.models",
    "register_operation": "daas.augment",
    "register_primitive": "daas.models.primitives",
}
"""Where each name is, for names that are not rooms of their own."""

timm_names.teach("daas.augment")


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        found = getattr(import_module(_WHERE[name]), name)
        globals()[name] = found
        return found
    if name == "estimators":
        return import_module("daas.search.algorithm.estimators")
    if name in __all__:
        return import_module(f"daas.{name}")
    raise AttributeError(f"module 'daas' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
