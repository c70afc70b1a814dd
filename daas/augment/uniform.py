"""Sub-policies that have every operation equally often, at every magnitude up to a limit."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch

from daas.augment.files import shown
from daas.augment.operation import Operation
from daas.augment.sub_policy import MAX_OPS, MAX_SUB_POLICIES, PolicyOp, SubPolicy
from daas.errors import BadInput
from daas.ranges import is_number


def uniform(rows: Sequence[Operation], slots: int, limits: Mapping[str, float], levels: int) -> tuple[SubPolicy, ...]:
    """The sub-policies of ``Policy.of_operations``.

    Raises:
        BadInput: Limits of other operations or out of range, or more sub-policies than there may be.
    """
    for what, number, least, most in (("slots", slots, 1, MAX_OPS), ("levels", levels, 2, 1000)):
        if type(number) is not int or not least <= number <= most:
            raise BadInput(f"{what} is {shown(number)}; it is a whole number from {least} to {most}.")
    names = [row.name for row in rows]
    others = [name for name in limits if name not in names]
    if others:
        raise BadInput(f"there are limits for {', '.join(map(shown, others))}; the operations are {', '.join(names)}.")
    if len(rows) ** slots * levels > MAX_SUB_POLICIES:
        raise BadInput(
            f"{len(rows)} operations in {slots} slots at {levels} magnitudes make {len(rows) ** slots * levels:,} "
            f"sub-policies; at most {MAX_SUB_POLICIES:,}: take fewer operations, slots or magnitudes."
        )
    values = [magnitudes(row, limits.get(row.name), levels) for row in rows]
    weights: dict[tuple[PolicyOp, ...], float] = {}
    for number, chosen in enumerate(itertools.product(range(len(rows)), repeat=slots)):
        for level in range(levels):
            # Every choice of operations pairs their levels at another offset.
            ops = tuple(
                PolicyOp(rows[index].name, 1.0, values[index][(level + slot * number) % levels])
                for slot, index in enumerate(chosen)
            )
            weights[ops] = weights.get(ops, 0.0) + 1.0
    return tuple(SubPolicy(weight, ops) for ops, weight in weights.items())


def magnitudes(row: Operation, limit: float | None, levels: int) -> list[float | None]:
    """Evenly spaced magnitudes of the search space, none further from the identity than the limit.

    Args:
        row: The operation.
        limit: A magnitude; None for the whole range.
        levels: How many.

    Raises:
        BadInput: A limit out of range, or of an operation without a magnitude.
    """
    if row.low is None or row.high is None or row.identity is None:
        if limit is not None:
            raise BadInput(f"{row.name} has no magnitude, so it cannot be limited to {shown(limit)}.")
        return [None] * levels
    low, high = row.low, row.high
    if limit is not None:
        if not is_number(limit) or not row.smallest <= limit <= row.largest:
            raise BadInput(f"the limit of {row.name} is {shown(limit)}; it is a magnitude from {row.smallest:g} to "
                           f"{row.largest:g} ({row.unit}).")  # fmt: skip
        reach = abs(limit - row.identity)
        low, high = max(low, row.identity - reach), min(high, row.identity + reach)
    spaced: list[float | None] = torch.linspace(low, high, levels, dtype=torch.float64, device="cpu").tolist()
    return spaced
