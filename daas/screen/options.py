"""The options of a screen, and its command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daas.data.given import meant
from daas.errors import BadInput
from daas.models.start import Start
from daas.options import add_options, o
from daas.parser import Parser
from daas.ranges import RANGES, Range, check_ranges

DEFAULT_SIZE = 32
"""Side in pixels of the images for the default network."""
_IMAGES, _NETWORK, _TRAINING, _RUN = "Images", "Network", "Training", "Run"


@dataclass(frozen=True)
class ScreenOptions:
    """Options of ``daas screen`` and of ``daas.screen``."""

    dataset: str = o("", "digits (embedded), or a timm data set name (torch/cifar10, hfds/..., wds/...)", group=_IMAGES)
    data_dir: Path | None = o(
        None, "a folder of class folders, a .tar of one, or where --dataset is stored", group=_IMAGES
    )
    val_dir: Path | None = o(
        None, "images to ask about, with the same class folders; by default half of the images", group=_IMAGES
    )
    image_size: int | None = o(
        None,
        "side in pixels; by default 32 with the default network (digits: 16), and what daas.search takes with others",
        group=_IMAGES,
    )
    max_images: int = o(4000, "images that are used, evenly over the classes; 0 for all", group=_IMAGES)
    skip_bad_images: bool = o(False, "leave out images that cannot be read", group=_IMAGES)
    workers: int = o(4, "threads that read images", group=_IMAGES)
    operations: tuple[str, ...] = o(
        (), "what is tried; by default the base transforms, the search space and all registered ones", group=_IMAGES
    )
    model: str = o(
        "",
        "any timm model, also hf-hub:user/name and local-dir:FOLDER; by default a WRN-10-1, small and quick",
        group=_NETWORK,
    )
    model_kwargs: dict[str, Any] = o({}, "its constructor arguments: NAME=VALUE ...", group=_NETWORK)
    pretrained: bool = o(False, "begin with the model's pretrained weights", group=_NETWORK)
    pretrained_path: str = o(
        "", "file (.safetensors) that is loaded as if it were the pretrained weights", group=_NETWORK
    )
    initial_checkpoint: str = o("", "begin with these weights of your classes (.safetensors)", group=_NETWORK)
    epochs: int = o(60, "of the one training", group=_TRAINING)
    batch_size: int = o(50, "images per batch", "-b", group=_TRAINING)
    lr: float | None = o(
        None, "largest learning rate; by default 0.1, and 0.02 for networks with weights and modules", group=_TRAINING
    )
    weight_decay: float = o(5e-4, "weight decay", group=_TRAINING)
    out: Path | None = o(
        None, "folder for screen.json, policy.json, screen.html, screen.png and the trained network", group=_RUN
    )
    resume: str = o("", "auto: go on with what is in --out, also within the training", group=_RUN)
    seed: int = o(0, "of every random choice", group=_RUN)
    device: str = o("auto", "cpu, cuda, ...; auto takes a GPU if there is one", group=_RUN)

    def check(self) -> None:
        """Refuses values that cannot be.

        Raises:
            BadInput: Which option, what was found, what is allowed.
        """
        check_ranges(
            self,
            lr=Range(0, 100, above=True),
            batch_size=Range(2, RANGES["batch_size"].most),
            image_size=Range(8, RANGES["image_size"].most),
            max_images=Range(0, RANGES["max_images"].most),
            weight_decay=Range(0, 1, below=True),
        )
        if self.resume not in ("", "auto"):
            raise BadInput(f"--resume is {self.resume!r}; it is auto, which goes on with what is in --out.")
        Start.of(self).check(self.model)
        if self.model_kwargs and not self.model:
            raise BadInput("--model-kwargs needs --model.")


def parse(argv: Sequence[str]) -> ScreenOptions:
    """Command line -> checked options.

    Args:
        argv: Arguments without the program's name.

    Raises:
        SystemExit: With code 0, after --help.
        BadInput: Unknown options, values out of range.
    """
    parser = Parser(
        meant=meant,
        prog="daas screen",
        usage="daas screen (--data-dir FOLDER | --dataset NAME) [--out FOLDER] [options]",
        description="Find out which operations change the labels of your images, and up to where others are safe.",
        epilog="Exit codes: 0 done, 1 the loss diverged, 2 bad input, 130 interrupted (go on with --resume auto).",
    )
    add_options(parser, ScreenOptions)
    parser.set_defaults(out=Path("runs/screen"))
    options = ScreenOptions(**vars(parser.parse_args(argv)))
    if not options.dataset and options.data_dir is None:
        raise BadInput("No images: name a folder of class folders with --data-dir, or a data set with --dataset.")
    options.check()
    return options
