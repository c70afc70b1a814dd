"""The probability with which an image gets its policy at all: unbiased, and learned from the same images without it."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

import daas
from daas.search.algorithm.estimators import Credit, PerImage, PolicyGradient
from daas.search.algorithm.estimators.base import Estimator, with_rate
from daas.search.algorithm.gradients import leave_one_out
from daas.search.algorithm.history import History
from daas.search.algorithm.model import Model
from daas.search.algorithm.state import Moment
from daas.search.algorithm.step import iteration
from daas.search.derivation import decide
from daas.search.options import parse
from daas.search.spaces.policies import RATE, AugmentationDistribution, PolicySample
from daas.search.spaces.spread import spread
from daas.seeds import generator
from tests.search.algorithm.test_step import ETA, TAU, batch, make

BARE = 0.4


def toy() -> AugmentationDistribution:
    """One slot, two operations with two magnitudes, everything off its start."""
    table, with_magnitude = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).double(), torch.tensor([True, True])
    found = AugmentationDistribution(1, table, with_magnitude, generator(1), rate=0.7).double()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter += torch.randn(parameter.shape, generator=generator(2), dtype=torch.float64)
    return found


def every() -> PolicySample:
    """All 16 samples of the toy."""
    op, applied, level, on = torch.tensor(list(itertools.product((0, 1), repeat=4))).unbind(1)
    return PolicySample(op[:, None], applied[:, None].bool(), level[:, None], on.bool())


def rewards_of(sample: PolicySample) -> Tensor:
    values = torch.randn(2, 2, generator=generator(3), dtype=torch.float64)[sample.op[:, 0], sample.magnitude[:, 0]]
    return torch.where(sample.effective[:, 0], values, BARE)  # what does nothing is the bare image


def gradient(objective: Tensor, distribution: AugmentationDistribution) -> list[Tensor]:
    return list(torch.autograd.grad(objective, list(distribution.parameters())))


def test_the_estimate_is_unbiased_in_all_parameters() -> None:
    """Over all 256 pairs of samples, against the gradient of the exact mean reward."""
    distribution, sample = toy(), every()
    rewards, sixteen = rewards_of(sample), torch.arange(16)
    # choices that have no effect (of a policy that is off, a magnitude that is not applied) are drawn all the same
    pi, p = distribution.pi.softmax(-1)[0][sample.op[:, 0]], distribution.p_logit.sigmoid()[sample.op[:, 0], 0]
    level = distribution.delta.softmax(-1)[sample.op[:, 0], 0, sample.magnitude[:, 0]]
    rate = distribution.rate_logit.sigmoid()  # type: ignore[union-attr]
    chance = pi * torch.where(sample.applied[:, 0], p, 1 - p) * level * torch.where(sample.on, rate, 1 - rate)  # type: ignore[arg-type]
    assert float(chance.detach().sum()) == pytest.approx(1)
    exact = gradient(-ETA * (chance * rewards).sum(), distribution)
    fixed, total = chance.detach(), [torch.zeros_like(part) for part in exact]
    log_prob, rate_part = distribution.log_prob(sample), distribution.rate_log_prob(sample)
    for a, b in itertools.product(sixteen.tolist(), repeat=2):
        pair = torch.tensor([a, b])
        bare = torch.full((2,), BARE, dtype=torch.float64)
        credit = Credit(log_prob[pair], rewards[pair], rate=rate_part[pair], bare=bare)
        objective = with_rate(credit, leave_one_out(rewards[pair]), ETA)
        parts = torch.autograd.grad(objective, list(distribution.parameters()), retain_graph=True)
        total = [so_far + fixed[a] * fixed[b] * part for so_far, part in zip(total, parts, strict=True)]
    for found, wanted in zip(total, exact, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-12)
    assert abs(float(exact[-1])) > 1e-4


@pytest.mark.parametrize(
    "estimator", [PolicyGradient(2), PerImage(1), PerImage(1, reward="fd"), PerImage(1, reward="influence")]
)
def test_images_without_their_policy_are_what_policies_are_compared_with(estimator: Estimator) -> None:
    search = make()
    search.estimator = estimator
    search.augmentation = AugmentationDistribution(generator=generator(1), rate=0.5)
    with torch.no_grad():
        assert search.augmentation.rate_logit is not None
        search.augmentation.rate_logit.fill_(-50.0)
    model = Model(search, search.sample_architecture(Moment(0, ETA, TAU), 0))
    passes = [model.train(estimator.draw(search, batch(1), (0, 0, j))) for j in range(estimator.policies)]
    credit = estimator.credit(model, passes, model.gradient((search.preparation.normalize(batch(2)[0]), batch(2)[1])))
    assert credit.bare is not None
    assert credit.bare.shape == credit.rewards.shape
    first = len(credit.rewards) // estimator.policies
    assert torch.allclose(credit.bare[:first], credit.rewards[:first], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("estimator", ["policy-gradient", "per-image"])
def test_an_iteration_moves_the_rate_and_notes_what_policies_earn(estimator: str) -> None:
    search = make(estimator, baseline=True)  # type: ignore[arg-type]
    search.augmentation = AugmentationDistribution(generator=generator(1), rate=RATE)
    search.augmentation_optimizer = torch.optim.SGD(search.augmentation.parameters(), 1.0)
    search.history = History(15, 10)
    iteration(search, batch(1), batch(2), Moment(0, ETA, TAU, True))
    assert search.augmentation.rate != pytest.approx(RATE, abs=1e-12)
    assert float(search.history.first[-1, 2]) > 0
    assert search.history.first[-1, 1] == search.history.first[-1, 3] == 0


@pytest.mark.parametrize(("gain", "decided"), [(-1.0, True), (0.0, False)])
def test_a_derived_policy_carries_the_rate(gain: float, decided: bool) -> None:
    distribution, history, random = AugmentationDistribution(shared=True, rate=0.6), History(15, 10), generator(4)
    for _ in range(60):
        sample = distribution.sample(8, random)
        rewards = torch.randn(8, generator=random) + gain * sample.on  # type: ignore[operator]
        history.add([Credit(rewards, rewards, sample, rewards, torch.zeros(8))])
    found = decide(history, distribution)
    rate = pytest.approx(0.6 if decided else RATE)  # the learned one, or where the search began
    assert (found.rate, found.rate_decided) == (rate, decided)
    assert ("with probability 0.60" in found.in_words(distribution)) is decided
    policy = spread(found.distribution(distribution), "a", "b")
    nothing = [sub for sub in policy.sub_policies if not any(op.prob for op in sub.ops)]
    assert sum(sub.weight for sub in nothing) / sum(sub.weight for sub in policy.sub_policies) == pytest.approx(
        0.4 if decided else 1 - RATE
    )
    printed = distribution.derive()
    assert printed.sub_policies[-1].weight == pytest.approx(0.4)
    share = dict(zip(distribution.names, distribution.operation_share().tolist(), strict=True))
    assert printed.operation_share() == pytest.approx(share)


def test_always_is_what_it_was_and_what_learns_nothing_is_refused() -> None:
    assert AugmentationDistribution().rate == 1
    assert AugmentationDistribution().sample(3, generator(0)).on is None
    assert len(list(AugmentationDistribution().parameters())) == 3
    with pytest.raises(daas.BadInput, match="--apply-rate learned goes with --aug-estimator per-image or policy-grad"):
        parse(["--preset", "demo", "--aug-estimator", "uniform", "--apply-rate", "learned"])
