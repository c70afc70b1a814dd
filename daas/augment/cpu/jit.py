"""How functions are compiled: with numba, without the GIL, kept on disk where that is possible."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from daas.augment.space import known

F = TypeVar("F", bound=Callable[..., Any])
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_OPTIONS = {"nogil": True, "error_model": "numpy"}


def compiled(function: F) -> F:
    """A function that compiled functions call; it becomes a part of those."""
    return cast(F, numba.njit(**_OPTIONS)(function))


def compiled_entry(function: F) -> F:
    """A function that Python calls: compiled at its first call and then kept on disk.

    numba keeps the result in ``__pycache__`` beside the source, else in the user's cache folder, else in
    ``NUMBA_CACHE_DIR``. Where none can be written to, every process compiles for itself, and a warning says so.
    """
    try:
        return cast(F, numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError as error:
        warnings.warn(
            f"the compiled augmentation cannot be kept on disk ({error}); the first batch of every process will take "
            "some seconds. Set NUMBA_CACHE_DIR to a folder that can be written to.",
            stacklevel=2,
        )
        return cast(F, numba.njit(**_OPTIONS)(function))


def source_digest() -> str:
    """A digest of all the files beside this one, and of the operations' indices: what is kept is valid for these alone.

    numba looks only at the file of the entry function, so an entry has this digest as a closure variable, which is part
    of numba's key.
    """
    digest = hashlib.sha256(repr([row.name for row in known() if row.compiled_form == "fused"]).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
