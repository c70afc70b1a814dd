"""Commands that people are to type next."""

from __future__ import annotations

import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path


def typed(command: str) -> str:
    """A command of this package as a shell here can run it: ``daas VERB`` where it finds ``daas``, else by this Python.

    A virtual environment that was not activated, or a package that lies on ``PYTHONPATH`` alone, has no ``daas`` on the
    shell's path. Pages and cards, which are read elsewhere, keep the short form.

    Args:
        command: Begins with ``daas``.

    >>> typed("daas train --model resnet18").endswith("train --model resnet18")
    True
    """
    if shutil.which("daas") or not sys.executable:
        return command
    python = near = Path(sys.executable)
    with suppress(OSError, ValueError):  # the working folder is gone, or Python lies elsewhere
        near = python.relative_to(Path.cwd())
    return f"{shlex.quote(str(near))} -m {command}"
