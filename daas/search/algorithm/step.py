"""Algorithm 1, one iteration: both search gradients, then the weights from the same training gradients."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from daas import processes
from daas.search.algorithm.gradients import frozen, one_step_ahead
from daas.search.algorithm.passes import ARCHITECTURE, augmented, training_pass
from daas.search.algorithm.rewards import Observed, gamma_objectives, observe
from daas.search.algorithm.state import Batch, Gradients, Search, StepResult
from daas.search.spaces.cells import Path
from daas.seeds import generator


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
    gates: list[tuple[Tensor, Tensor]] = []
    observed: list[Observed] = []
    learns = learn_policy and search.method.learns
    for i in processes.share(search.architectures):
        z = _sample_architecture(search, step, i, temperature)
        theta = search.network.active(z)
        passes = []
        for j in range(search.policies if learn_policy else 1):
            batch = augmented(search, train[0], (step, i, j), learn_policy)
            training, logits = training_pass(search, batch, train[1], z, theta)
            passes.append(training)
            result.train.append(_row(training.losses, logits, train[1]))
        g = list(torch._foreach_div(_sum([list(p.gradient) for p in passes]), len(passes)))
        gradients.add(gradients.theta, list(theta.values()), g)  # eq. 13, from the training gradients of eq. 9
        if learns:
            with one_step_ahead(list(theta.values()), g, eta):  # eq. 6
                v = _validation_gradient(search, x_val, val[1], z, theta, result)
            extra = [
                augmented(search, train[0], (step, i, search.policies + r), True)
                for r in range(search.method.reward_batches)
            ]
            observed.append(observe(search, passes, extra, train[1], z, theta, v))
        if z is not None:
            gates.append((z.gates, _gate_gradient(search, x_val, val[1], z, theta, result)))
    if search.architecture is None and not learns:
        with torch.no_grad():
            logits = search.logits(x_val, None)
            result.val.append(_row(cross_entropy(logits, val[1], reduction="none"), logits, val[1]))
    _add_architecture_gradient(search, gradients, gates)
    if learns:
        _add_policy_gradient(search, gradients, observed, eta, result)
    gradients.descend()
    result.policy_gradient = gradients.of_policy()
    return result


def _sample_architecture(search: Search, step: int, i: int, temperature: float) -> Path | None:
    if search.architecture is None:
        return None
    return search.architecture.sample(generator(search.seed, step, ARCHITECTURE, i), temperature)


def _validation_gradient(
    search: Search,
    x_val: Tensor,
    y_val: Tensor,
    z: Path | None,
    theta: dict[str, nn.Parameter],
    result: StepResult,
) -> tuple[Tensor, ...]:
    """v: gradient of L_v(theta', z; D_val) in theta' (called one step ahead)."""
    logits = search.logits(x_val, z)
    losses = cross_entropy(logits, y_val, reduction="none")
    if search.architecture is None:
        result.val.append(_row(losses, logits, y_val))
    return torch.autograd.grad(losses.mean(), list(theta.values()))


def _gate_gradient(
    search: Search, x_val: Tensor, y_val: Tensor, z: Path, theta: dict[str, nn.Parameter], result: StepResult
) -> Tensor:
    """Gradient of L_v(theta, z; D_val) in the gates of z, at theta, on the network's device."""
    leaf = z.gates.detach().to(x_val.device).requires_grad_()
    with frozen(theta.values()):
        logits = search.logits(x_val, dataclasses.replace(z, gates=leaf), gated=True)
        losses = cross_entropy(logits, y_val, reduction="none")
        gradient: Tensor = torch.autograd.grad(losses.mean(), leaf)[0]
    result.val.append(_row(losses, logits, y_val))
    return gradient


def _add_architecture_gradient(search: Search, gradients: Gradients, gates: list[tuple[Tensor, Tensor]]) -> None:
    """Eq. 12: from the gates of the N architectures into alpha and beta."""
    if search.architecture is None or not gates:
        return
    weights: list[Tensor] = list(search.architecture.parameters())
    downstream = torch.stack([gradient for _, gradient in gates]).cpu()  # one transfer for all
    for (gate, _), gradient in zip(gates, downstream, strict=True):
        gradients.add(gradients.architecture, weights, list(torch.autograd.grad((gate * gradient).sum(), weights)))


def _add_policy_gradient(
    search: Search, gradients: Gradients, observed: list[Observed], eta: float, result: StepResult
) -> None:
    """Eq. 9, or another estimate of the gradient of gamma, from what the architectures of this process observed."""
    assert search.augmentation is not None
    gamma: list[Tensor] = list(search.augmentation.parameters())
    for objective in gamma_objectives(search, observed, eta):
        gradients.add(gradients.gamma, gamma, list(torch.autograd.grad(objective, gamma)))
    result.rewards.extend(part.rewards for part in observed)


def _sum(rows: list[list[Tensor]]) -> list[Tensor]:
    total = rows[0]
    for row in rows[1:]:
        total = list(torch._foreach_add(total, row))
    return total


def _row(losses: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([losses.detach().mean(), (logits.detach().argmax(-1) == labels).float().mean()])
