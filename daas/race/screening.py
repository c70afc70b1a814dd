"""What a screen says before a race: one that is given, one that the race's folder has, or one that is asked first."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from daas.data import ImageData
from daas.errors import BadInput
from daas.race.candidates import Network
from daas.randomness import seed_everything
from daas.train.fit import Recipe, streams_as_before

if TYPE_CHECKING:
    from daas.screen.result import Screen

FOLDER = "screen"


def known(given: object, images: ImageData, folder: Path | None, begun: bool) -> Screen | None:
    """The screen that is there already; None where none is wanted, or one is to be asked first.

    Args:
        given: A screen, or whether one is wanted.
        images: That race.
        folder: Of the race.
        begun: Whether the race in it has begun, and with it is compared what the screen was made of.

    Raises:
        BadInput: It is no screen, or one of other images.
    """
    from daas.screen.result import Screen

    if not isinstance(given, Screen | bool | None):
        raise BadInput(
            f"screen is of type {type(given).__name__}; it is a result of daas.screen, "
            "daas.Screen.load(FOLDER), or True."
        )
    if given is True and begun and folder is not None and os.path.isfile(folder / FOLDER / "screen.json"):
        given = Screen.load(folder / FOLDER)
    if given is None or isinstance(given, bool):
        return None
    classes = given.about.get("data", {}).get("class_names")
    if classes is not None and set(classes) != set(images.class_names):
        raise BadInput(
            f"the screen is of images of the classes {_some(classes)}, and {images.name} has "
            f"{_some(images.class_names)}. Screen these images: screen=True (--screen)."
        )
    return given


def asked(images: ImageData, network: Network | None, folder: Path | None, **options: Any) -> Screen:
    """Screens the images with the network of the race; what the folder has of such a screen is gone on with.

    Args:
        images: That race.
        network: Of the race; None for the screen's own.
        folder: Of the race; None keeps nothing.
        **options: Of the screen: ``epochs``, ``batch_size``, ``seed``, ``device``.

    Raises:
        BadInput: Images that cannot be screened, or another screen in the folder.
    """
    given = dict[str, Any]() if folder is None else {"out": folder / FOLDER, "resume": "auto"}
    if network is None:
        given["network"] = None
    elif network.module is not None:
        given["network"] = network.module
    elif network.genotype is not None:
        given |= {"network": _cells(network, images, options["seed"]), "lr": Recipe.lr}
    else:
        given |= {"network": network.model, "model_kwargs": dict(network.kwargs), **network.start.named()}
    room: Any = import_module("daas.screen")
    found: Screen = room(images, **options, **given)
    return found


def _cells(network: Network, images: ImageData, seed: int) -> nn.Module:
    """A network of cells, which have no name that a screen could make it from; the same weights for the same seed."""
    with streams_as_before("cpu"):
        seed_everything(seed)
        return network.create(len(images.class_names), images.class_names)


def _some(names: Any) -> str:
    return ", ".join(map(str, names[:5])) + (" ..." if len(names) > 5 else "")
