"""Temperature: one number that makes a network's confidence mean what it says, on clean images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_WIDEST = math.log(50.0)  # temperatures lie between 1/50 and 50


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T at which the cross-entropy of ``softmax(logits / T)`` is smallest (Guo et al., ICML 2017).

    The loss is convex in 1/T. Its slope there is the mean of (expected logit - logit of the label), whose root is
    bracketed and halved; where all images are right, or none better than chance, the end of the range is taken.

    Args:
        logits: [n, classes] float.
        labels: [n] int64.

    Returns:
        T, between 1/50 and 50.

    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0]] * 4)
    >>> T = fit_temperature(logits, torch.tensor([0, 0, 0, 1]))
    >>> round(float((logits / T).softmax(1)[0, 0]), 6)  # three of four are right
    0.75
    """
    logits = logits.double()
    own = logits.gather(1, labels.unsqueeze(1)).squeeze(1).mean()
    low, high = -_WIDEST, _WIDEST  # of the logarithm of 1/T
    for _ in range(60):
        middle = (low + high) / 2
        expected = ((math.exp(middle) * logits).softmax(1) * logits).sum(1).mean()
        low, high = (middle, high) if expected <= own else (low, middle)
    return math.exp(-(low + high) / 2)


def with_a_mistake(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The same answers and one more: the one that is right by the smallest margin, this time wrong.

    A network that is right on all of n images is not right on all of the next ones. The temperature of these answers
    would be the end of its range, at which the network is sure of whatever it sees; with the mistake that comes next
    it has a value. Where there are mistakes already, the closest image is about even, and one more hardly moves it.

    Args:
        logits: [n, classes].
        labels: [n] int64.

    Returns:
        The same with a row more, whose label is its second guess; as they were where no image is right.

    >>> import torch
    >>> logits, labels = with_a_mistake(torch.tensor([[9.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    >>> logits[2].tolist(), int(labels[2])
    ([0.0, 1.0], 0)
    """
    right = logits.argmax(-1) == labels
    if logits.shape[1] < 2 or not right.any():
        return logits, labels
    best = logits.topk(2)
    closest = (best.values[:, 0] - best.values[:, 1]).masked_fill(~right, math.inf).argmin()
    return torch.cat([logits, logits[closest : closest + 1]]), torch.cat([labels, best.indices[closest, 1:]])


def confidence(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The largest probability at a temperature, and whose it is.

    Args:
        logits: [..., classes].
        temperature: As of ``fit_temperature``.

    Returns:
        Confidence [...] float64 in (0, 1], and the predicted class [...] int64.
    """
    best = (logits.double() / temperature).softmax(-1).max(-1)
    return best.values, best.indices
