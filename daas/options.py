"""Options as frozen dataclasses, and the command lines, files and keyword arguments that are made from them."""

from __future__ import annotations

import argparse
import ast
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from functools import lru_cache
from inspect import get_annotations
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from daas.errors import BadInput, unknown_name
from daas.home import at_home
from daas.ranges import plain
from daas.streams import Termination, lasting

T = TypeVar("T")
_WORDS = {"true": True, "false": False, "none": None, "null": None}


def o(default: T, text: str, *aliases: str, choices: tuple[str, ...] = (), const: str = "", group: str = "") -> T:
    """A field of a dataclass of options, with what a command line needs to know about it.

    Args:
        default: Its value where nothing is given.
        text: What the option does, for ``--help``.
        *aliases: Short names, with their dash.
        choices: Allowed values; those of a ``Literal`` are known.
        const: Value of the bare flag, where it may stand without one.
        group: Heading of ``--help``; by default the docstring of the class that declares the field.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Options:
    ...     epochs: int = o(5, "passes over the images")
    >>> Options().epochs
    5
    """
    meta = {"help": text, "aliases": aliases, "choices": choices, "const": const, "group": group}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=meta)  # type: ignore[return-value]  # a field, as dataclass wants it
    return field(default=default, metadata=meta)


def add_options(parser: argparse.ArgumentParser, options: type[Any], leave_out: Iterable[str] = ()) -> None:
    """Adds the fields of a dataclass to a parser, in groups; ``--opt_eps`` is read as ``--opt-eps``.

    Args:
        parser: Is changed.
        options: A dataclass of fields made with ``o``.
        leave_out: Fields that are no options of the command line.
    """
    hidden, groups = set(leave_out), dict[str, argparse._ArgumentGroup]()
    titles = [_group(options, option) for option in fields(options)]
    # an option stands where the first one of its group is declared: groups stay together
    for option in sorted(fields(options), key=lambda option: titles.index(_group(options, option))):
        if option.name in hidden:
            continue
        title = _group(options, option)
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        _add(groups[title], options, option)


@lru_cache
def _hints(options: Any) -> dict[str, Any]:
    return get_type_hints(options)


@lru_cache
def _owners(options: type[Any]) -> dict[str, type[Any]]:
    """The class that declares each field."""
    return {name: owner for owner in reversed(options.__mro__) for name in get_annotations(owner)}


def _group(options: type[Any], option: Field[Any]) -> str:
    named: str = option.metadata["group"]
    return named or (_owners(options)[option.name].__doc__ or "Options").splitlines()[0].rstrip(".")  # type: ignore[arg-type]  # classes are hashable


def _kind(options: type[Any], name: str) -> tuple[Any, bool, tuple[Any, ...]]:
    """The type of an option's value, whether it has several, and the values of a ``Literal``."""
    annotation = _hints(options)[name]  # type: ignore[arg-type]  # classes are hashable
    origin = get_origin(annotation)
    if origin not in (dict, tuple, Literal):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        annotation = inner[0] if inner else annotation  # X | None
        origin = get_origin(annotation)
    if origin is dict:
        return dict, False, ()
    if origin is Literal:
        return str, False, get_args(annotation)
    if origin is tuple:
        return get_args(annotation)[0], True, ()
    return annotation, False, ()


def _default(option: Field[Any]) -> Any:
    return option.default if option.default is not MISSING else {}


def _add(group: argparse._ArgumentGroup, options: type[Any], option: Field[Any]) -> None:
    meta, default = option.metadata, _default(option)
    flags = [*meta["aliases"], *dict.fromkeys(["--" + option.name.replace("_", "-"), "--" + option.name])]
    kind, repeated, literal = _kind(options, option.name)
    choices = meta["choices"] or literal
    settings: dict[str, Any] = {"dest": option.name, "help": meta["help"].replace("%", "%%"), "default": default}
    if kind is dict:
        settings |= {"nargs": "*", "action": _KeyValues, "metavar": "NAME=VALUE"}
    elif kind is bool:
        settings |= (
            {"action": "store_true"} if option.name.startswith("no_") else {"action": argparse.BooleanOptionalAction}
        )
    else:
        settings |= {
            "type": {float: _number, Path: _path}.get(kind, kind),
            "metavar": option.name.rsplit("_", 1)[-1].upper(),
        }
        if choices:
            settings |= {"choices": choices}
            del settings["metavar"]
        if repeated:
            settings |= {"nargs": "+" if default is None or default else "*", "action": _Tuple}
        if meta["const"]:
            settings |= {"nargs": "?", "const": meta["const"]}
    group.add_argument(*flags, **settings)


def _number(text: str) -> float:
    """A float of the command line; NaN and infinity are none."""
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"invalid float value: {text!r}") from error
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is no finite number")
    return value


def _path(text: str) -> Path:
    """A path of the command line; an empty one is a variable of the shell that is not set, and not this folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path; write . for this folder")
    return Path(text)


class _Tuple(argparse.Action):
    """Several values -> tuple."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, tuple(values))


class _KeyValues(argparse.Action):
    """NAME=VALUE words -> dict; they join those that a file gave."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        given = name_values(values, option_string or "")
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), **given})


def name_values(words: Sequence[str], option: str) -> dict[str, Any]:
    """NAME=VALUE words -> values: JSON, true/false/none in any case, Python literals; anything else is a text.

    Args:
        words: For example ``["drop_rate=0.1", "aux_head=true"]``.
        option: Where they stand, for the message.

    Raises:
        BadInput: A word without a name or an equals sign.

    >>> name_values(["drop_rate=0.1", "aux_head=False", "act=relu"], "--model-kwargs")
    {'drop_rate': 0.1, 'aux_head': False, 'act': 'relu'}
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise BadInput(f"{option} {word}: expected NAME=VALUE, for example drop_rate=0.1.")
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def typed(options: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values of a file, or keyword arguments, as the fields of a dataclass want them.

    Args:
        options: The dataclass.
        values: By field name.
        where: Where they stand, for the message.

    Raises:
        BadInput: An unknown name (the nearest known one is named), or a value of another type.
    """
    known = {option.name: option for option in fields(options)}
    good = {}
    for name, value in values.items():
        if name not in known:
            raise BadInput(f"{where}: {unknown_name(name, known)}")
        good[name] = _typed(options, known[name], value, where)
    return good


def _typed(options: type[Any], option: Field[Any], value: Any, where: str) -> Any:
    kind, repeated, literal = _kind(options, option.name)
    default, allowed = _default(option), option.metadata.get("choices", ()) or literal
    if value is None and default is not None and kind is str and not repeated:
        return default  # empty strings are nulls here and there
    if value is None and (default is None or type(None) in get_args(_hints(options)[option.name])):  # type: ignore[arg-type]  # classes are hashable
        return None
    if repeated and isinstance(value, (list, tuple)):
        return tuple(_one(kind, item, option.name, where) for item in value)
    if not repeated and value is not None:
        found = _one(kind, value, option.name, where)
        if not allowed or found in allowed:
            return found
    several = "a list of " if repeated else ""
    expected = f"one of {', '.join(map(str, allowed))}" if allowed else f"{several}{kind.__name__}"
    raise BadInput(f"{where}: {option.name} is {value!r}; expected {expected}.")


def _one(kind: Any, value: Any, name: str, where: str) -> Any:
    value = plain(value)
    if name == "device":
        value = str(value)  # also a torch.device
    if kind is dict and isinstance(value, Mapping):
        return _plain_within(value)
    if kind in (Path, str) and isinstance(value, (str, os.PathLike)):
        return kind(at_home(os.fspath(value)))
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)  # YAML 1.1 reads 1e-5 as text
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
        raise BadInput(f"{where}: {name} is {value!r}; expected a finite float.")
    if type(value) is kind:
        return value
    raise BadInput(f"{where}: {name} is {value!r}; expected {kind.__name__}.")


def _plain_within(value: Any) -> Any:
    """NumPy's numbers as Python's, in tables and lists too."""
    if isinstance(value, Mapping):
        return {key: _plain_within(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain_within, value))
    return plain(value)


def leave(main: Callable[[], int]) -> NoReturn:
    """Ends the process with a program's exit code, whatever becomes of its terminal.

    A reader that goes away (``| head``), a terminal that is closed, and a stream that was closed from the start
    (``>&-``, Windows' ``pythonw``) end nothing: what is said there is dropped. Ctrl-C and SIGTERM reach the program as
    ``KeyboardInterrupt``; the exit code is then 130, and 143 after SIGTERM unless the program has an answer of its own.
    """
    sys.stdout, out = lasting(sys.stdout)
    sys.stderr, _ = lasting(sys.stderr)
    ended = Termination()
    code: Any = 0
    try:
        code = main()
    except SystemExit as end:  # argparse's, after --help
        code = end.code
    except KeyboardInterrupt:  # before or after what the program itself answers, such as its imports
        print("\nStopped.", file=sys.stderr)
        code = 130
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # from here on another one ends the process without a word
    sys.stdout.flush()
    if out is not None and out.refused is not None:
        print(f"error: not all that was said could be written: {out.refused.strerror}.", file=sys.stderr)
        code = code or 2
    sys.exit(143 if ended.seen and code == 130 else code)
