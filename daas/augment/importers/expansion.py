"""What importers share: choices of a published policy, written out as weighted sub-policies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Sequence

from daas.augment.policy import Policy, PolicyOp, SubPolicy
from daas.augment.space import OPERATION_NAMES
from daas.errors import BadInput

MAX_SUB_POLICIES = 50_000
"""Beyond this a policy is refused: its file would be larger than the images it is for."""

NOTHING = PolicyOp("Invert", 0.0, None)
"""Stands for the identity where a sub-policy would be empty: an operation that is never applied."""

Alternative = tuple[float, PolicyOp | None]
"""The share of a value or a sign, and the operation; None does nothing."""


def expand(
    name: str,
    source: str,
    choices: Iterable[tuple[float, Sequence[Sequence[Alternative]]]],
    fill: tuple[int, int, int] = (0, 0, 0),
) -> Policy:
    """The policy whose sub-policies are all combinations of the alternatives.

    Policies of this package have one value per operation. What a published policy draws besides (the side of a factor,
    the operation itself, a noisy magnitude) becomes sub-policies of their own, weighted by its probability, so that
    the distribution over what happens to an image stays the same. Equal sub-policies are merged.

    Args:
        name: Of the policy.
        source: Of the policy.
        choices: (weight, slots) per published sub-policy; each slot lists its alternatives.
        fill: RGB in 0..255.

    Raises:
        BadInput: More than ``MAX_SUB_POLICIES``, or values out of range.
    """
    weights: dict[tuple[PolicyOp, ...], float] = {}
    for weight, slots in choices:
        for combination in itertools.product(*slots):
            ops = tuple(op for _, op in combination if op is not None) or (NOTHING,)
            weights[ops] = weights.get(ops, 0.0) + weight * math.prod(share for share, _ in combination)
            if len(weights) > MAX_SUB_POLICIES:
                raise BadInput(
                    f"{name}: written out, it has more than {MAX_SUB_POLICIES:,} sub-policies; fewer operations per "
                    "image (N) or no noise in the magnitude make it smaller."
                )
    subs = tuple(SubPolicy(float(f"{weight:.12g}"), ops) for ops, weight in weights.items() if weight > 0)
    return Policy(name, source, subs, fill)


def check_left_out(known: Collection[str], leave_out: Collection[str]) -> None:
    """Refuses names to leave out that do not occur.

    Raises:
        BadInput: The name, and those that do occur.
    """
    absent = sorted(set(leave_out) - set(known))
    if absent:
        raise BadInput(f"leave out {', '.join(absent)}: it does not occur; there are {', '.join(sorted(set(known)))}.")


def refuse(operation: str, policy: str) -> BadInput:
    """The error for an operation that this package does not have."""
    return BadInput(
        f"{policy}: {operation!r} is not among the {len(OPERATION_NAMES)} operations ({', '.join(OPERATION_NAMES)}). "
        f"To import the rest, leave it out by name (leave_out=[{operation!r}], on the command line --leave-out "
        f"{operation}): where it would be applied, nothing happens."
    )


def without(source: str, leave_out: Collection[str]) -> str:
    """The source of a policy from which operations were left out says so."""
    return f"{source}; without {', '.join(sorted(leave_out))}" if leave_out else source
