"""Command line, YAML files and recipes -> TrainOptions; flags of timm's that are not taken are refused by name."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

import yaml

from daas.errors import BadInput
from daas.train.options import GROUPS, TrainOptions

_PROGRAM = "python -m daas.train"
_HINTS = get_type_hints(TrainOptions)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. --help lists the options.")


def parse(argv: Sequence[str]) -> TrainOptions:
    """Command line -> options; ``--recipe`` gives defaults, ``--config`` overrides those, flags override both.

    Raises:
        BadInput: An unknown or refused option, a value of the wrong type, or an unreadable file.
        SystemExit: With code 0, after --help.
    """
    _refuse_words(argv)
    files_only = _Parser(add_help=False, allow_abbrev=False)
    _add_files(files_only)
    named, rest = files_only.parse_known_args(argv)
    parser = _parser()
    if named.recipe:
        parser.set_defaults(**_checked(_recipe(named.recipe), f"--recipe {named.recipe}"))
    if named.config:
        parser.set_defaults(**_checked(_yaml(Path(named.config).expanduser(), "--config"), f"--config {named.config}"))
    values = vars(parser.parse_args(rest))
    del values["config"], values["recipe"]  # read already; the parser knows them for --help
    positional = values.pop("data")
    if positional:
        if values["data_dir"]:
            raise BadInput(f"images are named twice: {positional} and --data-dir {values['data_dir']}. Name them once.")
        values["data_dir"] = positional
    return TrainOptions(**values)


def list_recipes() -> list[str]:
    """Names of the recipes that the package ships."""
    folder = files("daas").joinpath("recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


@lru_cache
def refused() -> Mapping[str, Mapping[str, Any]]:
    """Flags of timm's script that are not taken, each with its ``default`` there and the ``reason``."""
    text = files("daas.train").joinpath("refused.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
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


def _parser() -> _Parser:
    parser = _Parser(
        prog=_PROGRAM,
        usage=f"{_PROGRAM} [FOLDER] [--recipe NAME] [--config FILE] [options]",
        description="Trains any timm model, under a searched augmentation policy if you like, with the options of "
        "timm's training script. (*) marks what timm does not have.",
        epilog="Exit codes: 0 done, 1 the loss diverged, 2 bad input, 130 interrupted (go on with --resume auto).",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_files(parser.add_argument_group("Options from files"))
    parser.add_argument("data", nargs="?", default="", metavar="FOLDER", help="the same as --data-dir")
    for group_class in GROUPS:
        group = parser.add_argument_group((group_class.__doc__ or "").rstrip("."))
        for option in fields(group_class):
            _add(group, option)
    return parser


def _add(group: argparse._ArgumentGroup, option: Field[Any]) -> None:
    meta = option.metadata
    long = "--" + option.name.replace("_", "-")
    flags = [*meta["aliases"], *dict.fromkeys([long, "--" + option.name])]
    settings: dict[str, Any] = {"dest": option.name, "help": meta["help"].replace("%", "%%")}
    kind, repeated = _kind(option.name)
    if kind is dict:
        settings |= {"nargs": "*", "default": {}, "action": _KeyValues}
    elif kind is bool:
        settings |= {"action": "store_true", "default": option.default}
    else:
        settings |= {"type": kind, "default": option.default, "metavar": option.name.rsplit("_", 1)[-1].upper()}
        if meta["choices"]:
            settings |= {"choices": meta["choices"]}
            del settings["metavar"]
        if repeated:
            settings |= {"nargs": "+", "action": _Tuple}
        if meta["const"]:
            settings |= {"nargs": "?", "const": meta["const"]}
    group.add_argument(*flags, **settings)


def _kind(name: str) -> tuple[type[Any], bool]:
    """The type of an option's value, and whether it has several."""
    annotation = _HINTS[name]
    inner = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) not in (dict, tuple) and inner:  # X | None
        annotation = inner[0]
    if get_origin(annotation) is dict:
        return dict, False
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0], True
    return annotation, False


class _Tuple(argparse.Action):
    """Several values -> tuple."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, tuple(values))


class _KeyValues(argparse.Action):
    """NAME=VALUE words -> dict, values read as JSON where they are JSON; they join those of a recipe or file."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        pairs: dict[str, Any] = dict(getattr(namespace, self.dest))
        for word in values:
            name, equals, text = word.partition("=")
            if not equals:
                raise BadInput(f"{option_string} {word}: expected NAME=VALUE.")
            try:
                pairs[name] = json.loads(text)
            except json.JSONDecodeError:
                pairs[name] = {"True": True, "False": False, "None": None}.get(text, text)
        setattr(namespace, self.dest, pairs)


def _recipe(name: str) -> dict[str, Any]:
    if name not in list_recipes():
        raise BadInput(f"--recipe {name} is unknown; there are {', '.join(list_recipes())}. --config reads a file.")
    return _yaml(Path(str(files("daas").joinpath("recipes").joinpath(f"{name}.yaml"))), "--recipe")


def _yaml(path: Path, flag: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{flag} {path} cannot be read ({error}).") from error
    if not isinstance(values, dict):
        raise BadInput(f"{flag} {path}: expected NAME: VALUE lines; found {str(values)[:80]}.")
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def _checked(values: dict[str, Any], where: str) -> dict[str, Any]:
    """Values of a file with the types of the options; refused ones may stand there with timm's default."""
    good: dict[str, Any] = {}
    for key, value in values.items():
        entry = refused().get("--" + key.replace("_", "-")) or refused().get("--" + key)
        if entry is not None:
            if value != entry["default"]:
                raise BadInput(f"{where}: {key} of timm's script is not taken here: {entry['reason']}.")
        elif key in _HINTS:
            good[key] = _typed(key, value, where)
        else:
            raise BadInput(f"{where}: unknown option {key}. --help lists the options.")
    return good


def _typed(key: str, value: Any, where: str) -> Any:
    option = next(f for f in fields(TrainOptions) if f.name == key)
    kind, repeated = _kind(key)
    if value is None and option.default is not None and kind is str:
        return option.default  # timm's empty strings are nulls here and there
    allowed = option.metadata["choices"]
    if repeated and isinstance(value, list):
        return tuple(_one(kind, v, key, where) for v in value)
    if value is None:
        if option.default is None or type(None) in get_args(_HINTS[key]):
            return None
    elif not repeated:
        found = _one(kind, value, key, where)
        if not allowed or found in allowed:
            return found
    expected = f"one of {', '.join(allowed)}" if allowed else f"{'a list of ' if repeated else ''}{kind.__name__}"
    raise BadInput(f"{where}: {key} is {value!r}; expected {expected}.")


def _one(kind: type[Any], value: Any, key: str, where: str) -> Any:
    if kind is dict and isinstance(value, dict):
        return dict(value)
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-5 as text
        except ValueError:
            pass
    elif type(value) is kind:
        return value
    raise BadInput(f"{where}: {key} is {value!r}; expected {kind.__name__}.")
