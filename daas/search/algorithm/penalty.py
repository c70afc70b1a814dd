"""The excess confidence of a network on augmented images, as a penalty in the rewards of their policies."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from daas.calibration import confidence, fit_temperature
from daas.search.algorithm.gradients import inner_product


def excess(logits: Tensor, clean: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Calibrated confidence minus correctness of every image, less the same of the image without a policy.

    High where the network is sure of an image and wrong, as where an operation has changed what the image shows; an
    operation that only makes images hard lowers confidence and correctness alike.

    Args:
        logits: [B, classes], under a policy.
        clean: [B, classes], of the same images without.
        labels: [B].
        temperature: By which both are divided.

    Returns:
        [B] float64, between -2 and 2.
    """
    differences = []
    for answers in (logits, clean):
        sure, said = confidence(answers, temperature)
        differences.append(sure - (said == labels).double())
    return differences[0] - differences[1]


def penalties(
    weight: float,
    logits: Sequence[Tensor],
    clean: Tensor,
    labels: Tensor,
    validated: tuple[Tensor, Tensor],
    v: Sequence[Tensor],
) -> list[Tensor]:
    """What is subtracted from the rewards of single images: weight * |v|^2 * excess.

    |v|^2 is the reward of a step along v itself, the best that there is of its length: so the weight has no unit. The
    temperature is that at which the confidence on the validation batch is right.

    Args:
        weight: Of the penalty.
        logits: [B, classes] of each batch, under policies.
        clean: [B, classes], without.
        labels: [B].
        validated: Logits [n, classes] and labels [n] of the validation batch.
        v: Gradient of the validation loss.

    Returns:
        [B] per batch, on the device of the logits.
    """
    temperature = fit_temperature(validated[0].detach().cpu(), validated[1].cpu())
    scale = weight * inner_product(v, v)
    return [(scale * excess(one, clean, labels, temperature)).to(v[0].dtype) for one in logits]
