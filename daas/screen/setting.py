"""Everything that a screen needs before it starts: images in two halves, a network, what is tried, a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from daas.augment.operation import Operation
from daas.augment.ops import Statistics
from daas.augment.space import BASE, known, named
from daas.data import ImageData, channel_stats, load_images
from daas.data.sources import refuse_among_images
from daas.errors import BadInput
from daas.models.own import fingerprint
from daas.models.start import Start
from daas.screen.folder import operations_before
from daas.screen.images import two_halves
from daas.screen.network import Network, network_of
from daas.screen.options import ScreenOptions

PLACES = ("dataset", "data_dir", "val_dir")


@dataclass(frozen=True)
class Setting:
    """What a screen is made of.

    Attributes:
        options: Checked.
        network: What was chosen.
        made: The network for these images, or what makes it.
        tried: The operations.
        train: Images to train on.
        asked: Images to ask about.
        facts: What was not read of them, and warnings about them (``facts_of``).
        statistics: Mean and standard deviation for normalisation.
        device: Where it is trained.
        most_asked: Images to ask about that ``max_images`` lets through; 0 for all.
    """

    options: ScreenOptions
    network: Network
    made: nn.Module | Callable[[], nn.Module]
    tried: tuple[Operation, ...]
    train: ImageData
    asked: ImageData
    facts: dict[str, Any]
    statistics: Statistics
    device: torch.device
    most_asked: int

    @property
    def lr(self) -> float:
        """The largest learning rate."""
        return self.options.lr or self.network.lr

    def made_of(self) -> dict[str, Any]:
        """What a training must have been made of to be taken again, or gone on with."""
        options = self.options
        return {
            "network": self.network.name,
            **({"module_weights": fingerprint(self.made)} if isinstance(self.made, nn.Module) else {}),
            "model_kwargs": {name: str(value) for name, value in self.network.model_kwargs.items()},
            "pretrained": options.pretrained,
            **{name: value for name, value in Start.of(options).contents().items() if name != "pretrained"},
            "operations": [operation.name for operation in self.tried],
            "epochs": options.epochs,
            "batch_size": options.batch_size,
            "lr": self.lr,
            "weight_decay": options.weight_decay,
            "seed": options.seed,
            "images": [self.train.digest(), self.asked.digest()],
        }

    def about(self) -> dict[str, Any]:
        """What a result says of how it was made."""
        train, options, network = self.train, self.options, self.network
        return {
            "data": {
                "name": train.name, "class_names": list(train.class_names), "train_images": len(train),
                "val_images": len(self.asked), "image_size": train.image_size, **self.facts,
            },
            "source": {name: str(getattr(options, name) or "") for name in PLACES},
            "network": {
                "name": network.name, "model": network.model,
                "model_kwargs": {name: str(value) for name, value in network.model_kwargs.items()},
                "pretrained": options.pretrained, "default": network.default,
                **Start.of(options).named(),
            },
            "options": {
                "epochs": options.epochs, "batch_size": options.batch_size, "lr": self.lr,
                "weight_decay": options.weight_decay, "seed": options.seed,
            },
            "made_of": self.made_of(),
        }  # fmt: skip


def gather(options: ScreenOptions, data: Any, val: Any, network: nn.Module | None) -> Setting:
    """Reads images and finds network, operations and device; nothing is written.

    Args:
        options: Checked here.
        data: The images; None for those that the options name.
        val: Images to ask about; None for those of ``options.val_dir``, or half of ``data``.
        network: A module; None for what the options name, or the default.

    Raises:
        BadInput: Something that cannot be used; the message says what can.
    """
    options.check()
    tried = _operations(options.operations or operations_before(options))
    chosen, device = network_of(network, options), _device(options.device)
    small = options.dataset == "digits" and chosen.default  # they have 16 pixels
    size = options.image_size or (None if small else chosen.size)
    if data is None:
        data = _place(options, size)
    val = options.val_dir if val is None else val
    train, asked, facts = two_halves(data, val, options, size)
    refuse_among_images(options.out, train, asked)
    made = chosen.make(train.class_names, train.image_size)
    statistics = chosen.statistics or channel_stats(train)
    most_asked = options.max_images // 2 if val is None else options.max_images
    return Setting(options, chosen, made, tried, train, asked, facts, statistics, device, most_asked)


def _place(options: ScreenOptions, size: int | None) -> Any:
    """The images that the options name: a data set that is stored somewhere, one by name, or a folder."""
    if options.dataset and options.data_dir is not None:
        return load_images(
            options.dataset, options.data_dir, image_size=size, skip_bad_images=options.skip_bad_images,
            workers=options.workers,
        )  # fmt: skip
    return options.dataset or options.data_dir


def _operations(names: Sequence[str]) -> tuple[Operation, ...]:
    """What is tried: by default the base transforms first, then the search space, then registered ones."""
    if not names:
        base = {operation.name for operation in BASE}
        return (*BASE, *(operation for operation in known() if operation.name not in base))
    if len(set(names)) < len(names):
        raise BadInput(f"operations are {', '.join(names)}; each is named once.")
    return tuple(named(name) for name in names)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInput(f"--device {name} cannot be used ({str(error).splitlines()[0]}).") from error
    return torch.device(name)
