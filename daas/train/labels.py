"""What labels mean: the class names of two sets, those of weights, and those that a flip exchanges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from daas.errors import BadInput
from daas.models.weights import difference


def by_name(shown: Sequence[str], known: Sequence[str], what: str) -> Tensor:
    """[shown classes] int64: the known label of each class that validation images show.

    Args:
        shown: Class names of the validation images; some of the known ones may be missing.
        known: Class names of the network's outputs.
        what: Whose those are, for the message: ``the training images``.

    Raises:
        BadInput: A class that is not known.

    >>> by_name(["bee", "cow"], ["ape", "bee", "cow"], "the training images")
    tensor([1, 2])
    """
    index = {name: label for label, name in enumerate(known)}
    if set(shown) - set(index):
        raise BadInput(
            f"the validation images and {what} have different classes: {difference(shown, known, 'validation', what)}. "
            "Rename or remove those that only the validation images have."
        )
    return torch.tensor([index[name] for name in shown])


def exchange(pairs: Sequence[str], class_names: Sequence[str]) -> Tensor | None:
    """[classes] int64: the label of an image's mirror image, by its own label; None where none changes.

    Args:
        pairs: ``left:right`` for each two classes that a horizontal flip turns into each other.
        class_names: One per label.

    Raises:
        BadInput: A name that is no class, or a class that is named twice.

    >>> exchange(["left:right"], ["left", "right", "straight"])
    tensor([1, 0, 2])
    """
    if not pairs:
        return None
    index = {name: label for label, name in enumerate(class_names)}
    table = torch.arange(len(class_names))
    for pair in pairs:
        first, second = _pair(pair, index)
        if first == second or table[first] != first or table[second] != second:
            raise BadInput(f"--hflip-swap {pair}: a class is exchanged with one other class, and named once.")
        table[first], table[second] = second, first
    return table


def _pair(text: str, index: dict[str, int]) -> tuple[int, int]:
    """The two labels of ``A:B``; the names themselves may hold colons."""
    parts = text.split(":")
    cuts = [(":".join(parts[:k]), ":".join(parts[k:])) for k in range(1, len(parts))]
    known = [(index[a], index[b]) for a, b in cuts if a in index and b in index]
    if len(known) != 1:
        raise BadInput(
            f"--hflip-swap {text}: expected two classes as CLASS:CLASS; there are {', '.join(list(index)[:20])}"
            f"{' ...' if len(index) > 20 else ''}."
        )
    return known[0]
