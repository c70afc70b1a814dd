"""The operation of a search that changes nothing."""

from __future__ import annotations

import pytest
import torch

import daas
from daas.augment.ops import apply
from daas.search.algorithm.history import History
from daas.search.derivation import decide
from daas.search.spaces.policies import IDENTITY
from daas.search.spaces.spread import spread
from daas.seeds import generator

SPACE = daas.PolicySpace(slots=2, operations=["Rotate", IDENTITY, "Invert"])


def test_it_is_drawn_and_does_nothing() -> None:
    distribution = SPACE.distribution(generator(1))
    with torch.no_grad():
        distribution.pi[:, 1] = 50.0
    sample = distribution.sample(4, generator(2))
    assert (sample.op == 1).all()
    assert sample.applied.any()
    images = torch.randint(256, (4, 3, 6, 6), generator=generator(3), dtype=torch.uint8)
    assert torch.equal(apply(images, distribution.to_draw(sample, 4, generator(4))), images)
    assert distribution.log_prob(sample).isfinite().all()


def test_a_policy_leaves_it_out() -> None:
    distribution = SPACE.distribution(generator(1))
    policy = distribution.derive()
    assert len(policy.sub_policies) == 9
    assert [op.op for op in policy.sub_policies[1].ops] == ["Rotate"]
    assert [(op.op, op.prob) for op in policy.sub_policies[4].ops] == [("Invert", 0.0)]  # twice nothing
    assert policy.operation_share()["Invert"] == pytest.approx(1 / 3)
    found = spread(decide(History(3, 10), distribution).distribution(distribution), "a", "b")
    assert {op.op for sub in found.sub_policies for op in sub.ops} == {"Rotate", "Invert"}
    assert found.operation_share()["Rotate"] == pytest.approx(1 / 3)


def test_a_near_name_is_proposed() -> None:
    with pytest.raises(daas.BadInput, match="Did you mean Identity"):
        daas.PolicySpace(operations=["Identty", "Rotate"])
