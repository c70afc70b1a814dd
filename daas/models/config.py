"""config.json of a model folder that anybody may have made: checked before timm builds what it describes."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from daas.errors import BadInput
from daas.reading import check_look_alike, read_bytes, read_json
from daas.repository import CONFIG, WEIGHTS

_LARGEST = 4096  # pixels or channels of an input
_MODULES = 20_000  # modules of a network; the largest of timm's have some 5,000
_ASTRAY = ("url", "file", "state_dict", "hf_hub_filename", "custom_load")


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a model folder, after a look at what would lead timm elsewhere or make it ask for too much.

    Raises:
        BadInput: No config.json, or none of a model that can be built.
    """
    config = read_json(folder / CONFIG, "configuration")
    if read_bytes(folder / CONFIG, "configuration").startswith(codecs.BOM_UTF8):
        raise BadInput(f"{CONFIG} begins with a byte order mark, which timm does not read. Save it without one.")
    cfg = config.get("pretrained_cfg") if isinstance(config, dict) else None
    if not isinstance(cfg, dict) or not isinstance(config.get("model_args", {}), dict):
        lacks = "it has no 'pretrained_cfg', or no JSON object as 'model_args'"
        raise BadInput(f"{CONFIG} is no model configuration of timm: {lacks}.{_of_transformers(config)}")
    if not timm.is_model(str(config.get("architecture"))):
        raise BadInput(f"{CONFIG}: architecture {config.get('architecture')!r} is known neither to timm nor to daas.")
    astray = [key for key in _ASTRAY if cfg.get(key)]
    if astray:
        raise BadInput(f"{CONFIG}: pretrained_cfg.{astray[0]} leads to other weights than {WEIGHTS}; remove it.")
    sizes = [cfg.get(key) for key in ("input_size", "mean", "std")]
    if not all(isinstance(size, list) and all(_is_number(v) for v in size) for size in sizes):
        raise BadInput(f"{CONFIG}: pretrained_cfg needs input_size, mean and std as lists of numbers; found {sizes}.")
    size = cfg["input_size"]
    if len(size) != 3 or not all(isinstance(v, int) and 1 <= v <= _LARGEST for v in size):
        raise BadInput(f"{CONFIG}: input_size is {size}; it is [channels, height, width], each from 1 to {_LARGEST}.")
    if any(len(cfg[key]) != size[0] for key in ("mean", "std")) or 0 in cfg["std"]:
        raise BadInput(f"{CONFIG}: mean and std need one number per channel, std none that is 0; found {sizes[1:]}.")
    _check_classes(config, cfg)
    return dict(config)


def _of_transformers(config: Any) -> str:
    """What to do with the configuration of a model of Transformers; empty for any other."""
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind == "timm_wrapper":
        return (
            f" It is of Transformers, around timm's {config.get('architecture')}: name that as --model, and {WEIGHTS} "
            "with --initial-checkpoint."
        )
    return f" It is of Transformers ({kind}), whose networks are not timm's; take a timm model." if kind else ""


def _check_classes(config: dict[str, Any], cfg: dict[str, Any]) -> None:
    """Refuses numbers of classes that are none, or that differ from place to place."""
    given = {
        "num_classes": config.get("num_classes", cfg.get("num_classes")),  # the first is what counts
        "model_args.num_classes": config.get("model_args", {}).get("num_classes"),
    }
    said = {place: value for place, value in given.items() if value is not None}
    names = config.get("label_names", cfg.get("label_names"))
    if isinstance(names, list):
        said["the number of label_names"] = len(names)
    wrong = [f"{place} is {value!r}" for place, value in said.items() if type(value) is not int or value < 0]
    if wrong:
        raise BadInput(f"{CONFIG}: {wrong[0]}; it is a whole number.")
    if len(set(said.values())) > 1:
        listed = ", ".join(f"{place} is {value}" for place, value in said.items())
        raise BadInput(f"{CONFIG}: {listed}. Make them agree with the weights.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of a model folder; only the file's header is read.

    Raises:
        BadInput: No safetensors file.
    """
    check_look_alike(folder / WEIGHTS)
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{WEIGHTS} is no whole safetensors file ({error}). Copy or download it again.") from error


def outline(folder: Path) -> nn.Module:
    """The network of a model folder on the meta device: shapes without memory, built no further than its weights reach.

    Raises:
        BadInput: ``read_config`` refuses the configuration, timm cannot build it, or it asks for much more than the
            weights in the folder.
    """
    config, found = read_config(folder), shapes(folder)
    cfg = config["pretrained_cfg"]
    told, layer = config.get("num_classes", cfg.get("num_classes")), f"{cfg.get('classifier')}.weight"
    rows = found.get(layer, ())[:1]
    if told and rows and rows != (told,):
        raise BadInput(
            f"{CONFIG} says {told} classes, and {layer} in {WEIGHTS} has {rows[0]}. They are of two trainings: take "
            "both files of one."
        )
    with torch.device("meta"), _bounded(sum(math.prod(shape) for shape in found.values())):
        return build(folder, pretrained=False)


def build(folder: Path, pretrained: bool) -> nn.Module:
    """The model of a folder, as ``timm.create_model("local-dir:...")`` builds it.

    Raises:
        BadInput: timm cannot.
    """
    try:
        model: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=pretrained)
    except Exception as error:  # a configuration from elsewhere can make a constructor raise anything
        raise BadInput(f"{CONFIG} describes no model that timm can build: {str(error)[:400]}") from error
    return model


@contextmanager
def _bounded(numbers: int) -> Iterator[None]:
    """Stops the construction of a network that grows far beyond its weights.

    Args:
        numbers: That the weights hold. A constructor may replace a part, so twice as many are let through.
    """
    count = {"numbers": 0, "modules": 0}

    def parameter(module: nn.Module, name: str, value: Any) -> None:
        count["numbers"] += 0 if value is None else value.numel()
        if count["numbers"] > 2 * numbers + 1_000_000:
            raise BadInput(f"it asks for many more parameters than the {numbers:,} numbers of {WEIGHTS}")

    def child(module: nn.Module, name: str, value: Any) -> None:
        count["modules"] += 1
        if count["modules"] > _MODULES:
            raise BadInput(f"it asks for more than {_MODULES:,} modules")

    hooks = [
        register_module_parameter_registration_hook(parameter),
        register_module_module_registration_hook(child),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
