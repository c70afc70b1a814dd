"""eq. 9 against enumeration, the per-image rewards against a loop, theta' against plain arithmetic: in float64."""

from __future__ import annotations

import itertools

import pytest
import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from daas.search.algorithm.gradients import (
    directional_derivative,
    eq9_policy_gradient,
    finite_difference,
    gate_sensitivity,
    inner_product,
    leave_one_out,
    leave_one_out_of_image,
    one_step_ahead,
    pixel_gradient,
    straight_through_gradient,
)
from daas.search.spaces.cells import ArchitectureDistribution
from daas.search.spaces.policies import AugmentationDistribution, PolicySample
from daas.search.spaces.supernet import SuperNet

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


def scores(toy: Toy) -> Tensor:
    """[64, parameters]: the gradient of log p of every policy."""
    everything = toy.all_policies()
    parameters = list(toy.distribution.parameters())
    rows = [
        torch.cat([part.flatten() for part in torch.autograd.grad(log_p, parameters, retain_graph=True)])
        for log_p in toy.distribution.log_prob(everything)
    ]
    return torch.stack(rows)


def rewards_of_images(toy: Toy, v: Tensor) -> Tensor:
    """[64, 6]: <v, gradient of each image's loss> under every policy."""
    everything = toy.all_policies()
    rows = []
    for index in range(len(everything.op)):
        x = toy.augment(everything.op[index], everything.applied[index], everything.magnitude[index])
        losses = ((x @ toy.theta).tanh() - toy.y).square()
        rows.append(torch.stack([torch.autograd.grad(loss, toy.theta, retain_graph=True)[0] @ v for loss in losses]))
    return torch.stack(rows)


ESTIMATORS = (
    "eq9", "eq9, baseline over N * M", "per-image", "per-image, baseline over the batch",
    "per-image, two draws, baseline over batch and image",
)  # fmt: skip


def estimates(toy: Toy, kind: str, draws: int) -> tuple[Tensor, Tensor]:
    """Many estimates of the gamma gradient from six or twelve policies, [draws, parameters], and the exact one.

    eq9: three policies for whole batches, twice (N = 2, M = 3). per-image: one or two for each of the six images.
    """
    v = torch.autograd.grad(toy.validation(toy.theta), toy.theta)[0]
    score, reward = scores(toy), rewards_of_images(toy, v)
    everything = toy.all_policies()
    probability = (toy.distribution.log_prob(everything).exp() / toy.multiplicity(everything)).detach()
    count = 12 if "two draws" in kind else 6
    drawn = torch.multinomial(probability, count * draws, replacement=True, generator=torch.Generator().manual_seed(11))
    drawn = drawn.view(draws, count)
    got = reward[drawn, torch.arange(count) % 6] if kind.startswith("per-image") else reward.mean(1)[drawn]
    baseline = (lambda row: leave_one_out_of_image(row.view(-1, 6)).flatten()) if "batch" in kind else leave_one_out
    credit = torch.stack([baseline(row) for row in got]) if "baseline" in kind else got
    # the gradient of eq9_policy_gradient, linear in the scores: checked against it below
    found = -ETA * torch.einsum("ds,dsp->dp", credit, score[drawn]) / count
    log_prob = toy.distribution.log_prob(everything)[drawn[0]]
    gradient = torch.autograd.grad(eq9_policy_gradient(log_prob, credit[0], ETA), list(toy.distribution.parameters()))
    torch.testing.assert_close(found[0], torch.cat([part.flatten() for part in gradient]))
    return found, torch.cat([part.flatten() for part in exact_gradient(toy, v)])


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_every_score_function_estimator_is_unbiased(kind: str, record_property: pytest.RecordProperty) -> None:
    found, exact = estimates(Toy(), kind, draws=12_000)
    error = found.std(0) / len(found) ** 0.5
    deviation = ((found.mean(0) - exact).abs() / error.clamp_min(1e-15))[error > 1e-12]
    record_property("trace of the covariance", float(found.var(0).sum()))
    assert exact.abs().max() > 1e-3
    assert len(deviation) > 20
    assert deviation.max() < 4.5
    assert deviation.square().mean() < 2.0
    wrong = ((-found.mean(0) - exact).abs() / error.clamp_min(1e-15))[error > 1e-12]
    assert wrong.max() > 20, "a wrong sign must be noticed"


def test_straight_through_is_biased() -> None:
    """DADA's estimator does not tend to the exact gradient: off by more than its length, at a cosine of 0.40."""
    toy = Toy()
    v = torch.autograd.grad(toy.validation(toy.theta), toy.theta)[0]
    exact = torch.cat([part.flatten() for part in exact_gradient(toy, v)])
    random = torch.Generator().manual_seed(3)

    def loss(x: Tensor) -> Tensor:
        return ((x @ toy.theta).tanh() - toy.y).square().mean()

    found = []
    for _ in range(1500):
        sample, gates = toy.distribution.sample_relaxed(random, 0.5)
        x, slots = toy.x, []
        for slot in range(2):
            chosen = [field[0, slot : slot + 1] for field in (sample.op, sample.magnitude)]
            value = toy.distribution.table[chosen[0], chosen[1]]
            operated = x + value if int(chosen[0]) == 0 else x * value
            slots.append((x, operated, sample.applied[0, slot]))
            x = operated if sample.applied[0, slot] else x
        sensitivity = gate_sensitivity(pixel_gradient(loss, x, [toy.theta], [v]), slots)
        objective = straight_through_gradient(gates.unsqueeze(0), sensitivity.unsqueeze(0), ETA)
        gradient = torch.autograd.grad(objective, list(toy.distribution.parameters()))
        found.append(torch.cat([part.flatten() for part in gradient]))
    rows = torch.stack(found)
    error = rows.std(0) / len(rows) ** 0.5
    deviation = (rows.mean(0) - exact).abs() / error.clamp_min(1e-15)
    bias = float((rows.mean(0) - exact).norm() / exact.norm())
    cosine = float(torch.cosine_similarity(rows.mean(0), exact, dim=0))
    assert deviation[error > 1e-12].max() > 8
    assert bias == pytest.approx(BIAS, abs=0.1)
    assert cosine == pytest.approx(0.40, abs=0.1)


BIAS = 1.13
"""|mean - exact| / |exact| of the straight-through estimator on the toy problem; stated in docs/estimators.md."""


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


def test_group_norms_take_maps_with_the_channels_last() -> None:
    """As convolutions give them; PyTorch 2.11's forward-mode rule takes the channels first alone."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(), nn.Linear(144, 3)).double()
    network, given = network.to(memory_format=torch.channels_last), []
    network[1].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].stride()))
    x, y = torch.randn(5, 3, 8, 8, dtype=torch.float64), torch.randint(3, (5,))
    x, theta = x.contiguous(memory_format=torch.channels_last), dict(network.named_parameters())
    v = [torch.randn_like(weight) for weight in theta.values()]

    def losses(weights: dict[str, Tensor]) -> Tensor:
        return cross_entropy(functional_call(network, weights, (x,)), y, reduction="none")

    rewards = directional_derivative(losses, theta, v)
    assert given[0][1] == 1
    for b in range(5):
        gradient = torch.autograd.grad(losses(theta)[b], list(theta.values()))
        torch.testing.assert_close(rewards[b], inner_product(v, gradient), rtol=1e-10, atol=1e-13)


def test_rewards_along_a_path_of_the_supernet_equal_a_loop_over_images() -> None:
    """Batch norm in training mode, pools, dilated and separable convolutions: relative error under 1e-10."""
    torch.manual_seed(0)
    network = SuperNet(4, channels=2, layers=3).double().to(memory_format=torch.channels_last)
    made = ArchitectureDistribution(generator=torch.Generator().manual_seed(1)).double()
    z = made.sample(torch.Generator().manual_seed(5), 1.0)
    x, y = torch.randn(5, 3, 8, 8, dtype=torch.float64), torch.randint(4, (5,))
    theta = network.active(z)
    v = [torch.randn_like(weight) for weight in theta.values()]

    def losses(weights: dict[str, Tensor]) -> Tensor:
        return cross_entropy(functional_call(network, weights, (x, z)), y, reduction="none")

    rewards = directional_derivative(losses, theta, v)
    for b in range(5):
        gradient = torch.autograd.grad(losses(dict(theta))[b], list(theta.values()))
        exact = inner_product(v, gradient)
        assert abs(float((rewards[b] - exact) / exact)) < 1e-10
    with torch.no_grad():
        at_theta = losses(dict(theta))
        difference = finite_difference(lambda: losses(dict(theta)), list(theta.values()), v, at_theta)
    torch.testing.assert_close(difference, rewards, rtol=1e-2, atol=1e-2 * float(rewards.abs().max()))


def test_networks_with_attention_have_rewards_too() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(
        img_size=8, patch_size=4, embed_dim=8, depth=1, num_heads=2, num_classes=3, mlp_ratio=1
    ).double()
    x, y = torch.randn(3, 3, 8, 8, dtype=torch.float64), torch.arange(3)
    theta = dict(network.named_parameters())
    v = [torch.randn_like(weight) for weight in theta.values()]

    def losses(weights: dict[str, Tensor]) -> Tensor:
        return cross_entropy(functional_call(network, weights, (x,)), y, reduction="none")

    rewards = directional_derivative(losses, theta, v)
    for b in range(3):
        gradient = torch.autograd.grad(losses(theta)[b], list(theta.values()))
        torch.testing.assert_close(rewards[b], inner_product(v, gradient), rtol=1e-9, atol=1e-12)
    assert pixel_gradient(lambda images: cross_entropy(network(images), y), x, list(theta.values()), v).abs().max() > 0


def test_finite_differences_leave_the_weights_alone() -> None:
    theta = [torch.randn(4, requires_grad=True), torch.randn(3, 2, requires_grad=True)]
    before = [weight.detach().clone() for weight in theta]
    v = [torch.full_like(weight, 2.0) for weight in theta]

    def value() -> Tensor:
        return (theta[0].detach().sum() + theta[1].detach().sum()).double().view(1)

    torch.testing.assert_close(
        finite_difference(value, theta, v, value()), torch.tensor([20.0], dtype=torch.float64), rtol=0.01, atol=0
    )
    assert all(torch.equal(weight, start) for weight, start in zip(theta, before, strict=True))


def test_pixel_gradients_are_those_of_the_reward() -> None:
    """d <v, gradient> / d pixel by central differences in float64."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Tanh(), nn.Flatten(),
                            nn.Linear(4 * 9, 3)).double()  # fmt: skip
    x, y = torch.randn(4, 3, 5, 5, dtype=torch.float64), torch.randint(3, (4,))
    theta = list(network.parameters())
    v = [torch.randn_like(weight) for weight in theta]

    def reward(images: Tensor) -> Tensor:
        return inner_product(v, torch.autograd.grad(cross_entropy(network(images), y), theta))

    analytic = pixel_gradient(lambda images: cross_entropy(network(images), y), x, theta, v)
    for index in range(0, x.numel(), 37):
        step = torch.zeros(x.numel(), dtype=torch.float64)
        step[index] = 1e-5
        ends = [reward(x + sign * step.view_as(x)) for sign in (1, -1)]
        torch.testing.assert_close(analytic.flatten()[index], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-9)


def test_leave_one_out_over_a_share_uses_the_total_of_all() -> None:
    rewards = torch.tensor([1.0, 4.0, -2.0, 8.0], dtype=torch.float64)
    total = torch.stack([rewards.sum(), rewards.new_tensor(4)])
    torch.testing.assert_close(leave_one_out(rewards[:2], total), leave_one_out(rewards)[:2])


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
