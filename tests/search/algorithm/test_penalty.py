"""The excess confidence as a penalty: what it is, what it takes from rewards, and where it is nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import daas
from daas.calibration import fit_temperature
from daas.search.algorithm.estimators import PerImage, PolicyGradient
from daas.search.algorithm.estimators.base import Estimator, bare_of
from daas.search.algorithm.gradients import inner_product
from daas.search.algorithm.method import estimator_of
from daas.search.algorithm.model import Model, Pass
from daas.search.algorithm.penalty import excess
from daas.search.algorithm.state import Moment, State
from daas.search.options import parse
from daas.search.spaces.policies import AugmentationDistribution
from daas.seeds import generator
from tests.search.algorithm.test_step import ETA, TAU, batch, make


def test_sure_and_wrong_is_what_counts() -> None:
    sure, labels = torch.tensor([[8.0, 0.0], [8.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1, 0])
    clean = torch.tensor([[8.0, 0.0], [0.0, 8.0], [8.0, 0.0]])
    right, wrong, unsure = excess(sure, clean, labels, 1.0).tolist()
    assert right == 0
    assert wrong == pytest.approx(1, abs=1e-9)
    assert unsure == pytest.approx(-0.5, abs=1e-3)  # torch says the first class, with one half
    assert not excess(clean, clean, labels, 2.0).any()


def passes_of(search: State, estimator: Estimator) -> tuple[Model, list[Pass], tuple[Tensor, ...]]:
    search.estimator = estimator
    model = Model(search, search.sample_architecture(Moment(0, ETA, TAU), 0))
    passes = [model.train(estimator.draw(search, batch(1), (0, 0, j))) for j in range(estimator.policies)]
    images, labels = batch(2)
    return model, passes, model.gradient((search.preparation.normalize(images), labels))


@pytest.mark.parametrize("estimator", [PolicyGradient(2), PerImage(2, reward="fd", reward_batches=1)])
def test_rewards_are_less_by_the_weighted_excess(estimator: Estimator) -> None:
    model, passes, v = passes_of(make(), estimator)
    without = estimator.credit(model, passes, v).rewards
    with_it = replace(estimator, confidence_penalty=0.5).credit(model, passes, v).rewards
    assert model.validated is not None
    temperature = fit_temperature(*model.validated)
    clean = model.losses(bare_of(model, passes, estimator))[1]
    each = [excess(one.logits, clean, one.batch.labels, temperature) for one in passes]
    if isinstance(estimator, PerImage):
        found, wanted = (without - with_it)[:16], torch.cat(each)
    else:
        found, wanted = without - with_it, torch.stack([one.mean() for one in each])
    scale = 0.5 * inner_product(v, v)
    assert torch.allclose(found, (scale * wanted).float(), rtol=1e-3, atol=1e-4 * float(without.abs().max()))
    assert wanted.abs().max() > 0.01


def test_images_that_get_no_policy_have_no_penalty() -> None:
    search, estimator = make(), PolicyGradient(1, confidence_penalty=1.0)
    search.augmentation = AugmentationDistribution(generator=generator(1), rate=0.5)
    with torch.no_grad():
        assert search.augmentation.rate_logit is not None
        search.augmentation.rate_logit.fill_(-50.0)
    model, passes, v = passes_of(search, estimator)
    assert not estimator.penalties(model, passes, v)[0].any()
    assert not PolicyGradient(1).penalties(model, passes, v)[0].any()


def test_options_and_objects_say_the_same() -> None:
    words = ["--preset", "cpu", "--dataset", "digits", "--confidence-penalty", "0.5"]
    assert estimator_of(parse(words)) == PolicyGradient(2, confidence_penalty=0.5)
    assert PerImage(1, confidence_penalty=0.5).options()["confidence_penalty"] == 0.5
    assert "confidence_penalty" not in PerImage(1).options()
    with pytest.raises(daas.BadInput, match="goes with --aug-estimator"):
        parse([*words, "--aug-estimator", "uniform"])
    for weight in (-1.0, float("nan")):
        with pytest.raises(daas.BadInput, match="at least 0"):
            PolicyGradient(confidence_penalty=weight)
