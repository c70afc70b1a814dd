"""The parser of all command lines: errors in one form, with what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from daas.errors import BadInput
from daas.home import at_home


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ``BadInput``; names are never abbreviated.

    Args:
        meant: A word that belongs to no option -> the words that were probably meant, such as ``--data-dir photos``.
        **settings: As for ``argparse.ArgumentParser``.
    """

    def __init__(self, *, meant: Callable[[str], str] | None = None, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": _Help, **settings})
        self._meant = meant

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]  # of no other class
        """Reads a command line.

        Raises:
            BadInput: Words that cannot be used; the message says what was probably meant.
        """
        words = list(sys.argv[1:] if args is None else args)
        found: argparse.Namespace
        found, rest = self.parse_known_args(words, namespace)
        rest = [word for word in rest if word != "--"]  # ends the options, and is none
        if rest:
            hint = self._near(rest, found) or self._one_value(rest[0], words)
            self.error(f"unknown: {' '.join(rest)}.{hint and f' {hint}'}")
        return found

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]  # of no other class
        """The words that can be read, and the others; ``~`` is the home folder in all of them.

        Raises:
            BadInput: Words that cannot be used.
        """
        return super().parse_known_args([at_home(word) for word in (sys.argv[1:] if args is None else args)], namespace)

    def error(self, message: str) -> NoReturn:
        """Says what is wrong."""
        raise BadInput(f"{message.rstrip('.')}{'' if message.endswith('?') else '.'} --help lists the options.")

    def _near(self, rest: Sequence[str], found: argparse.Namespace) -> str:
        """The options that unknown ones were probably meant to be, or the one that a lone word was meant for."""
        options = [word for word in rest if word.startswith("-")]
        if options:
            known = [name for action in self._all_actions(found) for name in action.option_strings]
            near = [name for word in options for name in difflib.get_close_matches(word.split("=")[0], known, 1)]
            return f"Did you mean {' or '.join(near)}?" if near else ""
        phrase = self._meant(rest[0]) if self._meant is not None else ""
        action = self._option_string_actions.get(phrase.partition(" ")[0])
        given = action is not None and getattr(found, action.dest) != action.default
        return f"Did you mean {phrase}?" if phrase and not given else ""

    def _all_actions(self, found: argparse.Namespace) -> Iterator[argparse.Action]:
        """The actions of this parser, and of the verb that was named."""
        for action in self._actions:
            yield action
            if isinstance(action, argparse._SubParsersAction):
                yield from action.choices[getattr(found, action.dest)]._actions

    def _one_value(self, word: str, words: Sequence[str]) -> str:
        """That the option in front of a word has its value already, as in ``--data-dir photos/*``."""
        for name in reversed(words[: words.index(word)] if word in words else ()):
            action = self._option_string_actions.get(name.partition("=")[0])
            if action is not None:
                return f"{name.partition('=')[0]} takes one value." if action.nargs is None else ""
        return ""


class _Help(argparse.HelpFormatter):
    """Defaults behind the texts, where there is one to show; each option under one spelling."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        spellings = list(action.option_strings)
        shown = [name for name in spellings if "_" not in name and "--" + name[5:] not in spellings]
        action.option_strings = shown or spellings
        try:
            return super()._format_action_invocation(action)
        finally:
            action.option_strings = spellings

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        if action.default in (None, "", (), {}, False, argparse.SUPPRESS) or not action.option_strings:
            return text
        default = action.default
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        return f"{text} (default: {shown})"
