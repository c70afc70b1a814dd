"""Augmentation policies as batched transforms: what happens to an image is drawn first, then applied."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from daas.augment.draw import Draw
from daas.augment.find import find_policy, list_policies
from daas.augment.operation import Form, Operation, PillowForm, PlacedMatrix
from daas.augment.policy import Policy, PolicyOp, SubPolicy
from daas.augment.register import register_operation
from daas.augment.schedule import PolicySchedule, Segment

if TYPE_CHECKING:
    from daas.augment.torchvision import SingleImage
    from daas.augment.transform import DAASPolicy

__all__ = [
    "DAASPolicy",
    "Draw",
    "Form",
    "Operation",
    "PillowForm",
    "PlacedMatrix",
    "Policy",
    "PolicyOp",
    "PolicySchedule",
    "Segment",
    "SingleImage",
    "SubPolicy",
    "find_policy",
    "list_policies",
    "register_operation",
]

_AT_NEED = {"DAASPolicy": "daas.augment.transform", "SingleImage": "daas.augment.torchvision"}  # they import Kornia


def __getattr__(name: str) -> Any:
    if name in _AT_NEED:
        return getattr(import_module(_AT_NEED[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
