"""eq. 9 against enumeration, the per-image rewards against a loop, theta' against plain arithmetic: in float64."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from daas.search.augmentation import AugmentationDistribution, PolicySample
from daas.search.estimators import (
    directional_derivative,
    eq9_policy_gradient,
    inner_product,
    leave_one_out,
    one_step_ahead,
)

ETA = 0.1


class Toy:
    """Two operations in two slots with two magnitudes each: 36 distinguishable policies, and a quadratic network.

    An "image" is a vector; operation 0 adds its magnitude to it, operation 1 scales it by its magnitude.
    """

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(7)
        table = torch.tensor([[0.5, -1.0], [2.0, 0.3]], dtype=torch.float64)
        self.distribution = AugmentationDistribution(2, table, torch.tensor([True, True]), random).double()
        with torch.no_grad():  # far from uniform, so that no symmetry can hide an error
            for parameter in self.distribution.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=random, dtype=torch.float64))
        self.x = torch.randn(6, 3, generator=random, dtype=torch.float64)
        self.y = torch.randn(6, generator=random, dtype=torch.float64)
        self.x_val = torch.randn(5, 3, generator=random, dtype=torch.float64)
        self.y_val = torch.randn(5, generator=random, dtype=torch.float64)
        self.theta = torch.randn(3, generator=random, dtype=torch.float64, requires_grad=True)

    def augment(self, op: Tensor, applied: Tensor, magnitude: Tensor) -> Tensor:
        x = self.x
        for slot in range(2):
            if applied[slot]:
                value = self.distribution.table[op[slot], magnitude[slot]]
                x = x + value if op[slot] == 0 else x * value
        return x

    def gradient(self, sample: PolicySample, index: int) -> Tensor:
        x = self.augment(sample.op[index], sample.applied[index], sample.magnitude[index])
        loss = ((x @ self.theta).tanh() - self.y).square().mean()
        return torch.autograd.grad(loss, self.theta)[0]

    def validation(self, theta: Tensor) -> Tensor:
        return ((self.x_val @ theta).tanh() - self.y_val).square().mean()

    def all_policies(self) -> PolicySample:
        rows = list(itertools.product((0, 1), (0, 1), (False, True), (False, True), (0, 1), (0, 1)))
        columns = [torch.tensor(column) for column in zip(*rows, strict=True)]
        return PolicySample(*(torch.stack(columns[k : k + 2], 1) for k in (0, 2, 4)))

    def multiplicity(self, sample: PolicySample) -> Tensor:
        """How many rows of ``all_policies`` share a policy: the magnitude is free where nothing is applied."""
        return 2.0 ** (~sample.applied).double().sum(1)


def exact_gradient(toy: Toy, v: Tensor) -> tuple[Tensor, ...]:
    """-eta * <v, d/dgamma of the exact expectation over all policies of the training gradient>."""
    everything = toy.all_policies()
    probability = toy.distribution.log_prob(everything).exp() / toy.multiplicity(everything)
    gradients = torch.stack([toy.gradient(everything, i) for i in range(len(everything.op))])
    expected = (probability.unsqueeze(1) * gradients).sum(0)
    return torch.autograd.grad(-ETA * (v * expected).sum(), list(toy.distribution.parameters()))


def test_probabilities_of_all_policies_sum_to_one() -> None:
    toy = Toy()
    everything = toy.all_policies()
    total = (toy.distribution.log_prob(everything).exp() / toy.multiplicity(everything)).sum()
    torch.testing.assert_close(total, torch.ones_like(total))


def test_the_exact_gradient_is_that_of_the_validation_loss_to_first_order() -> None:
    """-eta <v, dE[g]> is the derivative of L_v(theta - eta E[g]) when v is taken at theta': the chain rule of eq. 7."""
    toy = Toy()
    everything = toy.all_policies()
    gradients = torch.stack([toy.gradient(everything, i) for i in range(len(everything.op))])
    probability = toy.distribution.log_prob(everything).exp() / toy.multiplicity(everything)
    ahead = toy.theta.detach() - ETA * (probability.unsqueeze(1) * gradients).sum(0)
    direct = torch.autograd.grad(toy.validation(ahead), list(toy.distribution.parameters()), retain_graph=True)
    point = ahead.detach().requires_grad_()
    v = torch.autograd.grad(toy.validation(point), point)[0]
    for a, b in zip(direct, exact_gradient(toy, v), strict=True):
        torch.testing.assert_close(a, b)


def estimate(toy: Toy, draws: int, wrong_sign: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and standard error over many draws of eq. 9 with M = 1, and the exact gradient, all flattened."""
    random = torch.Generator().manual_seed(11)
    everything = toy.all_policies()
    v = torch.autograd.grad(toy.validation(toy.theta), toy.theta)[0]
    rewards = torch.stack([inner_product([v], [toy.gradient(everything, i)]) for i in range(len(everything.op))])
    sample = toy.distribution.sample(draws, random)
    keys = (
        everything.op[:, 0] * 32
        + everything.op[:, 1] * 16
        + (everything.applied.long() * torch.tensor([8, 4]) + everything.magnitude * torch.tensor([2, 1])).sum(1)
    )
    drawn = (
        sample.op[:, 0] * 32
        + sample.op[:, 1] * 16
        + (sample.applied.long() * torch.tensor([8, 4]) + sample.magnitude * torch.tensor([2, 1])).sum(1)
    )
    row_of = torch.empty(64, dtype=torch.int64)
    row_of[keys] = torch.arange(len(keys))
    rows = row_of[drawn]

    def one(index: int) -> Tensor:
        part = PolicySample(*(x[index : index + 1] for x in (everything.op, everything.applied, everything.magnitude)))
        objective = eq9_policy_gradient(toy.distribution.log_prob(part), rewards[index : index + 1], ETA)
        gradients = torch.autograd.grad(objective, list(toy.distribution.parameters()))
        return torch.cat([gradient.flatten() for gradient in gradients]) * (-1 if wrong_sign else 1)

    each = torch.stack([one(i) for i in range(len(rewards))])  # the estimator takes only these values
    counts = torch.bincount(rows, minlength=len(rewards)).double() / draws
    mean = counts @ each
    error = ((counts @ each.square() - mean.square()).clamp_min(0) / draws).sqrt()
    exact = torch.cat([gradient.flatten() for gradient in exact_gradient(toy, v)])
    return mean, error, exact


def test_eq9_is_unbiased() -> None:
    mean, error, exact = estimate(Toy(), draws=200_000)
    assert exact.abs().max() > 1e-3
    deviation = ((mean - exact).abs() / error.clamp_min(1e-15))[error > 1e-12]
    assert len(deviation) > 20
    assert deviation.max() < 4.5
    assert deviation.square().mean() < 2.0


def test_a_wrong_sign_is_noticed() -> None:
    mean, error, exact = estimate(Toy(), draws=200_000, wrong_sign=True)
    assert ((mean - exact).abs() / error.clamp_min(1e-15)).max() > 50


def test_one_step_ahead_is_eq6_and_restores_bit_for_bit() -> None:
    theta = [torch.randn(4, 3), torch.randn(5)]
    before = [weight.clone() for weight in theta]
    gradient = [torch.randn_like(weight) for weight in theta]
    with one_step_ahead(theta, gradient, 0.37):
        for weight, start, g in zip(theta, before, gradient, strict=True):
            torch.testing.assert_close(weight, start - 0.37 * g)
    assert all(torch.equal(weight, start) for weight, start in zip(theta, before, strict=True))


def test_one_step_ahead_restores_after_an_error() -> None:
    theta, before = [torch.ones(3)], [torch.ones(3)]
    with pytest.raises(KeyError), one_step_ahead(theta, [torch.full((3,), 0.1)], 1.0):
        raise KeyError
    assert torch.equal(theta[0], before[0])


def test_directional_derivative_equals_a_loop_over_images() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5, track_running_stats=False), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(5 * 16, 4),
    ).double()  # fmt: skip
    x, y = torch.randn(7, 3, 8, 8, dtype=torch.float64), torch.randint(4, (7,))
    theta = dict(network.named_parameters())
    v = [torch.randn_like(weight) for weight in theta.values()]

    def losses(weights: dict[str, Tensor]) -> Tensor:
        return cross_entropy(functional_call(network, weights, (x,)), y, reduction="none")

    rewards = directional_derivative(losses, theta, v)
    for b in range(7):
        gradient = torch.autograd.grad(losses(theta)[b], list(theta.values()))
        torch.testing.assert_close(rewards[b], inner_product(v, gradient), rtol=1e-10, atol=1e-13)
    whole = torch.autograd.grad(losses(theta).mean(), list(theta.values()))
    torch.testing.assert_close(rewards.mean(), inner_product(v, whole), rtol=1e-10, atol=1e-13)


def test_leave_one_out_subtracts_the_mean_of_the_others() -> None:
    rewards = torch.tensor([1.0, 4.0, -2.0], dtype=torch.float64)
    expected = torch.tensor([1.0 - 1.0, 4.0 + 0.5, -2.0 - 2.5], dtype=torch.float64)
    torch.testing.assert_close(leave_one_out(rewards), expected)
    assert torch.equal(leave_one_out(rewards[:1]), rewards[:1])


def test_a_leave_one_out_baseline_leaves_the_mean_alone() -> None:
    """Two independent draws, all pairs enumerated: the estimator's mean is the exact gradient, baseline or not."""
    probability_logit = torch.tensor([0.3, -0.8, 0.1], dtype=torch.float64, requires_grad=True)
    reward_of = torch.tensor([2.0, -1.0, 5.0], dtype=torch.float64)
    log_p = probability_logit.log_softmax(0)
    exact = torch.autograd.grad(-ETA * (log_p.exp() * reward_of).sum(), probability_logit, retain_graph=True)[0]
    mean = torch.zeros(3, dtype=torch.float64)
    for a, b in itertools.product(range(3), repeat=2):
        pair = torch.tensor([a, b])
        objective = eq9_policy_gradient(log_p[pair], leave_one_out(reward_of[pair]), ETA)
        gradient = torch.autograd.grad(objective, probability_logit, retain_graph=True)[0]
        mean += (log_p[a] + log_p[b]).exp().detach() * gradient
    torch.testing.assert_close(mean, exact)
