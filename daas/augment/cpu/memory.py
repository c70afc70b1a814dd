"""memcpy, memset and an atomic counter inside compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from daas.augment.cpu.jit import Bytes


def _copy_bytes(typing: Any, target: Any, at: Any, source: Any, start: Any, count: Any) -> Any:
    """``target[at : at + count] = source[start : start + count]`` of flat uint8 arrays; nothing is checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, at_, from_, start_, count_ = arguments
        pointer = _pointer(context, builder, signature.args[0], to, at_)
        cgutils.raw_memcpy(builder, pointer, _pointer(context, builder, signature.args[2], from_, start_), count_, 1)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), generate


def _fill_bytes(typing: Any, target: Any, at: Any, value: Any, count: Any) -> Any:
    """``target[at : at + count] = value`` of a flat uint8 array; nothing is checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, at_, value_, count_ = arguments
        cgutils.memset(builder, _pointer(context, builder, signature.args[0], to, at_), count_, value_)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.uint8, types.intp), generate


def _fetch_add(typing: Any, counter: Any, step: Any) -> Any:
    """``counter[0] += step`` at once for all threads; the value before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, step_ = arguments
        pointer = make_array(signature.args[0])(context, builder, array).data
        return builder.atomic_rmw("add", pointer, step_, "monotonic")

    return types.int64(counter, types.int64), generate


def _pointer(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    return builder.gep(make_array(kind)(context, builder, array).data, [offset])


copy_bytes = cast(Callable[[Bytes, int, Bytes, int, int], None], intrinsic(_copy_bytes))
fill_bytes = cast(Callable[[Bytes, int, np.uint8, int], None], intrinsic(_fill_bytes))
fetch_add = cast(Callable[["npt.NDArray[np.int64]", int], int], intrinsic(_fetch_add))
