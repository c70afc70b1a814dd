"""Policies made from a policy: without a family of operations, and twice per image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from daas.augment import Policy
from daas.augment.policy import SubPolicy


def without(policy: Policy, names: Collection[str], called: str) -> Policy | None:
    """The sub-policies that use none of some operations; None where all use one, or none does.

    Args:
        policy: Is not changed.
        names: Of operations.
        called: What is left out, for the policy's name.
    """
    kept = tuple(sub for sub in policy.sub_policies if not any(op.op in names for op in sub.ops))
    if not kept or len(kept) == len(policy.sub_policies) or not any(sub.weight > 0 for sub in kept):
        return None
    return Policy(f"{policy.name}, not {called}", f"{policy.source}; without {called}", kept, policy.fill)


def twice(policy: Policy) -> Policy:
    """Two sub-policies per image, one after the other, each with the first policy's frequencies.

    Sub-policies of the same operations differ in their magnitudes. Each is followed by one of every kind, and the
    magnitudes of the second go round as those of the first do: there are N x kinds of pairs and not N x N.
    """
    kinds: dict[tuple[str, ...], list[SubPolicy]] = defaultdict(list)
    for sub in policy.sub_policies:
        kinds[tuple(op.op for op in sub.ops)].append(sub)
    subs = []
    for index, first in enumerate(policy.sub_policies):
        for number, members in enumerate(kinds.values()):
            second = members[(index + number) % len(members)]
            weight = sum(member.weight for member in members)
            subs.append(SubPolicy(first.weight * weight, first.ops + second.ops))
    return Policy(f"{policy.name}, two per image", f"{policy.source}; two per image", tuple(subs), policy.fill)
