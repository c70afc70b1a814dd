"""The ``~`` of paths that no shell has replaced: in quotes, behind a prefix or an equals sign, in files, in Python."""

from __future__ import annotations

import os
import re

_TILDE = re.compile(r"((?:-{0,2}[A-Za-z]\w*(?:-\w+)*=)?(?:[a-z-]+:)*)(~(?:/.*)?)", re.DOTALL)


def at_home(text: str) -> str:
    """A word or path with the home folder for a leading ``~``; anything else as it is.

    >>> at_home("--out=~/runs") == "--out=" + os.path.expanduser("~/runs")
    True
    >>> at_home("daas:~/policy.json") == "daas:" + os.path.expanduser("~/policy.json")
    True
    >>> at_home("a~b"), at_home("./~/runs")
    ('a~b', './~/runs')
    """
    found = _TILDE.fullmatch(text)
    return found[1] + os.path.expanduser(found[2]) if found else text
