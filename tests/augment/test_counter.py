"""Draws from a counter: Philox's own vectors, the policy's probabilities, the same anywhere and in any parts."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from scipy.stats import chi2

from daas import DAASPolicy
from daas.augment import Draw, Policy, PolicyOp, SubPolicy
from daas.augment.counter import philox
from daas.augment.space import INDEX
from daas.errors import BadInput
from tests.pretended_gpu import DEVICE, PretendedGPU, values_of

POLICY = Policy(
    "mine",
    "a test",
    (
        SubPolicy(3.0, (PolicyOp("Rotate", 0.3, 20.0), PolicyOp("Invert", 0.9, None))),
        SubPolicy(1.0, (PolicyOp("Solarize", 0.6, 100.0),)),
        SubPolicy(0.5, (PolicyOp("Cutout", 1.0, 0.2), PolicyOp("Cutout", 0.0, 0.1))),
    ),
)
COUNT = 20_000


def equal(one: Draw, other: Draw) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("op", "value", "center"))


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # known answers of Random123, the authors' library
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, 0xFFFFFFFFFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_words(counter: tuple[int, ...], key: int, expected: tuple[int, ...]) -> None:
    assert tuple(philox(torch.tensor(counter), key).tolist()) == expected


def test_frequencies_are_the_policys_probabilities() -> None:
    """Every outcome of POLICY with its exact probability, by the chi-squared test."""
    draw = DAASPolicy(POLICY, p=0.8).sample(COUNT, device="cpu", seed=5, step=3)
    rotate, invert, solarize, cutout = (INDEX[name] for name in ("Rotate", "Invert", "Solarize", "Cutout"))
    share = [0.8 * weight / 4.5 for weight in (3.0, 1.0, 0.5)]
    expected = {
        (rotate, invert, 1): share[0] * 0.27 / 2,
        (rotate, invert, -1): share[0] * 0.27 / 2,
        (rotate, -1, 1): share[0] * 0.03 / 2,
        (rotate, -1, -1): share[0] * 0.03 / 2,
        (-1, invert, 0): share[0] * 0.63,
        (solarize, -1, 1): share[1] * 0.6,
        (cutout, -1, 1): share[2],
        (-1, -1, 0): 0.2 + share[0] * 0.07 + share[1] * 0.4,
    }
    rows = torch.cat([draw.op, draw.value[:, :1].sign().long()], 1)
    found = {key: int((rows == torch.tensor(key)).all(1).sum()) for key in expected}
    assert sum(found.values()) == COUNT
    statistic = sum((found[key] - COUNT * share) ** 2 / (COUNT * share) for key, share in expected.items())
    assert statistic < chi2.ppf(0.999, len(expected) - 1)
    for axis in (0, 1):  # centres are uniform
        counts = torch.histc(draw.center[:, 0, axis], 10, 0.0, 1.0)
        assert float(((counts - COUNT / 10) ** 2 / (COUNT / 10)).sum()) < chi2.ppf(0.999, 9)
    draw.check()


def test_seed_step_and_image_are_the_address() -> None:
    policy = DAASPolicy(POLICY)
    whole = policy.sample(64, device="cpu", seed=1, step=2)
    parts = [policy.sample(size, device="cpu", seed=1, step=2, first=first) for first, size in ((0, 10), (10, 54))]
    assert equal(Draw.concat(parts), whole)
    assert equal(policy.sample(64, device="cpu", seed=1, step=torch.tensor(2)), whole)
    for other in ({"seed": 2, "step": 2}, {"seed": 1, "step": 3}, {"seed": 1, "step": 2 + (1 << 32)}):
        assert not equal(policy.sample(64, device="cpu", **other), whole)
    assert len(policy.sample(0, device="cpu")) == 0
    for copied in (copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):  # our own bytes
        assert equal(copied.sample(64, device="cpu", seed=1, step=2), whole)


def test_one_draw_for_the_batch_where_that_is_asked() -> None:
    batch = DAASPolicy(POLICY, granularity="batch").sample(50, device="cpu", seed=3)
    assert len(batch.op.unique(dim=0)) == 1
    assert len(batch.center.flatten(1).unique(dim=0)) == 50
    same = DAASPolicy(POLICY, same_on_batch=True, p=0.5).sample(50, device="cpu", seed=3)
    assert len(same.op.unique(dim=0)) == len(same.center.flatten(1).unique(dim=0)) == 1


def test_another_device_gives_the_same_and_nothing_waits() -> None:
    policy = DAASPolicy(POLICY, p=0.9)
    here = policy.sample(128, device="cpu", seed=9, step=4)
    with PretendedGPU() as gpu:
        step = torch.tensor(4, device=DEVICE)
        there = policy.sample(128, device=DEVICE, seed=9, step=step)
        assert not gpu.waits
    assert equal(Draw(*(values_of(getattr(there, name)) for name in ("op", "value", "center"))), here)


def test_what_cannot_be_is_refused() -> None:
    policy = DAASPolicy(POLICY)
    with pytest.raises(BadInput, match="generator is for draws on the CPU's stream"):
        policy.sample(4, torch.Generator(), device="cpu")
    with pytest.raises(BadInput, match="seed is -1"):
        policy.sample(4, device="cpu", seed=-1)
    with pytest.raises(BadInput, match="device="):
        policy.sample(4, seed=3)
