"""Temperature: one number that makes a network's confidence mean what it says, on clean images."""

from __future__ import annotations

import math

from torch import Tensor

_WIDEST = math.log(50.0)  # temperatures lie between 1/50 and 50


def fit_temperature(logits: Tensor, labels: Tensor, mistakes: int = 0) -> float:
    """The temperature T at which the cross-entropy of ``softmax(logits / T)`` is smallest (Guo et al., ICML 2017).

    The loss is convex in 1/T. Its slope there is the mean of (expected logit - logit of the label), whose root is
    bracketed and halved; where all images are right, or none better than chance, the end of the range is taken.

    A network that is right on all of n images is not right on all of the next ones, and the end of the range would make
    it sure of whatever it sees. With ``mistakes`` it is as if so many images more had been read wrong, each an average
    of those there are, its second guess the label: of n right ones, confidence is then about n / (n + mistakes).

    Args:
        logits: [n, classes] float.
        labels: [n] int64.
        mistakes: Further images that were read wrong.

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
    if mistakes and logits.shape[1] > 1:
        share = mistakes / (len(logits) + mistakes)
        own = (1 - share) * own + share * logits.topk(2).values[:, 1].mean()
    low, high = -_WIDEST, _WIDEST  # of the logarithm of 1/T
    for _ in range(60):
        middle = (low + high) / 2
        expected = ((math.exp(middle) * logits).softmax(1) * logits).sum(1).mean()
        low, high = (middle, high) if expected <= own else (low, middle)
    return math.exp(-(low + high) / 2)


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
