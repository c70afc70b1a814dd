"""Networks that ``benchmarks.screen`` trains under everything: scratch, pretrained, of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import daas
from benchmarks.tasks import Task
from daas import checkpoint
from daas.augment import find_policy
from daas.augment.space import known
from daas.data import ImageData, MemoryImages
from daas.race.candidates import network as network_of
from daas.screen import Screen
from daas.screen.judging import screened
from daas.screen.measure import measure
from daas.screen.network import DEFAULT
from daas.search.spaces.supernet import FixedNetwork
from daas.seeds import generator
from daas.train import build
from daas.train.fit import Recipe, fit
from daas.train.options import TrainOptions

SCRATCH, PRETRAINED, SEARCHED = "WRN-10-1", "WRN-10-1, pretrained", "WRN-10-1, as a search leaves it"
KNOWN, EPOCHS = 10_000, 20
"""Photographs that the pretrained network has seen, and how often."""
_SEEN = 701  # what a random stream is for


def options_of(network: str, photographs: ImageData, folder: Path) -> tuple[ImageData, dict[str, Any]]:
    """What ``daas.screen`` is called with for a network.

    Args:
        network: ``SCRATCH``, ``PRETRAINED``, ``SEARCHED``, or a timm name.
        photographs: What the tasks are made from.
        folder: Keeps the pretrained weights.

    Returns:
        The photographs that tasks may be made from (those that the pretrained network has seen are not among them),
        and the options.
    """
    if network in (SCRATCH, SEARCHED):
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


def of_a_search(made: Task, seed: int, folder: Path) -> Screen:
    """What the network of a search says of a task, at no cost: asked as ``daas.screen`` asks its own, told the same.

    The search is ``preset="cpu"`` with the screen's network, so that only the training differs: every image under a
    sampled policy of two operations and the flip, where the screen gives it one operation or none.

    Args:
        made: The task.
        seed: Of the search and of the questions.
        folder: Keeps the search.
    """
    class_names = made.train.class_names
    net = network_of(*DEFAULT).create(len(class_names))
    out = folder / f"{made.name}-{len(made.train)}-{seed}"
    images, asked = (made.train.images, made.train.labels), (made.val.images, made.val.labels)
    found = daas.search(
        images,
        val=asked,
        network=net,
        mode="aug",
        preset="cpu",
        seed=seed,
        out=out,
        resume="auto",
        screen=False,
        race=0,
    )
    tensors = checkpoint.load(out / "checkpoint.safetensors")[0]
    searched = FixedNetwork(net)
    mine = {name: value for name, value in tensors.items() if name.startswith("network.")}
    searched.load_state_dict({name.removeprefix("network."): value for name, value in mine.items()})
    mean, std = found.summary["data"]["mean"], found.summary["data"]["std"]
    measured = measure(searched, made.val, known(), (tuple(mean), tuple(std)), seed=seed)
    return screened(measured, class_names, {}, seed)
