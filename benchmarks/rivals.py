"""What a user would take instead of ``DAASPolicy``, each from its input to a normalised float batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kornia.augmentation.auto as kornia_auto
import torch
from PIL import Image
from timm.data.auto_augment import auto_augment_transform, rand_augment_transform
from torch import Tensor
from torchvision.transforms import v2

from benchmarks import kornia_grouped
from benchmarks.pillow_policy import apply_one, to_batch, to_images
from daas import DAASPolicy, Policy

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SCALE, _SHIFT = (torch.tensor(v).view(3, 1, 1) for v in ([1 / (255 * s) for s in STD], [255 * m for m in MEAN]))
Contestant = Callable[[], Tensor]


def pictures(count: int, size: int, seed: int = 0) -> Tensor:
    """Images with the spectrum of photographs: octaves of smooth colour noise, [count, 3, size, size] uint8."""
    random = torch.Generator().manual_seed(seed)
    total, amplitude, cells = torch.zeros(count, 3, size, size), 1.0, 2
    while cells <= size:
        octave = torch.randn(count, 3, cells, cells, generator=random)
        octave = 0.8 * octave.mean(1, keepdim=True) * 3**0.5 + 0.6 * octave  # channels go together, as in photographs
        total += amplitude * torch.nn.functional.interpolate(octave, (size, size), mode="bicubic", align_corners=True)
        amplitude, cells = amplitude / 2, cells * 2
    return (128 + 55 * total).clamp(0, 255).to(torch.uint8)


def normalized(batch: Tensor) -> Tensor:
    """[B, 3, H, W] uint8 -> normalised float, in two passes."""
    return batch.sub(_SHIFT.to(batch.device)).mul_(_SCALE.to(batch.device))


def contestants(images: Tensor) -> dict[str, Contestant]:
    """By name; all work on the same batch, those on PIL get it as PIL images, free of charge."""
    policy = Policy.random(torch.Generator().manual_seed(0))
    found: dict[str, Contestant] = {"float copy of the batch (floor)": images.float().clone}
    for backend in ("numba", "torch"):
        ours = DAASPolicy(policy, backend=backend, normalize=(MEAN, STD))
        found[f"DAASPolicy, {backend}"] = _bind(ours, images)
    found.update(_on_pil(images, policy))
    found.update(_torchvision(images))
    found.update(_kornia(images, policy))
    return found


def _bind(function: Callable[..., Any], *arguments: Any) -> Contestant:
    return lambda: function(*arguments)


def _on_pil(images: Tensor, policy: Policy) -> dict[str, Contestant]:
    """One PIL image at a time."""
    pil, draws = to_images(images), DAASPolicy(policy)

    def same_policy() -> Tensor:
        draw = draws.sample(len(pil))
        return normalized(to_batch([apply_one(image, draw, i) for i, image in enumerate(pil)]))

    def each(transform: Callable[[Image.Image], Image.Image]) -> Contestant:
        return lambda: normalized(to_batch([transform(image) for image in pil]))

    hparams = {"img_mean": (124, 116, 104), "translate_const": int(images.shape[3] * 0.45)}
    found = {
        "the same policy, PIL": same_policy,
        "timm AutoAugment, PIL": each(auto_augment_transform("original", hparams)),
        "timm RandAugment, PIL": each(rand_augment_transform("rand-m9-mstd0.5", hparams)),
    }
    for name, transform in torchvision_policies(images.shape[3]).items():
        found[f"torchvision {name}, PIL"] = each(transform)
    return found


def torchvision_policies(size: int) -> dict[str, Any]:
    policy = v2.AutoAugmentPolicy.CIFAR10 if size <= 32 else v2.AutoAugmentPolicy.IMAGENET
    return {
        "AutoAugment": v2.AutoAugment(policy),
        "RandAugment": v2.RandAugment(),
        "TrivialAugment": v2.TrivialAugmentWide(),
    }


def _torchvision(images: Tensor) -> dict[str, Contestant]:
    def each(transform: Callable[[Tensor], Tensor]) -> Contestant:
        return lambda: normalized(torch.stack([transform(image) for image in images]))

    found: dict[str, Contestant] = {}
    for name, transform in torchvision_policies(images.shape[3]).items():
        found[f"torchvision {name}, one tensor at a time"] = each(transform)
    shared = batch_policies(images.shape[3])
    return found | {name: _bind(run, images) for name, run in shared.items() if name.startswith("torchvision")}


def batch_policies(size: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """Torchvision's and Kornia's policies by name, one policy for a whole uint8 batch of this size, on any device."""

    def normalized_after(transform: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda images: normalized(transform(images))

    def on_floats(transform: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda images: _standard(transform(images.float() / 255.0))

    kornia = {
        "AutoAugment": kornia_auto.AutoAugment("cifar10" if size <= 32 else "imagenet"),
        "RandAugment": kornia_auto.RandAugment(n=2, m=10),
        "TrivialAugment": kornia_auto.TrivialAugment(),
    }
    found = {
        f"torchvision {name}, one policy for the batch": normalized_after(transform)
        for name, transform in torchvision_policies(size).items()
    }
    return found | {
        f"Kornia {name}, one policy for the batch": on_floats(transform) for name, transform in kornia.items()
    }


def _standard(images: Tensor) -> Tensor:
    """Float images in [0, 1], normalised."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (MEAN, STD))
    return images.sub(mean).mul_(1.0 / std)


def _kornia(images: Tensor, policy: Policy) -> dict[str, Contestant]:
    draws = DAASPolicy(policy)

    def grouped() -> Tensor:
        return _standard(kornia_grouped.apply(images.float() / 255.0, draws.sample(len(images))))

    shared = batch_policies(images.shape[3])
    found = {name: _bind(run, images) for name, run in shared.items() if name.startswith("Kornia")}
    return found | {"Kornia's functions, grouped by operation": grouped}
