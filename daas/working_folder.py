"""The folder that a program is started in: it may be gone, and its files are no modules of the program."""

from __future__ import annotations

import os
import re
import sys

_GONE = (
    "the folder that you work in is not there any more: it was deleted, or unmounted. Change to another one (cd ~), or "
    "into the one that has its name now (cd .), and run the same command again."
)


def check() -> None:
    """Checks that there is a working folder, and lets nothing in it take a module's place.

    Python looks for modules in the working folder first when a program is started by ``python -m``; a ``random.py`` or
    ``timm.py`` of the user's would be imported in place of the real one. For this package's own programs the folder
    comes last, where ``--device-modules`` still finds what is in it; unless the package itself is there, which later
    processes have to find, too.

    Raises:
        SystemExit: The folder is gone, and this is one of the package's programs; the exit code is 2.
        FileNotFoundError: The folder is gone. Parts of torch that are imported next would end with less to say, or end
            the process.
    """
    program = _is_program()
    try:
        here = os.getcwd()
    except OSError as error:
        if program:
            print(f"error: {_GONE}", file=sys.stderr)
            raise SystemExit(2) from None
        raise FileNotFoundError(_GONE) from error
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if program and not sys.flags.safe_path and sys.path[:1] == [here] and os.path.realpath(own) != here:
        sys.path.append(sys.path.pop(0))


def _is_program() -> bool:
    """Whether the process is ``python -m daas...`` or ``daas``, seen while the package is imported."""
    words: list[str] = getattr(sys, "argv", None) or [""]
    if words[0] == "-m":  # what Python has there until it has found the module
        return bool(re.fullmatch(r"(-\w*m)?daas(\..*)?", sys.orig_argv[-len(words)]))
    return os.path.basename(words[0]).removesuffix(".exe") == "daas"
