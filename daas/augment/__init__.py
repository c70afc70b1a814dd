"""Augmentation policies as batched transforms: what happens to an image is drawn first, then applied."""

from __future__ import annotations

from daas.augment.adapter import SingleImage
from daas.augment.draw import Draw
from daas.augment.policy import Policy, PolicyOp, SubPolicy
from daas.augment.schedule import PolicySchedule, Segment
from daas.augment.transform import DAASPolicy, find_policy, list_policies

__all__ = [
    "DAASPolicy",
    "Draw",
    "Policy",
    "PolicyOp",
    "PolicySchedule",
    "Segment",
    "SingleImage",
    "SubPolicy",
    "find_policy",
    "list_policies",
]
