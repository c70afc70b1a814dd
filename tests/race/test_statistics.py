import math

import pytest
import torch

from daas.race.statistics import clearly_worse, difference, level_of, mean_and_error, residual, score, variance_share

FOLDS = 4


def test_temperature_makes_the_loss_smallest():
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(200, 5, generator=generator)
    labels = torch.where(
        torch.rand(200, generator=generator) < 0.5, logits.argmax(1), torch.randint(5, (200,), generator=generator)
    )
    found = score(logits, labels)

    def loss(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits.double() / temperature, labels))

    assert found.score == pytest.approx(loss(found.temperature))
    assert found.score <= min(loss(found.temperature * factor) for factor in (0.9, 0.99, 1.01, 1.1))
    assert found.accuracy == pytest.approx(100 * float((logits.argmax(1) == labels).double().mean()))


def test_score_does_not_depend_on_how_sure_the_network_is():
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    labels = logits.argmax(1)
    labels[::3] = 0
    assert score(3 * logits, labels).score == pytest.approx(score(logits, labels).score, rel=1e-6)


def test_scores_of_perfect_and_useless_networks_are_finite():
    labels = torch.tensor([0, 1, 2])
    perfect, useless = score(torch.eye(3), labels), score(torch.zeros(3, 3), labels)
    assert perfect.accuracy == 100.0
    assert 0 <= perfect.score < 1e-6
    assert useless.score == pytest.approx(math.log(3))


def test_residuals_of_an_additive_table_are_zero_and_of_a_cross_exact():
    rows, columns = torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([[0.5, -1.0, 3.0, 0.0]])
    square, freedom = residual(rows + columns)
    assert square == pytest.approx(0.0, abs=1e-12)
    assert freedom == 6
    square, freedom = residual(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    assert (square, freedom) == (4.0, 1)


def test_difference_of_two_candidates_is_the_paired_t_test():
    """With two rows pooling is pairing: against scipy's paired test, up to the correction for shared images."""
    from scipy import stats

    scores = torch.tensor([[1.0, 1.4, 0.9, 1.7], [0.8, 1.5, 0.4, 1.1]], dtype=torch.float64)
    found = difference(scores, 0, 1, FOLDS)
    test = stats.ttest_rel(scores[0].numpy(), scores[1].numpy())
    plain = float((scores[0] - scores[1]).std()) / math.sqrt(4)
    assert found.mean == pytest.approx(float(test.statistic) * plain)
    assert found.error == pytest.approx(plain * math.sqrt(4 * variance_share(4, FOLDS)))
    reach = float(stats.t.ppf(0.975, 3)) * found.error
    assert found.interval == pytest.approx((found.mean - reach, found.mean + reach))


def test_one_run_has_no_error():
    found = difference(torch.tensor([[1.0], [2.0]]), 0, 1, FOLDS)
    assert (found.mean, found.error, found.interval, found.runs) == (-1.0, None, None, 1)
    assert mean_and_error([3.0], 4) == (3.0, None)
    assert mean_and_error([1.0, 3.0], 3) == (2.0, pytest.approx(math.sqrt(2 * (1 / 2 + 1 / 2))))  # as of differences
    assert mean_and_error([1.0, 3.0], 10**9)[1] == pytest.approx(1.0)  # of runs that share nothing


def test_levels_add_up():
    assert sum(level_of(run, 0.05) for run in range(2, 5000)) == pytest.approx(0.05, rel=1e-3)


def simulated(candidates: int, runs: int, better: float, generator: torch.Generator) -> torch.Tensor:
    """Scores whose residuals are correlated between runs by 1 / K, as those of a cross-validation are."""
    shared = math.sqrt(1 / FOLDS) * torch.randn(candidates, 1, generator=generator, dtype=torch.float64)
    own = math.sqrt(1 - 1 / FOLDS) * torch.randn(candidates, runs, generator=generator, dtype=torch.float64)
    scores = shared + own + torch.randn(1, runs, generator=generator, dtype=torch.float64)
    scores[0] -= better
    return scores


def test_nobody_is_called_worse_more_often_than_the_level_says():
    """1,000 races of eight equal candidates over four rounds: any of them leaves in at most 5%, within the error."""
    generator, races, wrong = torch.Generator().manual_seed(0), 1000, 0
    for _ in range(races):
        scores = simulated(8, 4, 0.0, generator)
        wrong += any(any(clearly_worse(scores[:, :run], FOLDS, level_of(run, 0.05))) for run in (2, 3, 4))
    assert wrong / races <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / races)
    assert wrong > 0  # the test is not merely blind


def test_a_better_candidate_stays_and_the_others_leave():
    generator, found, lost = torch.Generator().manual_seed(1), 0, 0
    for _ in range(200):
        out = clearly_worse(simulated(8, 4, 8.0, generator), FOLDS, level_of(4, 0.05))
        found += all(out[1:])
        lost += out[0]
    assert lost == 0
    assert found > 190


def test_interval_covers_the_true_difference():
    generator, races, covered = torch.Generator().manual_seed(2), 1000, 0
    for _ in range(races):
        gap = difference(simulated(6, 4, 1.5, generator), 0, 3, FOLDS)
        assert gap.interval is not None
        covered += gap.interval[0] <= -1.5 <= gap.interval[1]
    assert abs(covered / races - 0.95) <= 3 * math.sqrt(0.05 * 0.95 / races)
