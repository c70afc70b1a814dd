from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from daas.calibration import confidence, fit_temperature, with_a_mistake


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_best_of_a_fine_grid(true: float) -> None:
    random = torch.Generator().manual_seed(3)
    logits = 3.0 * torch.randn(1500, 5, generator=random, dtype=torch.float64)
    labels = torch.multinomial((logits / true).softmax(1), 1, generator=random).squeeze(1)
    found = fit_temperature(logits, labels)
    grid = [math.exp(step / 60) for step in range(-90, 120)]
    best = min(grid, key=lambda t: float(cross_entropy(logits / t, labels)))
    assert found == pytest.approx(best, rel=0.02)
    assert found == pytest.approx(true, rel=0.15)


def test_two_classes_have_a_closed_form() -> None:
    # k of n right at a margin m: softmax(m / T) = k / n, so T = m / log(k / (n - k))
    logits = torch.tensor([[1.5, 0.0]] * 10)
    labels = torch.tensor([0] * 8 + [1] * 2)
    assert fit_temperature(logits, labels) == pytest.approx(1.5 / math.log(4), rel=1e-9)


def test_the_ends_of_the_range_are_taken_where_there_is_no_best() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    assert fit_temperature(logits, torch.tensor([0, 1])) == pytest.approx(1 / 50)
    assert fit_temperature(logits, torch.tensor([1, 0])) == pytest.approx(50)


def test_calibrated_confidence_is_the_accuracy_where_all_images_are_alike() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0]] * 5)
    labels = torch.tensor([0, 0, 0, 1, 2])
    sure, said = confidence(logits, fit_temperature(logits, labels))
    assert sure.tolist() == pytest.approx([0.6] * 5)
    assert said.tolist() == [0] * 5


def test_one_mistake_more_keeps_a_network_that_was_always_right_from_being_sure_of_everything() -> None:
    logits = torch.cat([torch.tensor([[8.0, 0.0, -1.0]] * 98), torch.tensor([[0.0, 2.0, -1.0]])])
    labels = torch.tensor([0] * 98 + [1])
    hard = torch.tensor([[0.5, 0.0, -0.1]])
    assert float(confidence(hard, fit_temperature(logits, labels))[0]) == pytest.approx(1.0)
    more, told = with_a_mistake(logits, labels)
    assert more[-1].tolist() == [0.0, 2.0, -1.0]
    assert told.tolist() == [*labels.tolist(), 0]
    found = fit_temperature(more, told)
    assert float(confidence(hard, found)[0]) < 0.6
    assert float(confidence(logits, found)[0].mean()) == pytest.approx(1 - 1 / 99, abs=0.01)


def test_where_there_are_mistakes_one_more_hardly_counts() -> None:
    random = torch.Generator().manual_seed(3)
    logits = 3.0 * torch.randn(300, 5, generator=random, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=random).squeeze(1)
    assert fit_temperature(*with_a_mistake(logits, labels)) == pytest.approx(fit_temperature(logits, labels), rel=5e-3)


def test_without_a_right_answer_there_is_no_closest_one() -> None:
    wrong = torch.tensor([[1.0, 0.0]]), torch.tensor([1])
    alone = torch.zeros(2, 1), torch.tensor([0, 0])
    for answers in (wrong, alone):
        assert with_a_mistake(*answers) is not None
        assert all(torch.equal(a, b) for a, b in zip(with_a_mistake(*answers), answers, strict=True))
