"""``daas VERB``: all programs of the package under one name; ``python -m daas`` is the same."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from daas.errors import plain
from daas.options import leave

VERBS = {
    "screen": "which augmentations change the labels of your images",
    "search": "a network and the augmentation it should be trained with",
    "race": "whole trainings choose among networks and policies",
    "train": "any timm model, under any policy, with timm's options",
    "augment": "policies: list, show on your pictures, convert",
    "models": "networks: list, draw, compare",
    "hub": "a trained model as a repository of the Hugging Face Hub, and back",
}
"""What can follow ``daas``; each is the package of that name, whose ``__main__`` has a ``main``."""
_INNER = {"export": "hub", "push": "hub", "verify": "hub", "pull": "hub", "report": "search", "show": "augment"}
"""Verbs of verbs, which people may try alone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a verb.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The verb's exit code; 2 for an unknown verb.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words in ([], ["-h"], ["--help"]):
        print(_help())
        return 0
    if words == ["--version"]:
        from daas import __version__

        print(f"daas {__version__}")
        return 0
    verb, *rest = words
    if verb not in VERBS:
        near = [f"{_INNER[verb]} {verb}"] if verb in _INNER else difflib.get_close_matches(verb, VERBS, 1)
        meant = f"Did you mean daas {near[0]}?" if near else f"It is one of {', '.join(VERBS)}."
        print(f"error: daas {plain(verb)} is unknown. {meant}", file=sys.stderr)
        return 2
    code: int = import_module(f"daas.{verb}.__main__").main(rest)
    return code


def _help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:{width}}  {text}" for verb, text in VERBS.items()]
    return "\n".join(
        ["usage: daas VERB [options]", "", *lines, "", "daas VERB --help says more; python -m daas.VERB is the same."]
    )


def run() -> None:
    """The entry point that is installed as ``daas``."""
    leave(main)


if __name__ == "__main__":
    run()
