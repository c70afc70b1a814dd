"""One iteration of Algorithm 1 against the same iteration written out plainly, and what it must leave alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from daas.augment import DAASPolicy
from daas.augment.draw import Draw
from daas.augment.ops import apply
from daas.errors import BadInput
from daas.search.algorithm.estimators import NAMED, AugEstimator, PerImage, PolicyGradient
from daas.search.algorithm.estimators.straight_through import RELAXATION_TEMPERATURE
from daas.search.algorithm.state import Moment, Preparation, State
from daas.search.algorithm.step import iteration
from daas.search.spaces.cells import PRIMITIVE_SETS, ArchEstimator, ArchitectureDistribution
from daas.search.spaces.policies import AugmentationDistribution
from daas.search.spaces.supernet import FixedNetwork, SuperNet
from daas.seeds import generator

ETA, TAU = 0.05, 2.0


def make(
    estimator: AugEstimator = "policy-gradient",
    architectures: int = 2,
    policies: int = 2,
    seed: int = 0,
    arch_estimator: ArchEstimator = "gumbel",
    primitives: tuple[str, ...] = PRIMITIVE_SETS["paper"],
    shared: bool = False,
    amp: bool = False,
    **method: Any,
) -> State:
    torch.manual_seed(seed)
    network = SuperNet(3, channels=2, layers=3, nodes=2, primitives=primitives).to(memory_format=torch.channels_last)
    architecture = ArchitectureDistribution(2, primitives, generator(seed, 1), arch_estimator)
    augmentation = AugmentationDistribution(generator=generator(seed, 2), shared=shared)
    if estimator == "policy-gradient":
        method.setdefault("baseline", False)
    return State(
        network=network,
        preparation=Preparation((0.4, 0.4, 0.4), (0.3, 0.3, 0.3), 1, 0.5),
        weights=torch.optim.SGD(network.parameters(), ETA, momentum=0.9, weight_decay=0.01),
        architecture=architecture,
        architecture_optimizer=torch.optim.SGD(architecture.parameters(), 1.0),
        augmentation=augmentation,
        augmentation_optimizer=torch.optim.SGD(augmentation.parameters(), 1.0),
        architectures=architectures,
        estimator=NAMED[estimator](policies=policies, **method),
        clip_grad=0.0,
        seed=5,
        amp=amp,
    )


def batch(seed: int) -> tuple[Tensor, Tensor]:
    random = generator(seed)
    images = torch.randint(256, (8, 3, 12, 12), generator=random, dtype=torch.uint8)
    return images, torch.randint(3, (8,), generator=random)


def test_unsampled_weights_and_their_momentum_do_not_move_by_one_bit() -> None:
    search = make(architectures=1)
    for step in range(3):
        iteration(search, batch(1), batch(2), Moment(step, ETA, TAU, True))
    before = {name: weight.detach().clone() for name, weight in search.network.named_parameters()}
    momentum = {
        name: search.weights.state[weight]["momentum_buffer"].clone()
        for name, weight in search.network.named_parameters()
        if search.weights.state.get(weight)
    }
    assert search.architecture is not None
    z = search.architecture.sample(generator(5, 7, 0, 0), TAU)  # the sample that iteration 7 will take
    active = set(search.network.active(z))
    iteration(search, batch(1), batch(2), Moment(7, ETA, TAU, True))
    for name, weight in search.network.named_parameters():
        if name in active:
            assert not torch.equal(weight, before[name])
        else:
            assert torch.equal(weight, before[name])
            if name in momentum:
                assert torch.equal(search.weights.state[weight]["momentum_buffer"], momentum[name])
    assert len(momentum) > len(active)


@pytest.mark.parametrize(
    ("estimator", "method"),
    [
        ("policy-gradient", {}),
        ("policy-gradient", {"baseline": True}),
        ("per-image", {}),
        ("per-image", {"reward_batches": 2}),
        ("per-image", {"baseline": False}),
        ("straight-through", {}),
        ("uniform", {}),
    ],
)
def test_an_iteration_is_algorithm_1(estimator: AugEstimator, method: dict[str, Any]) -> None:
    """theta by eq. 13, alpha and beta by eq. 12, gamma by eq. 9, each written out with whole-network copies."""
    search, plain = make(estimator, **method), make(estimator, **method)
    per_image, relaxed = estimator in ("per-image", "uniform"), estimator == "straight-through"
    train, val = batch(1), batch(2)
    iteration(search, train, val, Moment(3, ETA, TAU, True))

    network, preparation = plain.network, plain.preparation
    assert plain.architecture is not None
    assert plain.augmentation is not None
    theta = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    mean_gradient = {name: torch.zeros_like(weight) for name, weight in theta.items()}
    alpha_beta = [torch.zeros_like(p) for p in plain.architecture.parameters()]
    gamma = [torch.zeros_like(p) for p in plain.augmentation.parameters()]
    everything: list[tuple[Tensor, Tensor]] = []
    for i in range(2):
        z = plain.architecture.sample(generator(5, 3, 0, i), TAU)
        passes = []
        for j in range(2 + method.get("reward_batches", 0)):
            streams = [generator(5, 3, 1, i, j), generator(5, 3, 2, i, j), generator(5, 3, 3, i, j if j < 2 else 0)]
            if relaxed:
                images, log_prob = relaxed_images(plain, train[0], *streams)
            else:
                sample = plain.augmentation.sample(8 if per_image else 1, streams[0])
                draw = plain.augmentation.to_draw(sample, 8, streams[1])
                images, log_prob = preparation.augment(train[0], draw, streams[2]), plain.augmentation.log_prob(sample)
            losses = cross_entropy(network(images, z), train[1], reduction="none")
            rows = losses.unbind() if estimator == "per-image" else [losses.mean()]
            passes.append((log_prob, [gradients(row, network) for row in rows], gradients(losses.mean(), network)))
        g = {name: (passes[0][2][name] + passes[1][2][name]) / 2 for name in theta}
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.copy_(theta[name] - ETA * g[name])
        v = gradients(cross_entropy(network(preparation.normalize(val[0]), z), val[1]), network)
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.copy_(theta[name])
        rewards = torch.stack([inner(v, row) for _, rows, _ in passes for row in rows])
        if relaxed:  # the images carry the gradient: no score function
            rewards = torch.stack(
                [
                    inner(v, gradients(cross_entropy(network(x, z), train[1]), network, create_graph=True))
                    for x in (
                        relaxed_images(plain, train[0], *(generator(5, 3, use, i, j) for use in (1, 2, 3)))[0]
                        for j in range(2)
                    )
                ]
            )
            for k, part in enumerate(torch.autograd.grad(-ETA * rewards.mean() / 2, parameters(plain))):
                gamma[k] += part
        elif estimator != "uniform":
            everything.append((rewards.detach(), torch.cat([log_prob for log_prob, _, _ in passes])))
        loss = cross_entropy(network(preparation.normalize(val[0]), z, gated=True), val[1]) / 2
        for k, part in enumerate(torch.autograd.grad(loss, list(plain.architecture.parameters()))):
            alpha_beta[k] += part
        for name in theta:
            mean_gradient[name] += g[name] / 2
    if estimator == "policy-gradient":  # the baseline is taken over all N * M
        everything = [(torch.cat([r for r, _ in everything]), torch.cat([p for _, p in everything]))]
    for rewards, log_prob in everything:
        n = len(rewards)
        assert isinstance(plain.estimator, PerImage | PolicyGradient)
        if plain.estimator.baseline:
            others = torch.stack([(rewards.sum() - rewards[k]) / (n - 1) for k in range(n)])
            if per_image:  # the same image's other draws have a say of (draws - 1) / draws
                draws = n // 8
                same = torch.stack([(rewards[k % 8 :: 8].sum() - rewards[k]) / (draws - 1) for k in range(n)])
                others = others / draws + same * (draws - 1) / draws
            rewards = rewards - others
        objective = -ETA * (rewards * log_prob).mean() / len(everything)
        for k, part in enumerate(torch.autograd.grad(objective, parameters(plain))):
            gamma[k] += part

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
    assert largest > 0 or estimator == "uniform"
    for after, before, step in zip(parameters(search), parameters(plain), gamma, strict=True):
        torch.testing.assert_close(after - before, -step, rtol=1e-2, atol=2e-3 * largest)


def parameters(search: State) -> list[Tensor]:
    assert search.augmentation is not None
    return list(search.augmentation.parameters())


def relaxed_images(
    search: State, images: Tensor, policy: torch.Generator, signs: torch.Generator, crops: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The batch under a relaxed policy, whose pixels carry the gradient that DADA defines, written out plainly."""
    assert search.augmentation is not None
    sample, gates = search.augmentation.sample_relaxed(policy, RELAXATION_TEMPERATURE)
    draw = search.augmentation.to_draw(sample.all_applied(), len(images), signs)
    levels = search.preparation.crop_flip(images, crops)
    x = levels.float() / 255.0
    for slot in range(2):
        operation, applied, magnitude = gates[slot]
        operated = apply(levels, Draw(draw.op[:, [slot]], draw.value[:, [slot]], draw.center[:, [slot]]))
        o = operated.float() / 255.0 + (x - x.detach()) + (magnitude - magnitude.detach())
        x = operation * (applied * o + (1 - applied) * x)
        levels = operated if bool(applied > 0.5) else levels
    return ((x - 0.4) / 0.3).contiguous(memory_format=torch.channels_last), gates


def gradients(loss: Tensor, network: SuperNet, create_graph: bool = False) -> dict[str, Tensor]:
    weights = dict(network.named_parameters())
    found = torch.autograd.grad(
        loss, list(weights.values()), retain_graph=True, allow_unused=True, create_graph=create_graph
    )
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
    iteration(search, batch(1), batch(2), Moment(0, ETA, TAU, False))
    assert all(torch.equal(p, b) for p, b in zip(search.augmentation.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("start", "change"),
    [
        ({}, {"estimator": "per-image"}),
        ({}, {"estimator": "straight-through"}),
        ({}, {"estimator": "uniform"}),
        ({}, {"architectures": 3}),
        ({}, {"policies": 1}),
        ({}, {"baseline": True}),
        ({}, {"shared": True}),
        ({}, {"amp": True}),
        ({}, {"arch_estimator": "gdas"}),
        ({}, {"arch_estimator": "darts"}),
        ({}, {"primitives": PRIMITIVE_SETS["darts"]}),
        ({"estimator": "per-image"}, {"baseline": False}),
        ({"estimator": "per-image"}, {"reward": "influence"}),
        ({"estimator": "per-image"}, {"reward_batches": 1}),
        ({"estimator": "per-image", "reward": "influence"}, {"reward_batches": 1}),
        ({"estimator": "per-image"}, {"amp": True}),
    ],
)
def test_every_choice_changes_the_step(start: dict[str, Any], change: dict[str, Any]) -> None:
    results = []
    for search in (make(**start), make(**start, **change)):
        iteration(search, batch(1), batch(2), Moment(0, ETA, TAU, True))
        assert search.augmentation is not None
        results.append(search.augmentation.operation_share())
    assert not torch.allclose(*results, rtol=1e-6, atol=0)


def test_finite_differences_are_another_step_close_to_the_exact_one() -> None:
    steps = []
    for reward in ("jvp", "fd"):
        search = make("per-image", reward=reward)
        steps.append(iteration(search, batch(1), batch(2), Moment(0, ETA, TAU, True)).policy_gradient["pi"])
    assert not torch.equal(*steps)
    assert (steps[0] - steps[1]).norm() < 0.05 * steps[0].norm()


def test_a_given_policy_changes_the_step_without_sampling() -> None:
    results = []
    for policy in (None, DAASPolicy.load("randaugment")):
        search = make(policies=1)
        search.given_policy, search.augmentation, search.augmentation_optimizer = policy, None, None
        iteration(search, batch(1), batch(2), Moment(0, ETA, TAU, False))
        results.append(torch.cat([weight.detach().flatten() for weight in search.network.parameters()]))
    assert not torch.allclose(*results)


def test_darts_moves_all_weights_and_gdas_those_of_one_operation_per_edge() -> None:
    counts = {}
    for estimator in ("darts", "gdas"):
        search = make(arch_estimator=estimator, architectures=1)
        before = [p.detach().clone() for p in search.network.parameters()]
        iteration(search, batch(1), batch(2), Moment(0, ETA, TAU, False))
        counts[estimator] = sum(not torch.equal(p, b) for p, b in zip(search.network.parameters(), before, strict=True))
        total = len(before)
    assert counts["darts"] == total
    assert counts["gdas"] < 0.5 * total


def test_clipping_limits_the_norm_of_the_weights_step() -> None:
    search = make()
    search.clip_grad = 1e-3
    search.weights = torch.optim.SGD(search.network.parameters(), 1.0)
    before = [p.detach().clone() for p in search.network.parameters()]
    iteration(search, batch(1), batch(2), Moment(0, ETA, TAU, False))
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(search.network.parameters(), before, strict=True)])
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-2)


def test_a_network_that_cannot_be_differentiated_twice_is_named() -> None:
    search = make("straight-through")
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardsigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    search.network, search.architecture, search.architectures = FixedNetwork(body), None, 1
    search.weights = torch.optim.SGD(search.network.parameters(), ETA)
    with pytest.raises(BadInput, match=r"hardsigmoid.*another --aug-estimator"):
        iteration(search, batch(1), batch(2), Moment(0, ETA, TAU, True))


class Noisy(nn.Module):
    """A small network with dropout in front of its classifier."""

    def __init__(self) -> None:
        super().__init__()
        body = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.body, self.dropout, self.classifier = nn.Sequential(*body), nn.Dropout(0.5), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.dropout(self.body(x)))
        return logits


def noisy(estimator: AugEstimator, **method: Any) -> State:
    search = make(estimator, **method)
    torch.manual_seed(3)
    search.network, search.architecture, search.architectures = FixedNetwork(Noisy()), None, 1
    search.weights = torch.optim.SGD(search.network.parameters(), ETA)
    return search


def test_a_finite_difference_is_one_of_a_single_draw_of_dropout() -> None:
    rewards = []
    for rule in ("jvp", "fd", "influence"):
        search = noisy("per-image", reward=rule, reward_batches=1)
        rewards.append(torch.cat(iteration(search, batch(1), batch(2), Moment(0, ETA, TAU, True)).rewards))
    assert torch.corrcoef(torch.stack(rewards[:2]))[0, 1] > 0.99
    torch.testing.assert_close(rewards[1], rewards[0], rtol=0.1, atol=0.05 * float(rewards[0].std()))
    assert rewards[2].std() < 10 * rewards[0].std()  # with two draws it would be the noise of a difference over 0.1


def test_validation_has_no_dropout() -> None:
    for estimator in ("policy-gradient", "uniform"):
        search = noisy(estimator)
        images, labels = batch(2)
        x = search.preparation.normalize(images)
        with torch.no_grad():
            assert torch.equal(search.logits(x, None), search.logits(x, None))
            assert not torch.equal(search.logits(x, None, training=True), search.logits(x, None, training=True))
            expected = cross_entropy(search.logits(x, None), labels)
        result = iteration(search, batch(1), batch(2), Moment(0, 0.0, TAU, True))
        assert float(result.rows.val[0][0]) == pytest.approx(float(expected), rel=1e-5)
