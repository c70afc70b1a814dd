"""The policy distribution against enumeration: probabilities, samples, shares, derivation."""

from __future__ import annotations

import pytest
import torch

from daas.augment.space import OPERATION_NAMES, has_magnitude, magnitude_table
from daas.search.spaces.policies import AugmentationDistribution, PolicySample


def trained(seed: int = 0) -> AugmentationDistribution:
    """A distribution that is far from uniform."""
    random = torch.Generator().manual_seed(seed)
    made = AugmentationDistribution(generator=random)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return made


def test_the_start_is_uniform_with_probability_one_half() -> None:
    made = AugmentationDistribution(generator=torch.Generator().manual_seed(0))
    assert made.pi.shape == (2, 15)
    assert made.p_logit.shape == (225, 2)
    assert made.delta.shape == (225, 2, 10)
    share = made.operation_share()
    torch.testing.assert_close(share, torch.full((15,), 2 * 0.5 / 15, dtype=torch.float64))
    assert made.entropy() == pytest.approx({"pi": 1.0, "p": 1.0, "delta": 1.0}, abs=1e-4)


def test_log_prob_is_the_product_of_eq3() -> None:
    made = trained()
    with_magnitude, without = 4, OPERATION_NAMES.index("Invert")
    sample = PolicySample(
        torch.tensor([[with_magnitude, without], [without, with_magnitude]]),
        torch.tensor([[True, True], [False, True]]),
        torch.tensor([[3, 7], [1, 2]]),
    )
    pi = made.pi.softmax(-1)
    first, second = with_magnitude * 15 + without, without * 15 + with_magnitude
    p, delta = made.p_logit.sigmoid(), made.delta.softmax(-1)
    expected = torch.stack(
        [
            pi[0, with_magnitude] * p[first, 0] * delta[first, 0, 3] * pi[1, without] * p[first, 1],
            pi[0, without] * (1 - p[second, 0]) * pi[1, with_magnitude] * p[second, 1] * delta[second, 1, 2],
        ]
    )
    torch.testing.assert_close(made.log_prob(sample), expected.log())


def test_the_score_has_mean_zero_over_samples() -> None:
    made = trained()
    count = 100_000
    sample = made.sample(count, torch.Generator().manual_seed(1))
    score = torch.autograd.grad(made.log_prob(sample).mean(), [made.pi, made.p_logit])
    assert score[0].abs().max() < 4.5 / count**0.5
    assert score[1].abs().max() < 4.5 / count**0.5


def test_sample_frequencies_agree_with_the_distribution() -> None:
    made, count = trained(), 200_000
    sample = made.sample(count, torch.Generator().manual_seed(2))
    index = made.policy_index(sample.op)
    seen = torch.bincount(index, minlength=225).double() / count
    weight = made.policy_weights()
    assert ((seen - weight).abs() / (weight * (1 - weight) / count).sqrt()).max() < 4.5
    common = int(weight.argmax())
    rows = index == common
    n = int(rows.sum())
    for slot in range(2):
        p = float(made.p_logit[common, slot].sigmoid())
        assert abs(float(sample.applied[rows, slot].double().mean()) - p) < 4.5 * (p * (1 - p) / n) ** 0.5
        level = made.delta[common, slot].softmax(-1).double()
        frequency = torch.bincount(sample.magnitude[rows, slot], minlength=10).double() / n
        assert ((frequency - level).abs() / (level * (1 - level) / n).sqrt()).max() < 4.5


def test_derived_policy_has_product_weights_probabilities_and_best_magnitudes() -> None:
    made = trained()
    policy = made.derive()
    assert len(policy.sub_policies) == 225
    assert sum(sub.weight for sub in policy.sub_policies) == pytest.approx(1.0)
    table, used = magnitude_table(), has_magnitude()
    pi = made.pi.double().softmax(-1)
    for index in (0, 17, 113, 224):
        sub = policy.sub_policies[index]
        ops = (index // 15, index % 15)
        assert sub.weight == pytest.approx(float(pi[0, ops[0]] * pi[1, ops[1]]))
        for slot, op in enumerate(ops):
            assert sub.ops[slot].op == OPERATION_NAMES[op]
            assert sub.ops[slot].prob == pytest.approx(float(made.p_logit[index, slot].double().sigmoid()))
            expected = float(table[op, int(made.delta[index, slot].argmax())]) if used[op] else None
            assert sub.ops[slot].value == expected
    assert policy.operation_share() == pytest.approx(
        dict(zip(OPERATION_NAMES, made.operation_share().tolist(), strict=True))
    )


def test_a_draw_for_a_batch_repeats_one_policy_and_varies_signs() -> None:
    made = trained()
    sample = made.sample(1, torch.Generator().manual_seed(3))
    forced = PolicySample(torch.tensor([[4, 0]]), torch.tensor([[True, True]]), torch.tensor([[9, 9]]))
    draw = made.to_draw(forced, 64, torch.Generator().manual_seed(4))
    assert torch.equal(draw.op, torch.tensor([[4, 0]]).expand(64, 2))
    assert draw.value[:, 0].abs().unique().tolist() == [30.0]
    assert set(draw.value[:, 0].sign().tolist()) == {-1.0, 1.0}
    not_applied = PolicySample(sample.op, torch.tensor([[False, False]]), sample.magnitude)
    assert (made.to_draw(not_applied, 8, torch.Generator().manual_seed(5)).op == -1).all()


def test_shared_parameters_are_those_of_the_operation_in_its_slot() -> None:
    random = torch.Generator().manual_seed(0)
    shared, full = AugmentationDistribution(shared=True, generator=random), AugmentationDistribution(generator=random)
    assert shared.p_logit.shape == (15, 2)
    assert shared.delta.shape == (15, 2, 10)
    ops = torch.cartesian_prod(torch.arange(15), torch.arange(15))
    with torch.no_grad():
        for parameter in shared.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
        full.pi.copy_(shared.pi)
        for slot in range(2):
            full.p_logit[:, slot] = shared.p_logit[ops[:, slot], slot]
            full.delta[:, slot] = shared.delta[ops[:, slot], slot]
    sample = shared.sample(500, torch.Generator().manual_seed(1))
    torch.testing.assert_close(shared.log_prob(sample), full.log_prob(sample))
    assert torch.equal(sample.op, full.sample(500, torch.Generator().manual_seed(1)).op)
    torch.testing.assert_close(shared.operation_share(), full.operation_share())
    assert shared.entropy() == pytest.approx(full.entropy())
    assert shared.derive().sub_policies == full.derive().sub_policies


def test_relaxed_samples_have_the_same_distribution_and_gates_with_their_values() -> None:
    table = torch.tensor([[0.5, -1.0, 3.0], [2.0, 0.3, 1.0]], dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    made = AugmentationDistribution(2, table, torch.tensor([True, False]), random)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    draws = 3000
    op, applied = torch.zeros(2, 2), torch.zeros(4)
    seen = torch.zeros(4)
    for _ in range(draws):
        sample, gates = made.sample_relaxed(random, 0.5)
        op[torch.arange(2), sample.op[0]] += 1
        index = int(made.policy_index(sample.op))
        applied[index] += float(sample.applied[0, 0])
        seen[index] += 1
        assert torch.equal(gates[:, 0], torch.ones(2))
        assert torch.equal(gates[:, 1], sample.applied[0].float())
        torch.testing.assert_close(gates[:, 2], sample.magnitude[0] / 2)
    p = made.pi.detach().softmax(-1)
    assert ((op / draws - p).abs() / (p * (1 - p) / draws).sqrt()).max() < 4.5
    q = made.p_logit.detach()[:, 0].sigmoid()
    assert ((applied / seen - q).abs() / (q * (1 - q) / seen).sqrt()).max() < 4.5
