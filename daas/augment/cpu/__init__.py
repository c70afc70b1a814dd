"""The operations compiled for uint8 images on the CPU (numba, the extra ``cpu``)."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec


@cache
def available() -> bool:
    """Whether numba is installed and loads; one that is installed and does not load is warned about."""
    if find_spec("numba") is None:
        return False
    try:
        import numba  # noqa: F401  # whether it loads is the question
    except ImportError as error:
        warnings.warn(f"numba is installed but does not load ({error}); augmentation runs on torch.", stacklevel=2)
        return False
    return True
