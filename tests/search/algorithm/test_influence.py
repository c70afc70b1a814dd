"""Influences are derivatives in the images' weights, foretell a removal, and mend per-image credit under batch norm."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, cross_entropy, one_hot

from daas.search.algorithm.gradients import directional_derivative, finite_difference, inner_product
from daas.search.algorithm.influence import influences
from daas.search.spaces.supernet import FixedNetwork


class WeightedNorm(nn.Module):
    """Batch norm written out, with an image's weight in mean and variance."""

    weights: Tensor

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        shape = (len(x), -1, *(1,) * (x.dim() - 2))
        pixels = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
        share = (self.weights / self.weights.sum()).unsqueeze(1)
        mean = (share * pixels.mean(2)).sum(0)
        centred = pixels - mean[:, None]
        var = (share * centred.square().mean(2)).sum(0)
        y = (centred / (var + self.norm.eps).sqrt()[:, None]).view_as(x)
        return y if self.norm.weight is None else y * self.norm.weight.view(shape[1:]) + self.norm.bias.view(shape[1:])


def network(affine: bool = True) -> nn.Sequential:
    """Smooth, with three batch norms, the last one over vectors."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, affine=affine, track_running_stats=False), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 5, 2), nn.BatchNorm2d(5, affine=affine, track_running_stats=False), nn.Tanh(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(5, affine=affine, track_running_stats=False),
        nn.Linear(5, 3),
    ).double()  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return net


@contextmanager
def written_out(net: nn.Sequential, weights: Tensor) -> Iterator[None]:
    """Within the block the network's batch norms are written out and use the weights."""
    plain = dict(net.named_children())
    for name, module in plain.items():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            written = WeightedNorm(module)
            written.weights = weights
            setattr(net, name, written)
    try:
        yield
    finally:
        for name, module in plain.items():
            setattr(net, name, module)


def batch(count: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(count)
    return torch.randn(count, 3, 8, 8, generator=random).double(), torch.randint(3, (count,), generator=random)


def loss_of(net: nn.Module, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    return lambda: cross_entropy(net(x), y, reduction="none")


@pytest.mark.parametrize("affine", [True, False])
def test_influences_are_derivatives_in_the_images_weights(affine: bool) -> None:
    net, (x, y) = network(affine), batch(7)
    theta = list(net.parameters())
    losses, found, gradients = influences(loss_of(net, x, y), x, theta)
    weights = torch.ones(7, dtype=torch.float64, requires_grad=True)
    with written_out(net, weights):
        wanted_losses = loss_of(net, x, y)()
        *wanted, of_weights = torch.autograd.grad((weights * wanted_losses).mean(), [*theta, weights])
    torch.testing.assert_close(losses, wanted_losses.detach())
    torch.testing.assert_close(found, 7 * of_weights, rtol=1e-10, atol=1e-12)
    for a, b in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_the_gradient_of_the_weights_is_that_of_an_ordinary_pass() -> None:
    net, (x, y) = network(), batch(7)
    theta = list(net.parameters())
    for a, b in zip(
        influences(loss_of(net, x, y), x, theta)[2],
        torch.autograd.grad(loss_of(net, x, y)().mean(), theta),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_without_batch_norm_the_influence_is_the_loss() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).double()
    losses, found, _ = influences(loss_of(net, *batch(5)), batch(5)[0])
    torch.testing.assert_close(found, losses)


@pytest.mark.parametrize("training", [True, False])
def test_statistics_of_something_else_are_left_alone(training: bool) -> None:
    """Running statistics, and batch norms that see more rows than there are images."""
    x = torch.randn(4, 3, 8, 8)
    mean, var = torch.randn(3), torch.rand(3) + 0.5

    def losses() -> Tensor:
        rows = x.repeat(2, 1, 1, 1) if training else x
        return batch_norm(rows, mean.clone(), var.clone(), training=training)[:4].square().mean((1, 2, 3))

    torch.testing.assert_close(influences(losses, x)[1], losses())


def test_an_influence_foretells_what_a_removal_changes() -> None:
    """Of the batch's loss, up to terms of the order of 1 / B."""
    errors = []
    for count in (16, 64):
        net, (x, y) = network(), batch(count)
        found = influences(loss_of(net, x, y), x)[1]
        whole = loss_of(net, x, y)().sum()
        without = [torch.arange(count) != b for b in range(count)]
        removed = torch.stack([whole - loss_of(net, x[rest], y[rest])().sum() for rest in without]).detach()
        errors.append(float((found - removed).norm() / removed.norm()))
    assert errors[1] < 0.03
    assert errors[1] < 0.5 * errors[0]


def test_its_finite_difference_is_the_exact_mixed_derivative() -> None:
    net, (x, y) = network(), batch(6)
    theta = list(net.parameters())
    v = [torch.randn_like(parameter) for parameter in theta]

    def influence() -> Tensor:
        return influences(loss_of(net, x, y), x)[1]

    found = finite_difference(influence, theta, v, influence(), 1e-6)
    weights = torch.ones(6, dtype=torch.float64, requires_grad=True)
    with written_out(net, weights):
        mean = (weights * loss_of(net, x, y)()).mean()
        reward = inner_product(v, torch.autograd.grad(mean, theta, create_graph=True))
        wanted = 6 * torch.autograd.grad(reward, weights)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_credit_by_influence_has_less_bias_than_by_own_loss(record_property: Callable[[str, object], None]) -> None:
    """All 3^6 choices of an operation for each of six images, enumerated; gradient in the logits of the operations."""
    net, (x, y) = network(), batch(6)
    theta = dict(net.named_parameters())
    v = [torch.randn_like(parameter) for parameter in theta.values()]
    operations = torch.stack([x, -x, 2 * x.clamp(-0.5, 0.5) + 1])
    exact, own, of_batch = (torch.zeros(3, dtype=torch.float64) for _ in range(3))
    for choice in itertools.product(range(3), repeat=6):
        chosen = torch.tensor(choice)
        images = operations[chosen, torch.arange(6)]

        def losses(named: dict[str, Tensor], images: Tensor = images) -> Tensor:
            return cross_entropy(torch.func.functional_call(net, named, (images,)), y, reduction="none")

        def influence(images: Tensor = images) -> Tensor:
            return influences(loss_of(net, images, y), images)[1]

        rewards = directional_derivative(losses, theta, v)
        score = (one_hot(chosen, 3) - 1 / 3).double()  # of uniform probabilities
        credit = finite_difference(influence, list(theta.values()), v, influence(), 1e-6)
        exact += rewards.mean() * score.sum(0) / 3**6
        own += (rewards.unsqueeze(1) * score).mean(0) / 3**6
        of_batch += (credit.unsqueeze(1) * score).mean(0) / 3**6
    bias = [float((estimate - exact).norm() / exact.norm()) for estimate in (own, of_batch)]
    record_property("bias of own loss, of influence", bias)
    assert bias[1] < 0.5 * bias[0]


@pytest.mark.parametrize("name", ["resnet10t", "efficientnet_lite0", "daas_cell_cifar"])
def test_influences_in_a_timm_network_add_up_to_the_loss(name: str) -> None:
    """Scaling all weights alike leaves the statistics alone; the networks call batch norm each in its own way."""
    torch.manual_seed(0)
    options = {"genotype": "darts_v2", "channels": 4, "layers": 3} if name.startswith("daas") else {}
    net = FixedNetwork(timm.create_model(name, num_classes=3, drop_path_rate=0.0, **options)).double()
    x, y = batch(6)
    losses, found, _ = influences(loss_of(net, x.repeat(1, 1, 4, 4), y), x)
    torch.testing.assert_close(found.mean(), losses.mean())
    assert (found - losses).norm() > 0.01 * losses.norm()
