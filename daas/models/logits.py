"""What a network has to answer with: a row of logits per image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_ROUNDING = 1e-2  # of sums of probabilities, in half precision


def fault(answer: Any, images: int, classes: int) -> str:
    """What is wrong with a network's answer, and the way out; empty where it is logits.

    Args:
        answer: To a batch, in training.
        images: In the batch.
        classes: That there are.

    >>> fault(torch.tensor([[0.5, -2.0]]), 1, 2)
    ''
    """
    wanted = f"not with logits [{images}, {classes}]"
    if not isinstance(answer, Tensor):
        one = (
            "a module whose forward gives its .logits" if hasattr(answer, "logits") else "a network with one classifier"
        )
        return f"{type(answer).__name__}, {wanted}. Take {one}."
    if answer.shape != (images, classes):
        return f"{list(answer.shape)}, {wanted}. Choose a classifier for that many classes."
    sums = answer.detach().float().sum(1)
    constant = bool((answer == answer[:1]).all())  # as a classifier that begins with zeros answers
    if (
        not constant
        and bool((answer >= 0).all())
        and torch.allclose(sums, torch.ones_like(sums), atol=_ROUNDING, rtol=0.0)
    ):
        return f"probabilities, whose rows sum to 1, {wanted}. Leave out the softmax at its end: the loss has one."
    return ""
