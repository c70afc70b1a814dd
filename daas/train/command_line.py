"""Command line, YAML files and recipes -> TrainOptions; flags of timm's that are not taken are refused by name."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from daas.errors import BadInput
from daas.options import add_options, typed
from daas.parser import Parser
from daas.reading import packaged_json, read_yaml
from daas.train.options import TrainOptions

_PROGRAM = "daas train"


def parse(argv: Sequence[str]) -> TrainOptions:
    """Command line -> options; ``--recipe`` gives defaults, ``--config`` overrides those, flags override both.

    Raises:
        BadInput: An unknown or refused option, a value of the wrong type, or an unreadable file.
        SystemExit: With code 0, after --help.
    """
    _refuse_words(argv)
    files_only = Parser(add_help=False)
    _add_files(files_only)
    named, rest = files_only.parse_known_args(argv)
    recipe = _checked(_recipe(named.recipe), f"--recipe {named.recipe}") if named.recipe else {}
    config: dict[str, Any] = {}
    if named.config:
        path = Path(named.config)
        config = _beside(_checked(_yaml(path, "--config"), f"--config {named.config}"), path.parent)
    values = _read(rest, {**recipe, **config})
    if "dataset" in recipe and (values["data"] or values["data_dir"] or values["dataset"] != recipe["dataset"]):
        values = _read(rest, {**_without_images(recipe), **config})
    del values["config"], values["recipe"]  # read already; the parser knows them for --help
    positional = values.pop("data")
    if positional:
        if values["data_dir"]:
            raise BadInput(f"images are named twice: {positional} and --data-dir {values['data_dir']}. Name them once.")
        values["data_dir"] = positional
    return TrainOptions(**values)


def _read(words: Sequence[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    parser = _parser()
    parser.set_defaults(**defaults)
    return vars(parser.parse_args(words))


def options_of(values: Mapping[str, Any], where: str) -> TrainOptions:
    """Options by name -> options; ``recipe`` gives defaults, ``config`` overrides those, the others override both.

    Args:
        values: By name.
        where: Where they stand, for messages.

    Raises:
        BadInput: An unknown or refused option (the nearest known one is named), a wrong type, an unreadable file.
    """
    values = dict(values)
    recipe, config = str(values.pop("recipe", None) or ""), str(values.pop("config", None) or "")
    found = _checked(_recipe(recipe), f"--recipe {recipe}") if recipe else {}
    if values.get("data_dir") or values.get("dataset"):
        found = _without_images(found)
    if config:
        path = Path(os.path.expanduser(config))
        found |= _beside(_checked(_yaml(path, "--config"), f"--config {config}"), path.parent)
    given = _checked(values, where)
    for name in ("model_kwargs", "opt_kwargs"):  # these join those of a recipe or file
        if name in given:
            given[name] = {**found.get(name, {}), **given[name]}
    return TrainOptions(**(found | given))


def list_recipes() -> list[str]:
    """Names of the recipes that the package ships."""
    folder = files("daas").joinpath("recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


@lru_cache
def refused() -> Mapping[str, Mapping[str, Any]]:
    """Flags of timm's script that are not taken, each with its ``default`` there and the ``reason``."""
    found: dict[str, dict[str, Any]] = packaged_json("daas.train", "refused.json")
    return found


def _refuse_words(argv: Sequence[str]) -> None:
    for word in argv:
        flag = word.split("=")[0]
        entry = refused().get(flag) or refused().get(flag.replace("-", "_").replace("__", "--", 1))
        if entry is not None:
            raise BadInput(f"{flag} of timm's script is not taken here: {entry['reason']}.")


def _add_files(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument("-c", "--config", default="", help="YAML file of options; flags override it")
    parser.add_argument(
        "--recipe", default="", help=f"(*) options of a published training: {', '.join(list_recipes())}"
    )


def _parser() -> Parser:
    parser = Parser(
        prog=_PROGRAM,
        usage=f"{_PROGRAM} [FOLDER] [--recipe NAME] [--config FILE] [options]",
        description="Trains any timm model, under a searched augmentation policy if you like, with the options of "
        "timm's training script. (*) marks what timm does not have.",
        epilog="Exit codes: 0 done, 1 the loss diverged, 2 bad input, 130 interrupted (go on with --resume auto).",
    )
    _add_files(parser.add_argument_group("Options from files"))
    parser.add_argument("data", nargs="?", default="", metavar="FOLDER", help="the same as --data-dir")
    add_options(parser, TrainOptions)
    return parser


def _without_images(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without its data set and the splits of that, which give way to images that are named."""
    return {name: value for name, value in recipe.items() if name not in ("dataset", "train_split", "val_split")}


def _recipe(name: str) -> dict[str, Any]:
    if name not in list_recipes():
        raise BadInput(f"--recipe {name} is unknown; there are {', '.join(list_recipes())}. --config reads a file.")
    return _yaml(Path(str(files("daas").joinpath("recipes").joinpath(f"{name}.yaml"))), "--recipe")


def _yaml(path: Path, flag: str) -> dict[str, Any]:
    values = read_yaml(path, f"{flag} YAML") or {}
    if not isinstance(values, dict):
        raise BadInput(f"{flag} {path}: expected NAME: VALUE lines; found {str(values)[:80]}.")
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def _beside(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Policy and genotype files that a configuration names without a folder are found beside it.

    So the recipe of a repository works from anywhere.
    """
    found = dict(values)
    prefix, _, policy = str(found.get("aa") or "").partition(":")
    if prefix == "daas" and Path(policy).name == policy and os.path.isfile(folder / policy):
        found["aa"] = f"daas:{folder / policy}"
    genotype = (found.get("model_kwargs") or {}).get("genotype")
    if isinstance(genotype, str) and Path(genotype).name == genotype and os.path.isfile(folder / genotype):
        found["model_kwargs"] = {**found["model_kwargs"], "genotype": str(folder / genotype)}
    return found


def _checked(values: dict[str, Any], where: str) -> dict[str, Any]:
    """Values of a file with the types of the options; refused ones may stand there with timm's default."""
    if values.get("device_modules"):
        raise BadInput(
            f"{where}: device_modules names code to import, which a file may not do; give --device-modules on the "
            "command line."
        )
    known, good = {option.name for option in fields(TrainOptions)}, {}
    for key, value in values.items():
        entry = None if key in known else refused().get("--" + key.replace("_", "-")) or refused().get("--" + key)
        if entry is None:
            good[key] = value
        elif value != entry["default"]:
            raise BadInput(f"{where}: {key} of timm's script is not taken here: {entry['reason']}.")
    return typed(TrainOptions, good, where)
