from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from daas.screen.statistics import bootstrap_weights, figures, isotonic, shortest_half


def test_excess_and_loss_by_hand() -> None:
    # confidence 0.9 and always right as they are; 0.8 and right on one of four under the operation
    clean = torch.full((4,), 0.9) - 1.0
    right = torch.tensor([1.0, 0.0, 0.0, 0.0])
    found = figures(0.8 - right, clean, right, torch.ones(4), bootstrap_weights(4, 100, 0))
    assert found.excess == pytest.approx(100 * ((0.8 - 0.25) - (0.9 - 1.0)))
    assert found.loss == pytest.approx(75.0)


def test_the_bootstrap_agrees_with_all_samples_enumerated() -> None:
    gap, right = torch.tensor([0.9, -0.2, 0.5]), torch.tensor([0.0, 1.0, 0.0])
    clean_gap, clean_right = torch.tensor([-0.1, -0.3, -0.2]), torch.tensor([1.0, 1.0, 1.0])
    excess = 100 * (gap - clean_gap).numpy().astype(float)
    loss = 100 * (clean_right - right).numpy().astype(float)
    every = [list(chosen) for chosen in itertools.product(range(3), repeat=3)]
    means = np.array([[excess[c].mean(), loss[c].mean()] for c in every])
    found = figures(gap, clean_gap, right, clean_right, bootstrap_weights(3, 20_000, 1))
    assert found.excess_error == pytest.approx(means[:, 0].std(), rel=0.03)
    assert found.loss_error == pytest.approx(means[:, 1].std(), rel=0.03)
    assert found.covariance == pytest.approx(np.cov(means.T, bias=True)[0, 1], rel=0.06)


def test_images_not_drawn_do_not_count() -> None:
    drawn = bootstrap_weights(7, 50, 2)
    assert torch.equal(drawn.sum(1), torch.full((50,), 7.0, dtype=torch.float64))
    assert torch.equal(drawn, bootstrap_weights(7, 50, 2))
    assert not torch.equal(drawn, bootstrap_weights(7, 50, 3))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = torch.Generator().manual_seed(5)
    count, trials, truth, covered = 120, 200, 100 * (0.75 - 0.45 - (0.9 - 0.85)), 0
    drawn = bootstrap_weights(count, 400, 0)
    for _ in range(trials):
        clean_right = (torch.rand(count, generator=random) < 0.85).double()
        # correlated with the clean answer: right under the operation with 0.5 where it was, 0.1667 where it was not
        chance = torch.where(clean_right > 0, 0.5, 0.025 / 0.15)
        right = (torch.rand(count, generator=random) < chance).double()
        found = figures(0.75 - right, 0.9 - clean_right, right, clean_right, drawn)
        covered += found.interval[0] <= truth <= found.interval[1]
    assert 0.90 <= covered / trials <= 0.99


def test_the_shortest_half_ignores_what_is_far_away() -> None:
    bulk = [-1.0, -0.5, 0.0, 0.5, 1.0]
    center, spread = shortest_half([*bulk, 40.0, 60.0, 90.0])
    assert center == pytest.approx(0.0)
    assert spread == pytest.approx(2.0 / (2 * 0.6745))


def test_the_shortest_half_of_a_normal_distribution_is_its_middle() -> None:
    values = torch.randn(20_001, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    center, spread = shortest_half((3.0 + 2.0 * values).tolist())
    assert center == pytest.approx(3.0, abs=0.4)
    assert spread == pytest.approx(2.0, rel=0.05)


def test_isotonic_regression_is_the_nearest_sequence_that_never_falls() -> None:
    values, weight = [3.0, 1.0, 2.0, 2.0], [1.0, 2.0, 1.0, 3.0]
    found = isotonic(values, weight)
    grid = [x / 6 for x in range(6, 19)]
    cost = {
        way: sum(w * (v - f) ** 2 for v, f, w in zip(values, way, weight, strict=True))
        for way in itertools.combinations_with_replacement(grid, 4)
    }
    best = min(cost, key=lambda way: cost[way])
    assert found == pytest.approx(best, abs=0.09)
    assert sum(w * (v - f) ** 2 for v, f, w in zip(values, found, weight, strict=True)) <= cost[best] + 1e-9
    assert found == sorted(found)
