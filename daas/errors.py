"""The one error that bad input raises, and strangers' text made safe to show."""

from __future__ import annotations


class BadInput(ValueError):
    """Input that cannot be used: a file, an option, a genotype, a policy.

    The message names the value that was found, the values that are allowed, and what to do. Command lines print it
    and leave with exit code 2. Control characters in it are escaped, since it may quote a file of somebody else.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(plain(str(message), keep="\n"))


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
