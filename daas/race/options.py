"""The options of ``daas race``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daas.data.given import meant
from daas.errors import BadInput
from daas.models.start import Start
from daas.options import add_options, o
from daas.parser import Parser
from daas.search.values import duration

_ASK = "ask"
_IMAGES, _RACE, _RUN = "Images", "What races, and for how long", "The run"


@dataclass(frozen=True)
class RaceOptions:
    """Options of a race; all others of a training are given by candidates (``NAME=VALUE``)."""

    dataset: str = o("", "digits, which is embedded, or a timm data set name (torch/cifar10, hfds/...)", group=_IMAGES)
    data_dir: Path | None = o(None, "a folder of class folders, or a .tar of one", group=_IMAGES)
    image_size: int | None = o(None, "side in pixels; by default it follows the images", group=_IMAGES)
    skip_bad_images: bool = o(False, "leave out images that cannot be read instead of stopping", group=_IMAGES)
    model: str = o(
        "", "timm model that candidates train which name none; also hf-hub:user/name, local-dir:FOLDER", group=_RACE
    )
    model_kwargs: dict[str, Any] = o({}, "its constructor arguments", group=_RACE)
    pretrained: bool = o(False, "every training of it begins with its pretrained weights", group=_RACE)
    pretrained_path: str = o("", "file (.safetensors) that is loaded as if it were the pretrained weights", group=_RACE)
    initial_checkpoint: str = o(
        "", "every training of it begins with these weights of your classes (.safetensors)", group=_RACE
    )
    genotype: str = o("", "cells instead of --model: a genotype file or the name of published ones", group=_RACE)
    candidates: tuple[str, ...] = o(
        ("default",),
        "default, and any of: names or files of policies or none, each with ,NAME=VALUE for base transforms and "
        "network (autoaugment_cifar10,cutout=8,hflip=0 or none,network=resnet18); mixup, cutmix, erasing, smoothing",
        group=_RACE,
    )
    screen: str = o(
        "",
        "the folder of a screen of these images; alone: screen them first (one more training). It says which "
        "operations and flips are safe",
        const=_ASK,
        group=_RACE,
    )
    equal_size: bool = o(
        True,
        "race published cells with as many weights as the found ones (or those of --model-kwargs channels=, layers=), "
        "to within a tenth",
        group=_RACE,
    )
    trainings: int | None = o(None, "at most this many; by default 48, or as many as --time-budget allows", group=_RACE)
    time_budget: str = o("", "for example 90m or 1h30m: no training starts after it", group=_RACE)
    folds: int = o(4, "parts of the images; a training is judged on one and sees the others", group=_RACE)
    epochs: int | None = o(None, "of every training: as many as the winner will be trained for (60)", group=_RACE)
    batch_size: int | None = o(None, "images per batch (50)", group=_RACE)
    lr: float | None = o(None, "highest learning rate of every training (0.1; 0.02 for given weights)", group=_RACE)
    out: Path = o(
        Path("runs/race"), "folder: race.json, policy.json, genotype.json, race.html, race.journal", group=_RUN
    )
    resume: bool = o(False, "go on with the race in --out, if there is one", group=_RUN)
    join: bool = o(False, "work on the race in --out together with the processes that do", group=_RUN)
    workers: int | None = o(None, "trainings at a time; by default one per core on a CPU, one on a GPU", group=_RUN)
    seed: int = o(0, "of folds and trainings", group=_RUN)
    device: str = o("auto", "cpu, cuda, ...; auto takes a GPU if there is one", group=_RUN)

    def arguments(self) -> dict[str, Any]:
        """What ``daas.race`` is called with.

        Raises:
            BadInput: Options that contradict each other.
        """
        return {
            "data": self._data(),
            "candidates": self.candidates,
            "network": self._network(),
            "trainings": self.trainings,
            "time_budget": duration(self.time_budget) if self.time_budget else None,
            "folds": self.folds,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "recipe": self._recipe(),
            "image_size": self.image_size,
            "skip_bad_images": self.skip_bad_images,
            "screen": self._screen(),
            "equal_size": self.equal_size,
            "out": self.out,
            "resume": self.resume,
            "join": self.join,
            "workers": _cores(self.device) if self.workers is None else self.workers,
            "seed": self.seed,
            "device": self.device,
        }

    def _data(self) -> Any:
        if self.dataset and self.data_dir is not None:
            raise BadInput(f"--dataset {self.dataset} and --data-dir {self.data_dir} are two sets; give one of them.")
        if self.dataset:
            return self.dataset
        if self.data_dir is None:
            raise BadInput(
                "No images: name a folder of class folders with --data-dir, or a data set with --dataset (digits is "
                "embedded)."
            )
        return self.data_dir

    def _screen(self) -> Any:
        from daas.screen.result import Screen

        return self.screen == _ASK or (Screen.load(self.screen) if self.screen else None)

    def _recipe(self) -> Any:
        from daas.train.fit import Recipe

        return None if self.lr is None else Recipe(lr=self.lr)

    def _network(self) -> Any:
        from daas.models import find_genotype
        from daas.race.candidates import network

        if self.genotype and self.model:
            raise BadInput(f"--genotype {self.genotype} and --model {self.model} are two networks; give one of them.")
        if self.genotype:
            return network(find_genotype(self.genotype), self.model_kwargs, Start.of(self))
        Start.of(self).check(self.model)
        return network(self.model, self.model_kwargs, Start.of(self)) if self.model else None


def _cores(device: str) -> int:
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _meant(word: str) -> str:
    """What a word without an option was probably meant for: a candidate, such as the folder of a search; or images."""
    from daas.augment.find import list_policies
    from daas.race.sets import DEFAULT, FURTHER

    folder = any(os.path.isfile(Path(word) / name) for name in ("policy.json", "genotype.json"))
    candidate = folder or word.endswith(".json") or word in {DEFAULT, *FURTHER, *list_policies()} or "," in word
    return f"--candidates {shlex.quote(word)}" if candidate else meant(word)


def parse(argv: Sequence[str]) -> RaceOptions:
    """Command line -> options.

    Args:
        argv: Arguments without the program's name.

    Raises:
        SystemExit: With code 0, after --help.
        BadInput: Unknown options or values.
    """
    parser = Parser(
        meant=_meant,
        prog="daas race",
        usage="daas race --data-dir FOLDER --model NAME [--candidates ...] [--out FOLDER] [options]",
        description="Candidates in (networks, policies, base transforms), the one that wins whole trainings out.",
        epilog="Exit codes: 0 done, 1 every loss diverged or a worker was lost, 2 bad input, 130 interrupted "
        "(go on with --resume).",
    )
    add_options(parser, RaceOptions)
    return RaceOptions(**vars(parser.parse_args(argv)))
