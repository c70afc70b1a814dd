"""The options of training, under timm's names and with timm's meaning."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

import yaml

from daas.errors import BadInput


@dataclass(frozen=True)
class TrainOptions:
    """Options of ``python -m daas.train``; the metadata groups them and explains them on the command line."""

    data_dir: str = ""
    dataset: str = ""
    val_dir: str = ""
    train_split: str = "train"
    val_split: str = "validation"
    skip_bad_images: bool = False
    model: str = "resnet50"
    model_kwargs: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    initial_checkpoint: str = ""
    num_classes: int | None = None
    img_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    batch_size: int = 128
    epochs: int = 300
    opt: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 2e-5
    clip_grad: float | None = None
    lr: float = 0.1
    sched: str = "cosine"
    warmup_epochs: int = 5
    warmup_lr: float = 1e-5
    min_lr: float = 0.0
    smoothing: float = 0.1
    drop: float = 0.0
    drop_path: float | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    aux_weight: float = 0.4
    aa: str = ""
    hflip: float = 0.5
    crop_padding: int | None = None
    cutout: int = 0
    reprob: float = 0.0
    model_ema: bool = False
    model_ema_decay: float = 0.9998
    seed: int = 42
    workers: int = 4
    device: str = "auto"
    output: str = "./output/train"
    experiment: str = ""
    resume: str = ""
    validate: str = ""


_HELP: dict[str, tuple[str, str]] = {
    "data_dir": ("Data", "folder of class folders, a .tar of one, or where --dataset is stored"),
    "dataset": ("Data", "timm data set name (torch/cifar10, hfds/..., wds/...) or digits"),
    "val_dir": ("Data", "validation images, if they are not a split of the data set"),
    "train_split": ("Data", "split to train on"),
    "val_split": ("Data", "split to validate on"),
    "skip_bad_images": ("Data", "leave out images that cannot be read"),
    "model": ("Model", "any timm model; import daas adds its own"),
    "model_kwargs": ("Model", "constructor arguments, NAME=VALUE ..."),
    "pretrained": ("Model", "start from the model's pretrained weights"),
    "initial_checkpoint": ("Model", "start from these weights (.safetensors)"),
    "num_classes": ("Model", "classes; by default those of the data"),
    "img_size": ("Model", "side of the images in pixels"),
    "mean": ("Model", "channel means for normalisation; by default the model's"),
    "std": ("Model", "channel standard deviations; by default the model's"),
    "drop": ("Model", "dropout before the classifier"),
    "drop_path": ("Model", "drop-path rate; cell networks ramp it linearly over the epochs"),
    "aux_weight": ("Model", "weight of the auxiliary loss (models with aux_head=True)"),
    "model_ema": ("Model", "keep and validate an exponential moving average of the weights"),
    "model_ema_decay": ("Model", "its decay"),
    "batch_size": ("Schedule", "images per batch"),
    "epochs": ("Schedule", "epochs, warm-up included"),
    "opt": ("Schedule", "timm optimizer"),
    "momentum": ("Schedule", "of the optimizer"),
    "weight_decay": ("Schedule", "of the optimizer"),
    "clip_grad": ("Schedule", "largest gradient norm"),
    "lr": ("Schedule", "learning rate"),
    "sched": ("Schedule", "timm schedule"),
    "warmup_epochs": ("Schedule", "epochs with rising learning rate"),
    "warmup_lr": ("Schedule", "learning rate at the start of the warm-up"),
    "min_lr": ("Schedule", "learning rate at the end"),
    "smoothing": ("Schedule", "label smoothing"),
    "mixup": ("Augmentation", "Mixup alpha"),
    "cutmix": ("Augmentation", "CutMix alpha"),
    "aa": ("Augmentation", "daas:NAME, daas:PATH or daas:hf-hub:REPOSITORY: an augmentation policy"),
    "hflip": ("Augmentation", "probability of a horizontal flip"),
    "crop_padding": ("Augmentation", "zero padding before a random crop; by default an eighth of the side"),
    "cutout": ("Augmentation", "side of the square that is cut out after normalisation; 0 for none"),
    "reprob": ("Augmentation", "random erasing probability"),
    "seed": ("Run", "of every random choice"),
    "workers": ("Run", "threads that decode images"),
    "device": ("Run", "cpu, cuda, ...; auto takes a GPU if there is one"),
    "output": ("Run", "folder of the experiments"),
    "experiment": ("Run", "folder of this one inside; by default MODEL-SEED"),
    "resume": ("Run", "auto, or the path of a checkpoint: go on exactly where it stopped"),
    "validate": ("Run", "only validate these weights (.safetensors)"),
}
_ALIASES = {"batch_size": ["-b"]}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. --help lists the options.")


def parse(argv: Sequence[str]) -> TrainOptions:
    """Command line -> options; ``--config FILE`` (YAML) gives defaults that the command line overrides.

    Raises:
        BadInput: An unknown option, a value of the wrong type, or an unreadable file.
        SystemExit: With code 0, after --help.
    """
    first = _Parser(add_help=False, allow_abbrev=False)
    first.add_argument("-c", "--config", default="")
    config, rest = first.parse_known_args(argv)
    parser = _parser()
    if config.config:
        parser.set_defaults(**_from_yaml(config.config))
    values = vars(parser.parse_args(rest))
    del values["config"]  # read already; the parser knows it for --help
    values["model_kwargs"] = dict(values["model_kwargs"])
    return TrainOptions(**values)


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m daas.train",
        description="Train any timm model, under a searched augmentation policy if you like.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("-c", "--config", default="", help="YAML file of options")
    groups: dict[str, Any] = {}
    defaults = TrainOptions()
    for option in fields(TrainOptions):
        title, text = _HELP[option.name]
        group = groups.setdefault(title, parser.add_argument_group(title))
        default = getattr(defaults, option.name)
        flags = [*_ALIASES.get(option.name, []), "--" + option.name.replace("_", "-")]
        if option.name == "model_kwargs":
            group.add_argument(*flags, nargs="*", default={}, action=_KeyValues, help=text)
        elif option.name in ("mean", "std"):
            group.add_argument(*flags, nargs="+", type=float, default=None, help=text)
        elif isinstance(default, bool):
            group.add_argument(*flags, action="store_true", default=default, help=text)
        else:
            group.add_argument(*flags, type=_type_of(str(option.type)), default=default, help=text)
    return parser


class _KeyValues(argparse.Action):
    """NAME=VALUE words -> dict, values read as JSON where they are JSON."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        pairs: dict[str, Any] = {}
        for word in values:
            name, equals, text = word.partition("=")
            if not equals:
                raise BadInput(f"{option_string} {word}: expected NAME=VALUE.")
            try:
                pairs[name] = json.loads(text)
            except json.JSONDecodeError:
                pairs[name] = {"True": True, "False": False, "None": None}.get(text, text)
        setattr(namespace, self.dest, pairs)


def _type_of(annotation: str) -> Callable[[str], Any]:
    return {"int": int, "float": float, "str": str}[annotation.split(" ")[0]]


def _from_yaml(path: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise BadInput(f"--config {path} cannot be read ({error}).") from error
    known = {option.name for option in fields(TrainOptions)}
    values = {str(key).replace("-", "_"): value for key, value in values.items()}
    unknown = sorted(set(values) - known)
    if unknown:
        raise BadInput(f"--config {path}: unknown options {', '.join(unknown)}. --help lists the options.")
    return values
