"""Algorithm 1, one iteration: both search gradients, then the weights from the same training gradients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from daas.augment.draw import Draw
from daas.search import distributed
from daas.search.architecture import Architecture
from daas.search.estimators import (
    directional_derivative,
    eq9_policy_gradient,
    inner_product,
    leave_one_out,
    one_step_ahead,
)
from daas.search.state import Gradients, Search, StepResult
from daas.seeds import generator

Batch = tuple[Tensor, Tensor]
_ARCHITECTURE, _POLICY, _SIGNS, _CROPS = range(4)  # what a random stream is for


def iteration(
    search: Search, train: Batch, val: Batch, step: int, eta: float, temperature: float, learn_policy: bool
) -> StepResult:
    """One iteration of Algorithm 1; during warm-up (``learn_policy`` False) without policies.

    Args:
        search: The state; its distributions and weights are updated.
        train: A batch of D_train: images [B, 3, H, W] uint8 and labels [B] int64, on the network's device.
        val: A batch of D_val, the same.
        step: Number of this iteration: with the seed it addresses all random streams.
        eta: Learning rate of the weights, also eta of eq. 6.
        temperature: tau of eq. 10 and 11.
        learn_policy: Whether policies are sampled and gamma learns.

    Returns:
        Losses, accuracies and rewards of the passes that this process ran (its share of the N samples), and the
        gradient of gamma.
    """
    result, gradients = StepResult(), Gradients(search)
    x_val = search.preparation.normalize(val[0])
    for i in distributed.share(search.architectures):
        z = _sample_architecture(search, step, i, temperature)
        theta = search.network.active(z)
        passes = [
            _training_gradient(search, train, z, theta, (step, i, j), learn_policy, result)
            for j in range(search.policies if learn_policy else 1)
        ]
        g = [torch.stack(parts).mean(0) for parts in zip(*(p.gradient for p in passes), strict=True)]
        gradients.add(gradients.theta, list(theta.values()), g)  # eq. 13, from the training gradients of eq. 9
        if learn_policy:
            with one_step_ahead(list(theta.values()), g, eta):  # eq. 6
                v = _validation_gradient(search, x_val, val[1], z, theta, result)
            _add_policy_gradient(search, gradients, passes, train[1], z, theta, v, eta, result)
        if search.architecture is not None:
            _add_architecture_gradient(search, gradients, x_val, val[1], z, result)
    if search.architecture is None and not learn_policy:
        with torch.no_grad():
            _record(result.val, search.network(x_val, None), val[1])
    gradients.descend()
    result.policy_gradient = gradients.of_policy()
    return result


@dataclass(frozen=True)
class _Pass:
    """One training pass.

    Attributes:
        images: [B, 3, H, W], what the network saw.
        gradient: Training gradient, one tensor per active weight.
        log_prob: [1] or [B], log p(Gamma; gamma) with its graph; None without policies.
    """

    images: Tensor
    gradient: tuple[Tensor, ...]
    log_prob: Tensor | None


def _sample_architecture(search: Search, step: int, i: int, temperature: float) -> Architecture | None:
    if search.architecture is None:
        return None
    return search.architecture.sample(generator(search.seed, step, _ARCHITECTURE, i), temperature)


def _training_gradient(
    search: Search,
    train: Batch,
    z: Architecture | None,
    theta: dict[str, nn.Parameter],
    key: tuple[int, int, int],
    learn_policy: bool,
    result: StepResult,
) -> _Pass:
    """Gradient of L_t(theta, z; Gamma(D_train)) in theta, under a freshly sampled Gamma."""
    step, i, j = key
    draw: Draw | None = None
    log_prob = None
    if learn_policy and search.augmentation is not None:
        count = len(train[0])
        sample = search.augmentation.sample(
            count if search.per_image else 1, generator(search.seed, step, _POLICY, i, j)
        )
        draw = search.augmentation.to_draw(sample, count, generator(search.seed, step, _SIGNS, i, j))
        log_prob = search.augmentation.log_prob(sample)
    images = search.preparation.augment(train[0], draw, generator(search.seed, step, _CROPS, i, j))
    logits = search.network(images, z)
    gradient = torch.autograd.grad(cross_entropy(logits, train[1]), list(theta.values()))
    _record(result.train, logits, train[1])
    return _Pass(images, gradient, log_prob)


def _validation_gradient(
    search: Search,
    x_val: Tensor,
    y_val: Tensor,
    z: Architecture | None,
    theta: dict[str, nn.Parameter],
    result: StepResult,
) -> tuple[Tensor, ...]:
    """v: gradient of L_v(theta', z; D_val) in theta' (called one step ahead)."""
    logits = search.network(x_val, z)
    if search.architecture is None:
        _record(result.val, logits, y_val)
    return torch.autograd.grad(cross_entropy(logits, y_val), list(theta.values()))


def _add_policy_gradient(
    search: Search,
    gradients: Gradients,
    passes: list[_Pass],
    y_train: Tensor,
    z: Architecture | None,
    theta: dict[str, nn.Parameter],
    v: tuple[Tensor, ...],
    eta: float,
    result: StepResult,
) -> None:
    """Eq. 9 for one architecture: the M rewards <v, training gradient>, or those of every image."""
    assert search.augmentation is not None

    if search.per_image:

        def losses(images: Tensor, weights: dict[str, Tensor]) -> Tensor:
            logits = functional_call(search.network, weights, (images, z))
            return cross_entropy(logits, y_train, reduction="none")

        rewards = torch.cat([directional_derivative(partial(losses, p.images), theta, v) for p in passes])
        credit = leave_one_out(rewards)
    else:
        rewards = credit = torch.stack([inner_product(v, p.gradient) for p in passes])
    log_prob = torch.cat([p.log_prob for p in passes if p.log_prob is not None])
    objective = eq9_policy_gradient(log_prob, credit.to(log_prob.device), eta)
    gamma: list[Tensor] = list(search.augmentation.parameters())
    gradients.add(gradients.gamma, gamma, list(torch.autograd.grad(objective, gamma)))
    result.rewards.append(rewards.detach())


def _add_architecture_gradient(
    search: Search, gradients: Gradients, x_val: Tensor, y_val: Tensor, z: Architecture | None, result: StepResult
) -> None:
    """Eq. 12 for one architecture: gradient of L_v(theta, z; D_val) through the gates of z, at theta."""
    assert search.architecture is not None
    logits = search.network(x_val, z, gated=True)
    weights: list[Tensor] = list(search.architecture.parameters())
    loss = cross_entropy(logits, y_val)
    gradients.add(gradients.architecture, weights, list(torch.autograd.grad(loss, weights)))
    _record(result.val, logits, y_val)


def _record(rows: list[Tensor], logits: Tensor, labels: Tensor) -> None:
    logits = logits.detach()
    correct = (logits.argmax(-1) == labels).float().mean()
    rows.append(torch.stack([cross_entropy(logits, labels), correct]))
