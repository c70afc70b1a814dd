"""Fast AutoAugment's and DADA's lists: levels from 0 to 1 over a signed range that is mirrored at random."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from daas.augment.importers.expansion import Alternative, check_left_out, expand, refuse, without
from daas.augment.policy import Policy, PolicyOp
from daas.augment.space import INDEX, named
from daas.errors import BadInput


def from_fast_autoaugment(
    sub_policies: Sequence[Sequence[Sequence[Any]]],
    name: str = "fast_autoaugment",
    source: str = "a list of Fast AutoAugment (Lim et al., NeurIPS 2019)",
    leave_out: Collection[str] = (),
) -> Policy:
    """A list in the format of Fast AutoAugment, which DADA shares; its sub-policies are equally likely.

    A level t means ``low + t (high - low)`` in the operation's range. The ranges of shear, translate and rotate are
    signed (-0.3 to 0.3, -0.45 to 0.45 of the size, -30 to 30 degrees) and the result is mirrored at random, so t and
    1 - t are the same and t = 0.5 does nothing: the one-sided strength is ``|2 t - 1|`` times the largest.

    Args:
        sub_policies: Lists of (operation, probability, level).
        name: Of the policy.
        source: Of the policy.
        leave_out: Operations to treat as doing nothing.

    Raises:
        BadInput: Not such a list, an unknown operation, or numbers beyond 0 and 1; it says where.
    """
    if not _is_list(sub_policies) or not sub_policies:
        raise BadInput(f"{name}: expected a list of sub-policies; found {str(sub_policies)[:80]}.")
    seen: set[str] = set()
    choices = []
    for index, sub in enumerate(sub_policies):
        if not _is_list(sub) or not sub:
            raise BadInput(f"{name}, sub-policy {index}: expected a list of operations; found {str(sub)[:80]}.")
        slots: list[list[Alternative]] = []
        for entry in sub:
            op, prob, level = _entry(f"{name}, sub-policy {index}", entry)
            seen.add(op)
            if op in leave_out:
                slots.append([(1.0, None)])
            elif op not in INDEX:
                raise refuse(op, name)
            else:
                slots.append([(1.0, PolicyOp(op, prob, _value(op, level)))])
        choices.append((1.0, slots))
    check_left_out(seen, leave_out)
    return expand(name, without(source, leave_out), choices)


def _value(op: str, level: float) -> float | None:
    operation = named(op)
    if operation.low is None or operation.high is None:
        return None
    if operation.signed:
        return abs(2.0 * level - 1.0) * operation.high
    value = operation.low + level * (operation.high - operation.low)
    return float(int(value)) if operation.whole else value


def _entry(where: str, entry: Any) -> tuple[str, float, float]:
    if not _is_list(entry) or len(entry) != 3 or not isinstance(entry[0], str):
        raise BadInput(f"{where}: expected (operation, probability, level); found {str(entry)[:80]}.")
    op, prob, level = entry
    for what, number in (("probability", prob), ("level", level)):
        if not isinstance(number, (int, float)) or not 0 <= number <= 1:
            raise BadInput(f"{where} ({op}): {what} is {number!r}; it lies between 0 and 1.")
    return op, float(prob), float(level)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))
