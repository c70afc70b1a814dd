"""What is tried on the images: every operation, its range cut into strata from the identity outwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from daas.augment import Draw, Policy, SubPolicy
from daas.augment.operation import Operation
from daas.errors import BadInput
from daas.seeds import generator

STRATA = 4
"""Of each side of an operation's range."""
_LEVELS = 25  # magnitudes of an operation in the policy of the one training
_MOST = 0.1  # share of the images that an operation may have
_VALUES = 401  # what a random stream is for


@dataclass(frozen=True)
class Side:
    """One direction in which an operation can be made stronger.

    Attributes:
        edges: Signed magnitudes, the first one the nearest to the identity; stratum ``s`` lies between ``edges[s]`` and
            ``edges[s + 1]``. A single 0 twice where the operation has no magnitude.
    """

    edges: tuple[float, ...]


def sides(operation: Operation, strata: int = STRATA) -> tuple[Side, ...]:
    """Cuts the range of an operation in the search space.

    Args:
        operation: With its ``low``, ``high`` and ``identity``.
        strata: Of every side.

    Returns:
        Both signs of a signed operation; below and above the identity; or the one side that there is.

    >>> from daas.augment.space import OPERATIONS, INDEX
    >>> [side.edges for side in sides(OPERATIONS[INDEX["Rotate"]], 2)]
    [(0.0, 15.0, 30.0), (-0.0, -15.0, -30.0)]
    >>> [side.edges for side in sides(OPERATIONS[INDEX["Posterize"]], 2)]
    [(8.0, 6.0, 4.0)]
    """
    low, high = operation.low, operation.high
    if low is None or high is None:
        return (Side((0.0, 0.0)),)
    start = low if operation.identity is None else min(max(operation.identity, low), high)
    ends = [end for end in (high, low) if end != start]
    found = [(*(start + (end - start) * s / strata for s in range(strata)), end) for end in ends]
    if operation.signed:
        found += [tuple(-edge for edge in edges) for edges in found]
    return tuple(Side(edges) for edges in found)


def weights(found: Sequence[Side]) -> list[float]:
    """The share that each stratum, side after side, has of a magnitude drawn uniformly."""
    widths = [abs(b - a) for side in found for a, b in zip(side.edges, side.edges[1:], strict=False)]
    total = sum(widths)
    return [width / total for width in widths] if total else [1.0 / len(widths)] * len(widths)


def draw(index: int, edges: tuple[float, float], count: int, key: Iterable[int]) -> Draw:
    """One operation on every image, its magnitude uniform within a stratum.

    Args:
        index: Of the operation in the space.
        edges: Of the stratum, signed.
        count: Number of images.
        key: Of the random stream.
    """
    random = torch.rand(count, 1, 3, generator=generator(_VALUES, *key), dtype=torch.float64)
    value = edges[0] + (edges[1] - edges[0]) * random[..., 0]
    return Draw(torch.full((count, 1), index), value, random[..., 1:].contiguous())


def everything(operations: Sequence[Operation]) -> Policy:
    """The policy of the one training: nothing, or one of the operations, all with the same probability.

    Where operations are few, each has a tenth and nothing the rest: what changes labels must stay rare.

    Args:
        operations: All that are tried; magnitudes are uniform up to full strength, at 25 levels.

    Raises:
        BadInput: No operation at all.
    """
    if not operations:
        raise BadInput("There is no operation to screen; name at least one.")
    each = Policy.of_operations([operation.name for operation in operations], levels=_LEVELS).sub_policies
    share = sum(sub.weight for sub in each) / len(operations)
    nothing = SubPolicy(share * max(1.0, 1.0 / _MOST - len(operations)), (replace(each[0].ops[0], prob=0.0),))
    return Policy("everything", "the one training of a screen", (nothing, *each))
