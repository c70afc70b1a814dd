"""Triton's decorator, with a type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton


def kernel(function: Callable[..., Any]) -> Any:
    """A function that Triton compiles for the GPU."""
    return triton.jit(function)
