"""Triton's decorator, with a type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton


def kernel(function: Callable[..., Any]) -> Any:
    """A function that Triton compiles for the GPU."""
    return triton.jit(function)


def general(*names: str) -> Callable[[Callable[..., Any]], Any]:
    """The same, not compiled anew for particular values of these arguments, which change from call to call."""

    def decorate(function: Callable[..., Any]) -> Any:
        return triton.jit(function, do_not_specialize=list(names))

    return decorate
