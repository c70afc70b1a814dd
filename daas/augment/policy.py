"""Policy: weighted sub-policies in physical units; JSON both ways."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch

from daas.augment.files import POLICY_FORMAT, SCHEDULE_FORMAT, check_keys, load, write_json
from daas.augment.space import INDEX, OPERATION_NAMES, OPERATIONS, magnitude_table, named
from daas.errors import BadInput

_KEYS = ("format", "name", "source", "fill", "sub_policies")


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


@dataclass(frozen=True)
class SubPolicy:
    """Operations that are applied one after the other.

    Attributes:
        weight: Relative frequency among the sub-policies.
        ops: The operations, first to last.
    """

    weight: float
    ops: tuple[PolicyOp, ...]


@dataclass(frozen=True)
class Policy:
    """A distribution over sub-policies.

    Attributes:
        name: What it is called.
        source: Where it comes from.
        sub_policies: One of them is drawn by weight, per image or per batch.
        fill: RGB in 0..255 for pixels that geometric operations bring in.

    Raises:
        BadInput: A value that cannot be, with the sub-policy, the slot, and what is allowed.
    """

    name: str
    source: str
    sub_policies: tuple[SubPolicy, ...]
    fill: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        for key in ("name", "source"):
            if not isinstance(getattr(self, key), str):
                raise BadInput(f"policy: {key} is {getattr(self, key)!r}; it is a text.")
        object.__setattr__(self, "sub_policies", tuple(self.sub_policies))
        object.__setattr__(self, "fill", tuple(self.fill))
        if len(self.fill) != 3 or any(not isinstance(v, int) or not 0 <= v <= 255 for v in self.fill):
            raise BadInput(f"policy: fill is {list(self.fill)}; it must be three whole numbers from 0 to 255 (RGB).")
        if not self.sub_policies:
            raise BadInput("policy: there are no sub-policies; a policy needs at least one.")
        for index, sub in enumerate(self.sub_policies):
            _check_sub_policy(index, sub)
        if not sum(sub.weight for sub in self.sub_policies) > 0:
            raise BadInput("policy: all weights are 0; at least one sub-policy needs a positive weight.")

    @property
    def slots(self) -> int:
        """K, the most operations that a sub-policy has."""
        return max(len(sub.ops) for sub in self.sub_policies)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, with ``format``."""
        return {
            "format": POLICY_FORMAT,
            "name": self.name,
            "source": self.source,
            "fill": list(self.fill),
            "sub_policies": [
                {"weight": sub.weight, "ops": [{"op": o.op, "prob": o.prob, "value": o.value} for o in sub.ops]}
                for sub in self.sub_policies
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Policy:
        """The inverse of ``to_dict``.

        Raises:
            BadInput: Another format, missing or unknown keys, or values out of range.
        """
        if not isinstance(values, Mapping):
            raise BadInput(f"a policy is a JSON object with the keys {', '.join(_KEYS)}; found {str(values)[:80]}.")
        if values.get("format") == SCHEDULE_FORMAT:
            raise BadInput(
                "this is a schedule, a policy for every epoch: PolicySchedule.load(path).at(epoch) gives one of its "
                "policies, and python -m daas.augment convert FILE --epoch N OUT writes it to a policy file."
            )
        if values.get("format") != POLICY_FORMAT:
            raise BadInput(
                f"policy: format is {values.get('format')!r}; this version reads {POLICY_FORMAT!r}. Write the file "
                "with Policy.save, or add the format if you wrote it by hand."
            )
        check_keys("policy", values, _KEYS, optional=("fill",))
        if not isinstance(values["sub_policies"], (list, tuple)):
            raise BadInput("policy: sub_policies must be a list.")
        fill = values.get("fill", (0, 0, 0))
        if not isinstance(fill, (list, tuple)):
            raise BadInput(f"policy: fill is {fill!r}; it is a list of three numbers from 0 to 255.")
        subs = tuple(_sub_policy_from(index, sub) for index, sub in enumerate(values["sub_policies"]))
        return cls(values["name"], values["source"], subs, tuple(fill))

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Reads a policy file.

        Raises:
            BadInput: No such file, no JSON, or no policy; the message names the file.
        """
        return load(path, cls.from_dict)

    def save(self, path: str | Path) -> None:
        """Writes the policy file, one sub-policy per line."""
        write_json(path, self.to_dict())

    @classmethod
    def random(cls, generator: torch.Generator, name: str = "random") -> Policy:
        """A random policy of the search space, as a search could have found it.

        Every ordered pair of the 15 operations, with random weights (Dirichlet), application probabilities (uniform)
        and magnitudes (one of the ten).
        """
        table = magnitude_table()
        count = len(OPERATIONS) ** 2
        weights = -torch.rand(count, generator=generator, dtype=torch.float64).clamp_min(1e-12).log()
        weights = weights / weights.sum()
        probabilities = torch.rand(count, 2, generator=generator, dtype=torch.float64)
        levels = torch.randint(table.shape[1], (count, 2), generator=generator)
        subs = []
        for index, pair in enumerate(itertools.product(range(len(OPERATIONS)), repeat=2)):
            ops = tuple(
                PolicyOp(
                    OPERATIONS[op].name,
                    float(probabilities[index, slot]),
                    float(table[op, levels[index, slot]]) if OPERATIONS[op].has_magnitude else None,
                )
                for slot, op in enumerate(pair)
            )
            subs.append(SubPolicy(float(weights[index]), ops))
        return cls(name, "uniformly random in the search space", tuple(subs))

    def operation_share(self) -> dict[str, float]:
        """Expected number of times that each operation is applied to an image: the search space's, and what it has."""
        total = sum(sub.weight for sub in self.sub_policies)
        share = dict.fromkeys(OPERATION_NAMES, 0.0)
        for sub in self.sub_policies:
            for op in sub.ops:
                share[op.op] = share.get(op.op, 0.0) + sub.weight / total * op.prob
        return share


def _sub_policy_from(index: int, values: Any) -> SubPolicy:
    where = f"policy, sub-policy {index}"
    if not isinstance(values, Mapping):
        raise BadInput(f'{where}: expected {{"weight": ..., "ops": [...]}}; found {str(values)[:80]}.')
    check_keys(where, values, ("weight", "ops"))
    if not isinstance(values["ops"], (list, tuple)):
        raise BadInput(f"{where}: ops must be a list.")
    ops = []
    for slot, op in enumerate(values["ops"]):
        if not isinstance(op, Mapping):
            raise BadInput(f'{where}, operation {slot}: expected {{"op", "prob", "value"}}; found {str(op)[:80]}.')
        check_keys(f"{where}, operation {slot}", op, ("op", "prob", "value"))
        ops.append(PolicyOp(op["op"], op["prob"], op["value"]))
    return SubPolicy(values["weight"], tuple(ops))


def _check_sub_policy(index: int, sub: SubPolicy) -> None:
    where = f"policy, sub-policy {index}"
    if not _is_number(sub.weight) or sub.weight < 0:
        raise BadInput(f"{where}: weight is {sub.weight!r}; it must be a number that is at least 0.")
    if not sub.ops:
        raise BadInput(f"{where}: there are no operations; leave the sub-policy out, or give it one.")
    for slot, op in enumerate(sub.ops):
        _check_op(f"{where}, operation {slot}", op)


def _check_op(where: str, op: PolicyOp) -> None:
    if not isinstance(op.op, str) or op.op not in INDEX:
        raise BadInput(f"{where}: unknown operation {op.op!r}; known are {', '.join(INDEX)}.")
    if not _is_number(op.prob) or not 0 <= op.prob <= 1:
        raise BadInput(f"{where} ({op.op}): prob is {op.prob!r}; a probability lies between 0 and 1.")
    row = named(op.op)
    if not row.has_magnitude:
        if op.value is not None:
            raise BadInput(f"{where} ({op.op}): value is {op.value!r}; this operation has no magnitude: write null.")
    elif not _is_number(op.value) or not row.smallest <= op.value <= row.largest:
        sign = "; the sign is drawn when it is applied" if row.signed else ""
        raise BadInput(
            f"{where} ({op.op}): value is {op.value!r}; allowed are {row.smallest:g} to {row.largest:g} "
            f"({row.unit}{sign})."
        )


def _is_number(value: object) -> TypeGuard[float]:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False
