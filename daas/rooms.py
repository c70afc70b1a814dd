"""Rooms that can be called: ``daas.search`` is a package, and ``daas.search(...)`` runs a search."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from daas.errors import check_names


class CallableRoom(ModuleType):
    """A package whose call is that of one of its functions, which is imported at the first call."""

    _function: tuple[str, str]

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Calls the room's function.

        Raises:
            BadInput: An argument of another name; and what the function raises.
        """
        module, name = self._function
        function = getattr(import_module(module), name)
        check_names(function, options, self.__name__)
        with _on_the_cpu():
            return function(*arguments, **options)


@contextmanager
def _on_the_cpu() -> Iterator[None]:
    """Tensors are made on the CPU unless a device is named, also after ``torch.set_default_device`` of another one."""
    import torch

    if torch.get_default_device().type == "cpu":
        yield  # without torch's context, which every operation pays for
        return
    with torch.device("cpu"):
        yield


def open_room(room: str, module: str, function: str) -> None:
    """Makes a package callable; its ``__init__`` calls this with its own name.

    Args:
        room: The package, for example ``daas.search``.
        module: Where its function is, for example ``daas.search.api``; imported at the first call.
        function: The function's name.

    >>> import daas.search
    >>> callable(daas.search)
    True
    """
    package = sys.modules[room]
    package.__class__ = CallableRoom
    package.__dict__["_function"] = (module, function)
