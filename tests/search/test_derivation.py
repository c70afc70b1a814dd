"""What rewards decide: planted answers, what noise decides, and what a search says of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

import daas
from daas import checkpoint
from daas.augment.space import OPERATION_NAMES
from daas.search.__main__ import main
from daas.search.algorithm.estimators import Credit
from daas.search.algorithm.history import History
from daas.search.derivation import ERROR, decide, holm, p_values
from daas.search.options import SearchConfig, parse
from daas.search.report.verdict import verdict
from daas.search.spaces import spread as module
from daas.search.spaces.policies import AugmentationDistribution, PolicySample
from daas.search.spaces.spread import spread
from daas.seeds import generator
from tests.conftest import SHORT_SEARCH

START = AugmentationDistribution(shared=True)
SLOTS = 2


def rewards_of(sample: PolicySample, effects: dict[str, float], by_level: dict[str, float]) -> Tensor:
    """Effects of the applied operations, added up; ``by_level`` times the share of the magnitude's range."""
    each = torch.tensor([effects.get(name, 0.0) for name in OPERATION_NAMES], dtype=torch.float64)
    slope = torch.tensor([by_level.get(name, 0.0) for name in OPERATION_NAMES], dtype=torch.float64)
    return (sample.applied * (each[sample.op] + slope[sample.op] * sample.magnitude / 9)).sum(1)


def history_of(
    seed: int,
    iterations: int,
    effects: dict[str, float] | None = None,
    by_level: dict[str, float] | None = None,
    distribution: AugmentationDistribution = START,
) -> History:
    """Of iterations with eight policies; the noise of their rewards grows and shrinks, and they share a part."""
    random, history = generator(20, seed), History(15, 10)
    for step in range(iterations):
        sample = distribution.sample(8, random)
        shared, *noise = torch.randn(9, generator=random, dtype=torch.float64)
        rewards = rewards_of(sample, effects or {}, by_level or {}) + torch.stack(noise)
        rewards = (1.2 + math.sin(step / 40)) * rewards + 10 * shared
        history.add([Credit(rewards, rewards, sample)])
    return history


def test_a_harmful_operation_is_removed_and_a_helpful_one_named() -> None:
    found = decide(history_of(1, 400, {"Invert": -1.5, "Rotate": 1.5}), START)
    assert (found.removed, found.better, found.halves) == (("Invert",), ("Rotate",), {})
    left = found.distribution(START)
    share = dict(zip(OPERATION_NAMES, left.pi.softmax(-1)[0].tolist(), strict=True))
    assert share.pop("Invert") == 0
    assert list(share.values()) == pytest.approx([1 / 14] * 14)  # the helpful one, too, is as frequent as the rest
    assert found.in_words(START) == (
        "1 operation is removed: Invert. Rewards above the others', equally frequent all the same: Rotate. Nothing "
        "else was decided."
    )


def test_one_operation_far_above_does_not_move_what_the_others_are_compared_with() -> None:
    found = decide(history_of(2, 400, {"Rotate": 20.0}), START)
    assert (found.removed, found.better) == ((), ("Rotate",))


@pytest.mark.parametrize(("slope", "half"), [(-4.0, "lower"), (4.0, "upper")])
def test_a_half_of_the_magnitudes_is_kept_where_the_other_is_worse(slope: float, half: str) -> None:
    found = decide(history_of(3, 400, {"Color": -slope / 2}, {"Color": slope}), START)
    assert (found.halves, found.removed) == ({"Color": half}, ())
    subs = spread(found.distribution(START), "a", "b").sub_policies
    row = START.table[OPERATION_NAMES.index("Color")].tolist()
    kept = row[:5] if half == "lower" else row[5:]
    assert sorted({op.value for sub in subs for op in sub.ops if op.op == "Color" and op.value is not None}) == kept
    assert f"Color is kept at {kept[0]:.3g} to {kept[-1]:.3g}." in found.in_words(START)
    brightness = {op.value for sub in subs for op in sub.ops if op.op == "Brightness"}
    assert brightness == set(START.table[OPERATION_NAMES.index("Brightness")].tolist())


@pytest.mark.parametrize("peaked", [False, True])
def test_noise_decides_anything_as_rarely_as_is_said(peaked: bool) -> None:
    """Forty searches whose rewards depend on nothing, with gamma uniform and with operations that are rare."""
    distribution = AugmentationDistribution(shared=True)
    with torch.no_grad():
        distribution.pi[:, :3] = 2.0 if peaked else 0.0
    found = [decide(history_of(seed, 30, distribution=distribution), distribution) for seed in range(40)]
    wrong = sum(bool(one.removed or one.better or one.halves) for one in found)
    assert wrong <= stats.binom.ppf(0.99, 40, ERROR)


def test_few_policies_decide_nothing() -> None:
    found = decide(history_of(1, 9, {"Invert": -9.0}), START)
    assert not found.anything
    assert found.in_words(START) == (
        "Nothing was decided: the policy is uniform. Too few policies were compared with others of their iteration."
    )


def test_means_and_errors_are_those_of_a_ratio_of_sums() -> None:
    """Against a loop over the iterations."""
    random, history, rows = generator(4), History(15, 10), []
    for _ in range(30):
        sample = START.sample(6, random)
        rewards = torch.randn(6, generator=random, dtype=torch.float64)
        history.add([Credit(rewards, rewards, sample)])
        contrast = [float(r - (rewards.sum() - r) / 5) for r in rewards]
        hits = [
            (contrast[n], int(sample.magnitude[n, k]) >= 5)
            for n in range(6) for k in range(SLOTS) if sample.applied[n, k] and sample.op[n, k] == 4
        ]  # fmt: skip
        rows.append(hits)
    flat = [c for hits in rows for c, _ in hits]
    mean = sum(flat) / len(flat)
    residuals = [sum(c for c, _ in hits) - mean * len(hits) for hits in rows]
    some = sum(bool(hits) for hits in rows)
    error = math.sqrt(sum(r * r for r in residuals) * some / (some - 1)) / len(flat)
    found = history.operations()
    assert (float(found.mean[4]), float(found.error[4])) == pytest.approx((mean, error))
    assert (int(found.iterations[4]), int(history.applied[4])) == (some, len(flat))
    parts = [[[c for c, up in hits if up == half] for hits in rows] for half in (False, True)]
    counts = [sum(map(len, part)) for part in parts]
    low, high = (sum(map(sum, part)) / n for part, n in zip(parts, counts, strict=True))
    pairs = [
        (sum(up) - high * len(up)) / counts[1] - (sum(lo) - low * len(lo)) / counts[0]
        for lo, up in zip(*parts, strict=True)
    ]
    fewer = min(sum(map(bool, part)) for part in parts)
    halves = history.halves()
    assert float(halves.mean[4]) == pytest.approx(high - low)
    assert float(halves.error[4]) == pytest.approx(math.sqrt(sum(p * p for p in pairs) * fewer / (fewer - 1)))


def test_architectures_with_one_policy_each_are_compared_with_each_other() -> None:
    sample, history = START.sample(4, generator(5)), History(15, 10)
    rewards = torch.tensor([1.0, 2.0, 3.0, 6.0])
    every = PolicySample(sample.op, torch.ones_like(sample.applied), sample.magnitude)
    credits = [
        Credit(r, r, PolicySample(every.op[[n]], every.applied[[n]], every.magnitude[[n]]))
        for n, r in enumerate(rewards.split(1))
    ]
    history.add(credits)
    assert float(history.first[:, :2].abs().sum()) > 0
    assert float(history.first[:, :2].sum()) == pytest.approx(0, abs=1e-12)  # contrasts sum to zero, twice
    one = History(15, 10)
    one.add(credits[:1])
    assert not one.first.any()  # a single reward is compared with nothing


def test_p_values_are_students() -> None:
    t = torch.tensor([0.5, 2.0, 3.0, 4.5], dtype=torch.float64)
    for n in (10, 40, 400):
        found = p_values(t, torch.full_like(t, n))
        wanted = torch.tensor(2 * stats.t.sf(t.numpy(), n - 1))
        assert torch.allclose(found, wanted, rtol=0.05)
    assert holm(torch.tensor([]), 0.05).tolist() == []


def test_a_spread_policy_has_every_magnitude_equally_often() -> None:
    policy = spread(START.uniform(), "a", "b")
    assert len(policy.sub_policies) <= 2250
    shares: dict[float | None, float] = {}
    for sub in policy.sub_policies:
        if sub.ops[1].op == "Rotate":
            shares[sub.ops[1].value] = shares.get(sub.ops[1].value, 0.0) + sub.weight
    assert list(shares.values()) == pytest.approx([1 / 150] * 10)
    assert {op.prob for sub in policy.sub_policies for op in sub.ops} == {0.5}


def test_where_a_file_could_not_have_every_magnitude_each_policy_takes_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SUB_POLICIES", 500)
    subs = spread(START.uniform(), "a", "b").sub_policies
    assert 225 < len(subs) <= 500
    assert sum(sub.weight for sub in subs) == pytest.approx(1)
    assert len({op.value for sub in subs for op in sub.ops if op.op == "Rotate"}) == 10


def decided(name: str, arguments: list[str], tmp_path: Path) -> Path:
    assert main([*SHORT_SEARCH, "--derive", "decided", "--out", str(tmp_path / name), *arguments]) == 0
    return tmp_path / name


def test_a_search_says_what_it_decided_and_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    whole, part = decided("whole", [], tmp_path), decided("part", ["--max-steps", "5"], tmp_path)
    decided("part", ["--resume", "auto"], tmp_path)
    first, second = (checkpoint.load(folder / "checkpoint.safetensors")[0] for folder in (whole, part))
    assert {name for name in first if name.startswith("history.")} == {
        "history.first", "history.second", "history.iterations",
    }  # fmt: skip
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (whole / "policy.json").read_bytes() == (part / "policy.json").read_bytes()
    assert float(first["history.iterations"].max()) == 6  # three of nine are a warm-up
    page = (whole / "report.html").read_text()
    assert "Nothing was decided: the policy is uniform." in page


def test_the_summary_has_what_was_decided() -> None:
    found = daas.search(
        (torch.randint(256, (64, 3, 8, 8), generator=generator(1), dtype=torch.uint8), torch.arange(64) % 2),
        network=daas.CellSpace(channels=2, layers=3, nodes=2), batch_size=16, warmup_epochs=0, epochs=1,
        screen=False, race=0,
    )  # fmt: skip
    facts: dict[str, Any] = found.summary["derivation"]
    assert (facts["removed"], facts["halves"], facts["error_rate"]) == ([], {}, ERROR)
    assert set(facts["rewards"]) == set(OPERATION_NAMES)
    assert "policy_gain" not in found.summary  # nothing to compare: the policy is the uniform one
    assert any(sentence.startswith("The policy: Nothing was decided") for sentence in verdict(found.summary))
    assert found.policy is not None
    assert list(found.policy.operation_share().values()) == pytest.approx([1 / 15] * 15)


def test_what_has_no_rewards_is_derived_as_printed() -> None:
    assert SearchConfig(preset="cpu").derive == "decided"
    assert SearchConfig(preset="paper-cifar10").derive == "printed"
    assert parse(["--preset", "demo", "--aug-estimator", "straight-through"]).derive == "printed"
    with pytest.raises(daas.BadInput, match="straight-through has none"):
        parse(["--preset", "demo", "--aug-estimator", "straight-through", "--derive", "decided"])
