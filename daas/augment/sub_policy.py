"""Sub-policies: operations with their probabilities and magnitudes, checked and read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daas.augment.files import check_keys, shown
from daas.augment.operation import Operation
from daas.augment.space import named
from daas.errors import BadInput
from daas.ranges import is_number, plain

MAX_SUB_POLICIES = 100_000
"""Sub-policies of a policy."""

MAX_OPS = 32
"""Operations of a sub-policy."""


@dataclass(frozen=True)
class PolicyOp:
    """One operation of a sub-policy.

    Attributes:
        op: The name of an operation.
        prob: Probability that it is applied.
        value: Magnitude in the operation's physical unit, one-sided where the sign is random; None where it has none.
    """

    op: str
    prob: float
    value: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "prob", plain(self.prob))
        object.__setattr__(self, "value", plain(self.value))

    def scaled(self, strength: float) -> PolicyOp:
        """Probability and magnitude times a strength; see ``Policy.scaled``."""
        row = named(self.op)
        value = None if self.value is None else _towards_identity(row, self.value, strength)
        return PolicyOp(self.op, min(1.0, self.prob * strength), value)


@dataclass(frozen=True)
class SubPolicy:
    """Operations that are applied one after the other.

    Attributes:
        weight: Relative frequency among the sub-policies.
        ops: The operations, first to last.
    """

    weight: float
    ops: tuple[PolicyOp, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", plain(self.weight))


def sub_policy_from(index: int, values: Any) -> SubPolicy:
    """A sub-policy of a file.

    Args:
        index: Its place, for errors.
        values: As ``{"weight": ..., "ops": [{"op", "prob", "value"}, ...]}``.

    Raises:
        BadInput: Another form; it says where.
    """
    where = f"policy, sub-policy {index}"
    if not isinstance(values, Mapping):
        raise BadInput(f'{where}: expected {{"weight": ..., "ops": [...]}}; found {shown(values)}.')
    check_keys(where, values, ("weight", "ops"))
    if not isinstance(values["ops"], (list, tuple)):
        raise BadInput(f"{where}: ops must be a list.")
    _check_count(where, len(values["ops"]))
    ops = []
    for slot, op in enumerate(values["ops"]):
        if not isinstance(op, Mapping):
            raise BadInput(f'{where}, operation {slot}: expected {{"op", "prob", "value"}}; found {shown(op)}.')
        check_keys(f"{where}, operation {slot}", op, ("op", "prob", "value"))
        ops.append(PolicyOp(op["op"], op["prob"], op["value"]))
    return SubPolicy(values["weight"], tuple(ops))


def check_sub_policy(index: int, sub: SubPolicy) -> None:
    """Refuses weights, operations, probabilities and magnitudes that cannot be.

    Raises:
        BadInput: Which sub-policy and slot, and what is allowed.
    """
    where = f"policy, sub-policy {index}"
    if not is_number(sub.weight) or sub.weight < 0:
        raise BadInput(f"{where}: weight is {shown(sub.weight)}; it must be a number that is at least 0.")
    if not sub.ops:
        raise BadInput(f"{where}: there are no operations; leave the sub-policy out, or give it one.")
    _check_count(where, len(sub.ops))
    for slot, op in enumerate(sub.ops):
        _check_op(f"{where}, operation {slot}", op)


def _check_count(where: str, count: int) -> None:
    if count > MAX_OPS:
        raise BadInput(f"{where}: there are {count:,} operations; at most {MAX_OPS}.")


def _check_op(where: str, op: PolicyOp) -> None:
    try:
        row = named(op.op)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    if not is_number(op.prob) or not 0 <= op.prob <= 1:
        raise BadInput(f"{where} ({op.op}): prob is {shown(op.prob)}; a probability lies between 0 and 1.")
    if not row.has_magnitude:
        if op.value is not None:
            raise BadInput(
                f"{where} ({op.op}): value is {shown(op.value)}; this operation has no magnitude: write null."
            )
    elif not is_number(op.value) or not row.smallest <= op.value <= row.largest:
        sign = "; the sign is drawn when it is applied" if row.signed else ""
        raise BadInput(
            f"{where} ({op.op}): value is {shown(op.value)}; allowed are {row.smallest:g} to {row.largest:g} "
            f"({row.unit}{sign})."
        )


def _towards_identity(row: Operation, value: float, strength: float) -> float:
    """``identity + strength (value - identity)``, as far as the operation goes."""
    assert row.identity is not None
    start = math.trunc(value) if row.whole else value
    scaled = row.identity + strength * (start - row.identity)
    scaled = float(math.floor(scaled + 0.5)) if row.whole else scaled
    return min(max(scaled, row.smallest), row.largest)
