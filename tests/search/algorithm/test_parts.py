"""The policies of an architecture in one batch: everything that a step does is that of one pass per policy."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import daas
from daas.errors import BadInput
from daas.models.start import Start
from daas.search.algorithm.estimators import PolicyGradient
from daas.search.algorithm.parts import PerPart, why_not_joined
from daas.search.algorithm.state import Moment, Preparation, State
from daas.search.algorithm.step import iteration
from daas.search.spaces.cells import PRIMITIVE_SETS, ArchEstimator, ArchitectureDistribution
from daas.search.spaces.policies import AugmentationDistribution
from daas.search.spaces.supernet import FixedNetwork, SuperNet
from daas.seeds import generator

ETA, TAU = 0.05, 2.0
EXACT = {"rtol": 1e-9, "atol": 1e-12}


class Exact(Preparation):
    """Images in float64, so that what is left of a difference is a mistake."""

    def augment(self, images: Tensor, *given: Any) -> Tensor:
        return super().augment(images, *given).double()

    def normalize(self, images: Tensor) -> Tensor:
        return super().normalize(images).double()


def small(*extra: nn.Module) -> nn.Module:
    """Batch norm with a scale and a shift, twice, and norms of single images."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(),
        *extra, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 16), nn.BatchNorm1d(16), nn.Linear(16, 3),
    )  # fmt: skip


def state(network: SuperNet | FixedNetwork, arch: ArchEstimator | None, rate: float | None, **method: Any) -> State:
    network = network.double()
    architecture = None if arch is None else ArchitectureDistribution(2, PRIMITIVE_SETS["darts"], generator(1), arch)
    augmentation = AugmentationDistribution(generator=generator(2), rate=rate)
    return State(
        network=network,
        preparation=Exact((0.4, 0.4, 0.4), (0.3, 0.3, 0.3), 1, 0.5),
        weights=torch.optim.SGD(network.parameters(), ETA, momentum=0.9, weight_decay=0.01),
        architecture=architecture,
        architecture_optimizer=None if architecture is None else torch.optim.SGD(architecture.parameters(), 1.0),
        augmentation=augmentation,
        augmentation_optimizer=torch.optim.SGD(augmentation.parameters(), 1.0),
        architectures=1 if arch in (None, "darts", "gdas") else 2,
        estimator=PolicyGradient(**method),
        clip_grad=5.0,
        seed=5,
    )


def batch(seed: int, size: int = 4) -> tuple[Tensor, Tensor]:
    random = generator(seed)
    images = torch.randint(256, (size, 3, 10, 10), generator=random, dtype=torch.uint8)
    return images, torch.randint(3, (size,), generator=random)


def network_of(arch: ArchEstimator | None) -> SuperNet | FixedNetwork:
    torch.manual_seed(3)
    if arch is None:
        return FixedNetwork(small())
    return SuperNet(3, channels=2, layers=3, nodes=2, primitives=PRIMITIVE_SETS["darts"])


@pytest.mark.parametrize(
    ("arch", "rate", "method"),
    [
        ("gumbel", None, {"policies": 3}),
        ("gdas", None, {"policies": 2}),
        ("darts", None, {"policies": 2}),
        ("gumbel", 0.8, {"policies": 2, "confidence_penalty": 0.5}),
        (None, None, {"policies": 3}),
        (None, 0.8, {"policies": 3}),
        (None, None, {"policies": 2, "confidence_penalty": 0.5}),
        (None, None, {"policies": 5, "baseline": False}),
    ],
)
def test_a_step_is_that_of_one_pass_per_policy(
    arch: ArchEstimator | None, rate: float | None, method: dict[str, Any]
) -> None:
    """Rewards, gradients of alpha, beta and gamma, weights and momentum, over two iterations in float64."""
    before = copy.deepcopy(network_of(arch).double())
    searches = [state(network_of(arch), arch, rate, batched=batched, **method) for batched in (False, True)]
    for step in range(2):
        apart, joined = (iteration(s, batch(step), batch(9 + step), Moment(step, ETA, TAU)) for s in searches)
        assert len(apart.rows.train) == method["policies"] * len(joined.rows.train)
        torch.testing.assert_close(torch.cat(joined.rewards), torch.cat(apart.rewards), **EXACT)
        assert torch.cat(apart.rewards).std() > 0
        assert joined.policy_gradient.keys() == apart.policy_gradient.keys()
        for name, gradient in apart.policy_gradient.items():
            torch.testing.assert_close(joined.policy_gradient[name], gradient, **EXACT)
        torch.testing.assert_close(joined.means(torch.device("cpu")), apart.means(torch.device("cpu")))
    first, second = searches
    for name, tensor in first.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], tensor, **EXACT)
    assert any(not torch.equal(a, b) for a, b in zip(first.network.parameters(), before.parameters(), strict=True))
    for part in ("architecture", "augmentation"):
        modules = [getattr(search, part) for search in searches]
        if modules[0] is not None:
            for ours, theirs in zip(modules[1].parameters(), modules[0].parameters(), strict=True):
                torch.testing.assert_close(ours, theirs, **EXACT)
    momenta = [[s.weights.state[w]["momentum_buffer"] for w in s.weights.state] for s in searches]
    for ours, theirs in zip(momenta[1], momenta[0], strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


class Keeping(nn.Module):
    """A batch norm of one's own, with running statistics that a search does not take away."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.mean, self.var, None, None, self.training, 0.3)  # type: ignore[arg-type]  # buffers


def test_running_statistics_move_policy_by_policy() -> None:
    torch.manual_seed(3)
    network = small(Keeping(8))
    searches = [state(FixedNetwork(network), None, None, policies=3, batched=batched) for batched in (False, True)]
    for search in searches:
        iteration(search, batch(1), batch(2), Moment(0, ETA, TAU))
    kept = [dict(search.network.named_buffers()) for search in searches]
    assert len(kept[0]) == 2
    for name, buffer in kept[0].items():
        torch.testing.assert_close(kept[1][name], buffer, **EXACT)
        assert not torch.allclose(buffer, buffer.round())


def test_norms_of_other_rows_stay_as_they_are() -> None:
    x = torch.randn(6, 4, 5, 5, generator=generator(0))
    with PerPart(3, rows=12):
        assert torch.equal(F.batch_norm(x, None, None, training=True), F.batch_norm(x, None, None, training=True))
        plain = F.batch_norm(x, None, None, training=True)
    assert torch.equal(plain, F.batch_norm(x, None, None, training=True))
    with PerPart(3, rows=6):
        assert not torch.allclose(F.batch_norm(x, None, None, training=True), plain)
        fixed = F.batch_norm(x, torch.zeros(4), torch.ones(4), training=False)
    assert torch.equal(fixed, F.batch_norm(x, torch.zeros(4), torch.ones(4), training=False))


class Centred(nn.Module):
    """Takes away the mean over the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Swapped(nn.Module):
    """A mean over the batch behind a scale of zero: the logits do not show it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = Centred(), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.inner(x)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ((), ""),
        ((nn.Dropout(0.1),), "Dropout draws at random in training"),
        ((nn.Dropout(0.0),), ""),
        ((nn.Sequential(nn.Dropout2d(0.01), nn.ReLU()),), "Dropout2d draws at random in training"),
        ((Centred(),), "Centred mixes the images of a batch in another way than batch norm does"),
        ((Swapped(),), "Centred mixes the images of a batch in another way than batch norm does"),
    ],
)
def test_networks_that_cannot_are_named(extra: tuple[nn.Module, ...], said: str) -> None:
    torch.manual_seed(0)
    network = FixedNetwork(small(*extra))
    streams, weights = torch.get_rng_state(), copy.deepcopy(network.state_dict())
    assert why_not_joined(network, 12) == said
    assert torch.equal(torch.get_rng_state(), streams)
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())
    assert not network.model[0]._forward_hooks  # type: ignore[index]  # a Sequential
    if said:
        settings = daas.Search(small(*extra), policy_passes="batched", num_classes=3)
        with pytest.raises(BadInput, match=rf"{said}. Use --policy-passes sequential"):
            settings.step(batch(1), batch(2))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "shake_shake26_2x32d_cifar", "test_vit"])
def test_timms_models(name: str) -> None:
    from daas.models.start import create

    kwargs = {"img_size": 32} if "vit" in name else {}
    network = FixedNetwork(create(name, 3, Start(), None, **kwargs))
    drawn = name.startswith("shake")
    assert ("draws at random" in why_not_joined(network, 32)) == drawn
    assert drawn or not why_not_joined(network, 32)


def test_all_candidates_of_a_supernet_can() -> None:
    assert why_not_joined(SuperNet(3, 2, 3, 2, PRIMITIVE_SETS["darts"]), 12) == ""


def test_the_option_says_what_it_goes_with() -> None:
    with pytest.raises(BadInput, match="--policy-passes batched goes with --aug-estimator policy-gradient"):
        daas.Search(small(), policy_passes="batched", estimator="per-image", num_classes=3)
    with pytest.raises(BadInput, match="policy_passes belongs to the estimator"):
        daas.Search(small(), policy_passes="batched", estimator=PolicyGradient(2), num_classes=3)


def test_a_search_takes_the_form_that_is_asked_for() -> None:
    """From the option and from the object alike; by default one pass after the other."""
    said = {}
    for passes in ("", "sequential", "batched", "object"):
        how: dict[str, Any] = {"policy_passes": passes} if passes else {}
        if passes == "object":
            how = {"estimator": PolicyGradient(batched=True)}
        torch.manual_seed(4)
        search = daas.Search(small(), num_classes=3, crop_padding=1, device="cpu", **how)
        for step in range(2):
            seen = search.step(batch(step), batch(5 + step))
        said[passes] = seen
        assert search._state is not None
        assert isinstance(search._state.estimator, PolicyGradient)
        assert search._state.estimator.batched == (passes in ("batched", "object"))
    assert said[""] == said["sequential"]
    assert said["batched"] == said["object"]
    assert said["batched"] == pytest.approx(said[""], rel=1e-3)
