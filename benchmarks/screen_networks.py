"""Networks that ``benchmarks.screen`` trains under everything: from scratch, and one that knows photographs already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from daas.augment import find_policy
from daas.data import ImageData, MemoryImages
from daas.screen.network import DEFAULT
from daas.seeds import generator
from daas.train import build
from daas.train.fit import Recipe, fit
from daas.train.options import TrainOptions

SCRATCH, PRETRAINED = "WRN-10-1", "WRN-10-1, pretrained"
KNOWN, EPOCHS = 10_000, 20
"""Photographs that the pretrained network has seen, and how often."""
_SEEN = 701  # what a random stream is for


def options_of(network: str, photographs: ImageData, folder: Path) -> tuple[ImageData, dict[str, Any]]:
    """What ``daas.screen`` is called with for a network.

    Args:
        network: ``SCRATCH``, ``PRETRAINED``, or a timm name.
        photographs: What the tasks are made from.
        folder: Keeps the pretrained weights.

    Returns:
        The photographs that tasks may be made from (those that the pretrained network has seen are not among them),
        and the options.
    """
    if network == SCRATCH:
        return photographs, {}
    if network != PRETRAINED:
        return photographs, {"model": network}
    name, arguments = DEFAULT
    order = torch.randperm(len(photographs), generator=generator(0, _SEEN))  # archives are sorted by class
    seen, unseen = order.split([KNOWN, len(order) - KNOWN])
    weights = folder / f"{name}-{photographs.image_size}.safetensors"
    if not weights.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        save_file(_pretrained(_part(photographs, seen), name, arguments), weights)
    return _part(photographs, unseen), {"model": name, "model_kwargs": arguments, "pretrained_path": str(weights)}


def _part(photographs: ImageData, chosen: torch.Tensor) -> MemoryImages:
    images, labels = photographs.fetch(chosen), photographs.labels[chosen]
    return MemoryImages(photographs.name, images, labels, photographs.class_names)


def _pretrained(images: MemoryImages, name: str, arguments: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Weights after a training as people publish them: classes of photographs, with the flip and TrivialAugment."""
    side = images.image_size
    options = TrainOptions(model=name, model_kwargs=arguments, input_size=(3, side, side))
    recipe = Recipe(epochs=EPOCHS, batch_size=128, hflip=0.5)
    fitted = fit(
        lambda: build.network(options, len(images.class_names)), images, images, recipe,
        augment=find_policy("trivialaugment"), seed=0,
    )  # fmt: skip
    print(f"pretrained on {len(images)} photographs: {fitted.accuracy:.1f}% of them named rightly")
    return {key: value.contiguous() for key, value in fitted.model.state_dict().items()}
