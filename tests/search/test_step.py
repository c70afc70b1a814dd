"""One iteration of Algorithm 1 against the same iteration written out plainly, and what it must leave alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from daas.search.architecture import ArchitectureDistribution
from daas.search.augmentation import AugmentationDistribution
from daas.search.state import AugmentationMethod, Preparation, Search
from daas.search.step import iteration
from daas.search.supernet import SuperNet
from daas.seeds import generator

ETA, TAU = 0.05, 2.0


def make(per_image: bool = False, architectures: int = 2, policies: int = 2, seed: int = 0) -> Search:
    torch.manual_seed(seed)
    network = SuperNet(3, channels=2, layers=3, nodes=2).to(memory_format=torch.channels_last)
    architecture = ArchitectureDistribution(2, generator=generator(seed, 1))
    augmentation = AugmentationDistribution(generator=generator(seed, 2))
    return Search(
        network=network,
        preparation=Preparation((0.4, 0.4, 0.4), (0.3, 0.3, 0.3), 1, 0.5),
        weights=torch.optim.SGD(network.parameters(), ETA, momentum=0.9, weight_decay=0.01),
        architecture=architecture,
        architecture_optimizer=torch.optim.SGD(architecture.parameters(), 1.0),
        augmentation=augmentation,
        augmentation_optimizer=torch.optim.SGD(augmentation.parameters(), 1.0),
        architectures=architectures,
        policies=policies,
        method=AugmentationMethod("per-image" if per_image else "policy-gradient", baseline=per_image),
        clip_grad=0.0,
        seed=5,
    )


def batch(seed: int) -> tuple[Tensor, Tensor]:
    random = generator(seed)
    images = torch.randint(256, (8, 3, 12, 12), generator=random, dtype=torch.uint8)
    return images, torch.randint(3, (8,), generator=random)


def test_unsampled_weights_and_their_momentum_do_not_move_by_one_bit() -> None:
    search = make(architectures=1)
    for step in range(3):
        iteration(search, batch(1), batch(2), step, ETA, TAU, True)
    before = {name: weight.detach().clone() for name, weight in search.network.named_parameters()}
    momentum = {
        name: search.weights.state[weight]["momentum_buffer"].clone()
        for name, weight in search.network.named_parameters()
        if search.weights.state.get(weight)
    }
    assert search.architecture is not None
    z = search.architecture.sample(generator(5, 7, 0, 0), TAU)  # the sample that iteration 7 will take
    active = set(search.network.active(z))
    iteration(search, batch(1), batch(2), 7, ETA, TAU, True)
    for name, weight in search.network.named_parameters():
        if name in active:
            assert not torch.equal(weight, before[name])
        else:
            assert torch.equal(weight, before[name])
            if name in momentum:
                assert torch.equal(search.weights.state[weight]["momentum_buffer"], momentum[name])
    assert len(momentum) > len(active)


@pytest.mark.parametrize("per_image", [False, True])
def test_an_iteration_is_algorithm_1(per_image: bool) -> None:
    """theta by eq. 13, alpha and beta by eq. 12, gamma by eq. 9, each written out with whole-network copies."""
    search, plain = make(per_image), make(per_image)
    train, val = batch(1), batch(2)
    iteration(search, train, val, 3, ETA, TAU, True)

    network, preparation = plain.network, plain.preparation
    assert plain.architecture is not None
    assert plain.augmentation is not None
    theta = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    mean_gradient = {name: torch.zeros_like(weight) for name, weight in theta.items()}
    alpha_beta = [torch.zeros_like(p) for p in plain.architecture.parameters()]
    gamma = [torch.zeros_like(p) for p in plain.augmentation.parameters()]
    for i in range(2):
        z = plain.architecture.sample(generator(5, 3, 0, i), TAU)
        passes = []
        for j in range(2):
            sample = plain.augmentation.sample(8 if per_image else 1, generator(5, 3, 1, i, j))
            draw = plain.augmentation.to_draw(sample, 8, generator(5, 3, 2, i, j))
            images = preparation.augment(train[0], draw, generator(5, 3, 3, i, j))
            losses = cross_entropy(network(images, z), train[1], reduction="none")
            rows = losses.unbind() if per_image else [losses.mean()]
            passes.append((sample, [gradients(row, network) for row in rows], gradients(losses.mean(), network)))
        g = {name: (passes[0][2][name] + passes[1][2][name]) / 2 for name in theta}
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.copy_(theta[name] - ETA * g[name])
        v = gradients(cross_entropy(network(preparation.normalize(val[0]), z), val[1]), network)
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.copy_(theta[name])
        rewards = torch.stack([inner(v, row) for _, rows, _ in passes for row in rows])
        if per_image:
            n = len(rewards)
            rewards = torch.stack([rewards[k] - (rewards.sum() - rewards[k]) / (n - 1) for k in range(n)])
        log_prob = torch.cat([plain.augmentation.log_prob(sample) for sample, _, _ in passes])
        objective = -ETA * (rewards * log_prob).mean() / 2
        for k, part in enumerate(torch.autograd.grad(objective, list(plain.augmentation.parameters()))):
            gamma[k] += part
        loss = cross_entropy(network(preparation.normalize(val[0]), z, gated=True), val[1]) / 2
        for k, part in enumerate(torch.autograd.grad(loss, list(plain.architecture.parameters()))):
            alpha_beta[k] += part
        for name in theta:
            mean_gradient[name] += g[name] / 2

    for name, weight in search.network.named_parameters():
        moved = mean_gradient[name] != 0
        expected = theta[name] - ETA * (mean_gradient[name] + 0.01 * theta[name]) if moved.any() else theta[name]
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=1e-6)
    assert search.architecture is not None
    assert search.augmentation is not None
    for after, before, step in zip(
        search.architecture.parameters(), plain.architecture.parameters(), alpha_beta, strict=True
    ):
        torch.testing.assert_close(after, before - step, rtol=1e-3, atol=1e-6)
    largest = max(float(step.abs().max()) for step in gamma)
    assert largest > 0
    for after, before, step in zip(
        search.augmentation.parameters(), plain.augmentation.parameters(), gamma, strict=True
    ):
        torch.testing.assert_close(after - before, -step, rtol=1e-2, atol=2e-3 * largest)


def gradients(loss: Tensor, network: SuperNet) -> dict[str, Tensor]:
    weights = dict(network.named_parameters())
    found = torch.autograd.grad(loss, list(weights.values()), retain_graph=True, allow_unused=True)
    return {
        name: torch.zeros_like(weight) if part is None else part
        for (name, weight), part in zip(weights.items(), found, strict=True)
    }


def inner(a: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()


def test_the_warm_up_leaves_gamma_alone() -> None:
    search = make()
    assert search.augmentation is not None
    before = [p.detach().clone() for p in search.augmentation.parameters()]
    iteration(search, batch(1), batch(2), 0, ETA, TAU, False)
    assert all(torch.equal(p, b) for p, b in zip(search.augmentation.parameters(), before, strict=True))


@pytest.mark.parametrize("change", [{"per_image": True}, {"architectures": 3}, {"policies": 1}])
def test_every_choice_changes_the_step(change: dict[str, int]) -> None:
    results = []
    for search in (make(), make(**change)):
        iteration(search, batch(1), batch(2), 0, ETA, TAU, True)
        assert search.augmentation is not None
        results.append(search.augmentation.pi.detach().clone())
    assert not torch.allclose(*results, rtol=1e-4, atol=0)


def test_clipping_limits_the_norm_of_the_weights_step() -> None:
    search = make()
    search.clip_grad = 1e-3
    search.weights = torch.optim.SGD(search.network.parameters(), 1.0)
    before = [p.detach().clone() for p in search.network.parameters()]
    iteration(search, batch(1), batch(2), 0, ETA, TAU, False)
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(search.network.parameters(), before, strict=True)])
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-2)
