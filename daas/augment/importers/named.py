"""Any published format by a prefix and a name or file, as the command line takes it."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from daas.augment.importers.levels import from_fast_autoaugment
from daas.augment.importers.pba import from_pba
from daas.augment.importers.timm_strings import from_timm
from daas.augment.importers.torchvision_spaces import from_torchvision, randaugment, trivialaugment
from daas.augment.policy import Policy
from daas.augment.schedule import PolicySchedule
from daas.errors import BadInput
from daas.literals import literal
from daas.reading import read_text

PREFIXES = {
    "torchvision:NAME": "cifar10, imagenet or svhn, of torchvision's AutoAugment",
    "randaugment:num_ops=2,magnitude=9,num_magnitude_bins=31": "RandAugment, any of the three; torchvision's defaults",
    "trivialaugment:num_magnitude_bins=31": "TrivialAugment (wide); --image-size says what its 32 pixels are a part of",
    "timm:STRING": "a string of timm: original, v0, 3a, rand-m9-mstd0.5-inc1, ...",
    "fast-autoaugment:FILE[:NAME]": "a list of (operation, probability, level) in JSON, or NAME in a Python file",
    "dada:FILE[:NAME]": "the same format, as DADA's genotype.py has it",
    "pba:FILE": "a log of PBA; --epochs is the length of its search; gives a schedule",
}
"""What ``import_policy`` reads."""

_SOURCES = {
    "fast-autoaugment": "Fast AutoAugment (Lim et al., NeurIPS 2019)",
    "dada": "DADA (Li et al., ECCV 2020)",
}


def import_policy(
    text: str,
    image_size: int | None = None,
    epochs: int | None = None,
    leave_out: Collection[str] = (),
) -> Policy | PolicySchedule:
    """A published policy by prefix, see ``PREFIXES``.

    Args:
        text: ``prefix:rest``.
        image_size: For torchvision, RandAugment and TrivialAugment.
        epochs: For PBA.
        leave_out: For timm, Fast AutoAugment and DADA: operations to treat as doing nothing.

    Raises:
        BadInput: An unknown prefix, an option that the format does not have, or a file that cannot be read.
    """
    prefix, _, rest = text.partition(":")
    readers: dict[str, tuple[Callable[[], Policy | PolicySchedule], set[str]]] = {
        "torchvision": (lambda: from_torchvision(rest, image_size), {"image_size"}),
        "randaugment": (lambda: randaugment(**_numbers(text, rest), image_size=image_size), {"image_size"}),
        "trivialaugment": (lambda: _trivialaugment(text, rest, image_size), {"image_size"}),
        "timm": (lambda: from_timm(rest, leave_out=leave_out), {"leave_out"}),
        "fast-autoaugment": (lambda: _levels(prefix, rest, leave_out), {"leave_out"}),
        "dada": (lambda: _levels(prefix, rest, leave_out), {"leave_out"}),
        "pba": (lambda: _pba(rest, epochs), {"epochs"}),
    }
    if prefix not in readers:
        raise BadInput(f"{text!r} has no known prefix; known are {', '.join(PREFIXES)}.")
    read, has = readers[prefix]
    for option, given in (("image_size", image_size), ("epochs", epochs), ("leave_out", leave_out or None)):
        if given is not None and option not in has:
            raise BadInput(f"{text}: --{option.replace('_', '-')} has no meaning for {prefix}:.")
    return read()


def _trivialaugment(text: str, rest: str, image_size: int | None) -> Policy:
    options = _numbers(text, rest)
    return trivialaugment(**options) if image_size is None else trivialaugment(**options, image_size=image_size)


def _numbers(text: str, rest: str) -> dict[str, int]:
    """``a=1,b=2`` as a dictionary."""
    names = {"randaugment": ("num_ops", "magnitude", "num_magnitude_bins"), "trivialaugment": ("num_magnitude_bins",)}
    allowed = names[text.partition(":")[0]]
    found = {}
    for part in filter(None, rest.split(",")):
        name, _, value = part.partition("=")
        if name not in allowed or not re.fullmatch("[0-9]{1,6}", value):
            raise BadInput(f"{text[:80]}: {part[:80]!r} is not NAME=NUMBER with one of the names {', '.join(allowed)}.")
        found[name] = int(value)
    return found


def _levels(prefix: str, rest: str, leave_out: Collection[str]) -> Policy:
    path, name = rest, ""
    if ":" in rest and not os.path.isfile(rest):  # a colon may be the file's own, as in C:\\policies\\fast.py
        path, _, name = rest.rpartition(":")
    stem = "_".join(filter(None, (prefix, Path(path).stem, name)))
    where = f"{Path(path).name}{':' + name if name else ''}"
    return from_fast_autoaugment(_literal(Path(path), name), stem, f"{_SOURCES[prefix]}, {where}", leave_out)


def _pba(path: str, epochs: int | None) -> PolicySchedule:
    if epochs is None:
        raise BadInput(f"pba:{path}: say with --epochs how long the search was; the file does not (200 for PBA's "
                       "CIFAR-10 schedule, 160 for SVHN's).")  # fmt: skip
    name = Path(path).name
    return from_pba(
        read_text(path, "schedule"), epochs, f"pba_{Path(path).stem}", f"PBA (Ho et al., ICML 2019), {name}"
    )


def _literal(path: Path, name: str) -> Any:
    """The list in a file, without running it: a whole file of JSON or Python literals, or a name in a Python file."""
    try:
        tree = ast.parse(read_text(path, "policy"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deeply
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path}: neither JSON nor Python ({str(error)[:200] or type(error).__name__}).") from error
    named = {target: node for node in tree.body for target in _names(node)}
    if name:
        chosen = named.get(name)
        if chosen is None:
            raise BadInput(f"{path} has no {name!r}; it has {', '.join(named) or 'no names'}.")
    elif len(tree.body) == 1:
        chosen = tree.body[0]
    else:
        raise BadInput(
            f"{path}: which list? Add a colon and one of the names {', '.join(named) or '(there are none)'}."
        )
    where = f"{path}{':' + name if name else ''}"
    lists = list(_lists(chosen))
    if len(lists) != 1:
        raise BadInput(
            f"{where}: there are {len(lists)} lists in it, and it must be one. Write it to a file of its own."
        )
    try:
        return literal(lists[0])
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise BadInput(f"{where}: the list is not made of literals.") from error


def _lists(node: ast.AST) -> Iterator[ast.List]:
    """Lists that stand in no other list."""
    if isinstance(node, ast.List):
        yield node
        return
    for child in ast.iter_child_nodes(node):
        yield from _lists(child)


def _names(node: ast.stmt) -> list[str]:
    """What a statement defines: variables that are assigned to, or a function."""
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []
