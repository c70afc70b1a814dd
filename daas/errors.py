"""The one error that bad input raises, and strangers' text made safe to show."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


class BadInput(ValueError):
    """Input that cannot be used: a file, an option, a genotype, a policy.

    The message names the value that was found, the values that are allowed, and what to do. Command lines print it
    and leave with exit code 2. It is one line: control characters in it are escaped, since it may quote a file of
    somebody else.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(plain(str(message)))


def plain(text: str, keep: str = "") -> str:
    r"""A text as it can be shown anywhere: control characters, ANSI escapes and lone surrogates become escapes.

    Args:
        text: Of anybody.
        keep: Characters that stay as they are.

    >>> print(plain("cat\x1b[31m"))
    cat\x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


@contextmanager
def memory_told() -> Iterator[None]:
    """Turns what is raised where there is not enough memory, by Python and by torch, into ``BadInput``.

    Raises:
        BadInput: The system, or the accelerator, refused memory; the message says how much where that is known.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).strip().partition("\n")[0]
        short = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if not short and "can't allocate memory" not in text:
            raise
        raise BadInput(
            f"there is not enough memory ({text[-160:] or 'the system gives no more'}). Use smaller batches, smaller "
            "or fewer images, or a smaller network."
        ) from error


def unknown_name(name: str, known: Iterable[str]) -> str:
    """What to say of an option that is not there: the nearest that are, or all.

    >>> unknown_name("epoch", ["epochs", "seed"])
    'unknown option epoch. Did you mean epochs?'
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, 3)
    return f"unknown option {name}." + (
        f" Did you mean {' or '.join(near)}?" if near else f" Known: {', '.join(known)}."
    )


def check_names(function: Callable[..., Any], given: Iterable[str], where: str) -> None:
    """Checks keyword arguments before a function is called with them.

    Args:
        function: Its parameters are known; one that takes any (``**options``) checks for itself.
        given: Names.
        where: What was called, for the message.

    Raises:
        BadInput: A name that is none of the function's.
    """
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in given:
        if name not in parameters:
            raise BadInput(f"{where}: {unknown_name(name, set(parameters) - {'self'})}")


def names_checked(made: C) -> C:
    """Decorates a class so that an unknown keyword argument of its constructor is ``BadInput``."""
    plain_init: Callable[..., None] = made.__init__  # type: ignore[misc]  # of exactly this class

    @wraps(plain_init)
    def checked(self: Any, *arguments: Any, **options: Any) -> None:
        check_names(plain_init, options, made.__name__)
        plain_init(self, *arguments, **options)

    made.__init__ = checked  # type: ignore[misc]  # of exactly this class
    return made
