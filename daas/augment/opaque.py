"""A policy as one operator for ``torch.compile``: nobody looks into it, and the graph around it stays whole."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

if TYPE_CHECKING:
    from daas.augment.transform import DAASPolicy

_known: WeakValueDictionary[int, DAASPolicy] = WeakValueDictionary()
_numbers = itertools.count()


def register(transform: DAASPolicy) -> int:
    """The number by which the operator finds a policy, in this process and as long as the policy is there."""
    number = next(_numbers)
    _known[number] = transform
    return number


def takes(images: Any, params: Any, generator: Any, more: Any) -> bool:
    """Whether a call is one for the operator: a batch of tensors, drawn anew, without gradients of the images."""
    plain = params is None and generator is None and not more
    return plain and isinstance(images, Tensor) and images.ndim == 4 and not images.requires_grad


# Not torch.library.custom_op, which takes no tags in torch 2.6: without this one, two calls could be made one draw.
torch.library.define(
    "daas::policy",
    "(Tensor images, int number) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag, torch.Tag.nondeterministic_seeded),
)


@torch.library.impl("daas::policy", "default")
def _run(images: Tensor, number: int) -> Tensor:
    """Draws and applies: [B, C, H, W] -> [B, C, H, W]."""
    result: Tensor = _known[number](images)
    return result.clone() if result.data_ptr() == images.data_ptr() else result


def _fake(images: Tensor, number: int) -> Tensor:
    """Shape, dtype and layout of what comes out."""
    transform = _known[number]
    kind = images.dtype
    if transform.normalize is not None:
        kind = transform.form.dtype or (kind if kind.is_floating_point else torch.float32)
    return torch.empty_like(images, dtype=kind, memory_format=transform.form.memory_format)


torch.library.register_fake("daas::policy", _fake)
policy = torch.ops.daas.policy
