"""A distribution whose magnitudes are not decided as a policy: several sub-policies, one magnitude in each."""

from __future__ import annotations

import itertools

import torch

from daas.augment.policy import Policy
from daas.augment.sub_policy import MAX_SUB_POLICIES, PolicyOp, SubPolicy
from daas.search.spaces.policies import AugmentationDistribution, at_rate, without_identity


@torch.no_grad()
def spread(distribution: AugmentationDistribution, name: str, source: str) -> Policy:
    """Every policy that can be drawn, at every magnitude that can be: each magnitude of a policy equally often.

    Every choice of operations pairs their magnitudes at another offset instead of having all pairs, so that there are
    at most O^K L sub-policies; where that is more than a file may have, each takes fewer magnitudes, evenly spaced.

    Args:
        distribution: With shared parameters: delta is uniform over some of the magnitudes of an operation, and excludes
            the others.
        name: Of the policy.
        source: Of the policy.
    """
    slots, levels = distribution.slots, distribution.levels
    rows = min(levels, MAX_SUB_POLICIES // distribution.operations**slots)
    probability = distribution.p_logit.double().sigmoid().tolist()
    kept = distribution.delta.isfinite()
    values = [
        [distribution.table[op][kept[op, slot]].tolist() for slot in range(slots)]
        for op in range(distribution.operations)
    ]
    weights: dict[tuple[PolicyOp, ...], float] = {}
    chosen = itertools.product(range(distribution.operations), repeat=slots)
    for number, (weight, ops) in enumerate(zip(distribution.policy_weights().tolist(), chosen, strict=True)):
        for row in range(rows if weight else 0):
            key = []
            for slot, op in enumerate(ops):
                choice = values[op][slot]
                at = (row * levels // rows + sum(ops) + slot * number) % len(choice)
                value = choice[at] if bool(distribution.with_magnitude[op]) else None
                key.append(PolicyOp(distribution.names[op], probability[op][slot], value))
            changing = without_identity(key)
            weights[changing] = weights.get(changing, 0.0) + weight / rows
    subs = [SubPolicy(weight, ops) for ops, weight in weights.items()]
    return Policy(name, source, at_rate(subs, distribution.rate))
