import pytest

from daas.errors import BadInput
from daas.race.candidates import Candidate, Network
from daas.race.result import Race, Setup
from daas.race.rules import Rules, against, complete_runs, final, next_round, why_left
from daas.race.statistics import Score
from daas.train.fit import Recipe

RULES = Rules(folds=4, shelf=frozenset({3}))
EQUAL_BREADTH = [(0.0,)] * 8


def results_of(*rows):
    """Candidate's scores by run -> results; None where the loss diverged."""
    return {
        (candidate, run): None if value is None else Score(100 - 10 * value, value, 1.0)
        for candidate, row in enumerate(rows)
        for run, value in enumerate(row)
    }


def test_after_one_run_the_best_that_can_be_paid_go_on():
    results = results_of([0.5], [0.9], [0.6], [0.8], [0.7])
    assert next_round(results, range(5), 1, 9, RULES) == [
        0,
        2,
        3,
    ]  # 9 trainings, 3 rounds: three, one of them the shelf
    assert next_round(results, range(5), 1, 100, RULES) == [0, 1, 2, 3, 4]
    assert next_round(results, range(5), 1, 1, RULES) == []


def test_the_best_of_the_shelf_goes_on_though_it_is_not_among_the_best():
    results = results_of([0.5], [0.55], [0.6], [0.99], [0.7])
    assert next_round(results, range(5), 1, 6, RULES) == [0, 3]


def test_who_is_clearly_worse_leaves():
    close, far = [0.50, 0.71, 0.60], [5.01, 5.20, 5.11]
    results = results_of(close, [0.52, 0.70, 0.62], far, [0.51, 0.72, 0.60])
    assert next_round(results, range(4), 3, 100, RULES) == [0, 1, 3]
    assert why_left(results, [range(4), range(4), range(4), [0, 1, 3]], RULES) == {2: "clearly worse after 3 runs"}


def test_a_race_of_one_is_over():
    results = results_of([0.1, 0.1, 0.1], [5.0, 5.01, 5.0], [5.0, 5.0, 5.01], [5.01, 5.0, 5.0])
    assert next_round(results, range(4), 3, 100, RULES) == []
    assert why_left(results, [range(4)] * 3, RULES) == dict.fromkeys((1, 2, 3), "clearly worse after 3 runs")
    del results[3, 2]
    assert why_left(results, [range(4)] * 3, RULES) == {}  # the last round is not finished


def test_who_diverged_leaves():
    results = results_of([0.5], [None], [0.6], [0.8])
    assert next_round(results, range(4), 1, 100, RULES) == [0, 2, 3]
    assert why_left(results, [range(4), [0, 2, 3]], RULES)[1] == "its loss diverged"
    assert complete_runs(results, 1) == 0
    assert 1 not in final(results, [range(4)], EQUAL_BREADTH, RULES).order


def test_nothing_is_chosen_where_everything_diverged():
    with pytest.raises(FloatingPointError, match="every training"):
        final(results_of([None], [None]), [range(2)], EQUAL_BREADTH, RULES)


def test_among_equals_the_broadest_wins_and_the_rest_is_named():
    rows = [0.50, 0.70, 0.60], [0.52, 0.68, 0.62], [2.5, 2.7, 2.6]
    seen = final(results_of(*rows), [range(3)] * 3, [(3.0,), (1.0,), (0.0,)], RULES)
    assert seen.order == (0, 1, 2)
    assert seen.chosen == 1  # within a standard error of 0, and broader
    assert seen.equal == (0, 1)
    assert set(seen.open) == {0, 1}
    assert seen.shelf is None


def test_a_difference_beyond_one_error_decides():
    rows = [0.50, 0.70, 0.60], [0.60, 0.80, 0.71], [0.51, 0.72, 0.60]
    seen = final(results_of(*rows), [range(3)] * 3, [(3.0,), (0.0,), (4.0,)], RULES)
    assert seen.chosen == 0
    assert 1 not in seen.equal


def test_more_runs_go_before_better_means():
    results = results_of([0.6, 0.6], [0.5], [0.6, 0.61])
    seen = final(results, [range(3), [0, 2]], EQUAL_BREADTH, RULES)
    assert seen.order == (0, 2, 1)
    assert why_left(results, [range(3), [0, 2]], RULES) == {1: "not among the best that were paid for"}


def raced(results, rounds, count):
    """A race of candidates that differ in their flip, all of the shelf."""
    entered = [Candidate(Network("resnet18"), None, "none", (("hflip", number / 4),)) for number in range(count)]
    setup = Setup("x", ("a", "b"), 100, 16, (), Recipe(), 0)
    return Race(entered, results, rounds, Rules(4, frozenset(range(count))), [1] * count, setup, 1.0)


def test_a_round_that_was_not_finished_counts_nowhere():
    whole = raced(results_of([0.5, 0.62], [0.55, 0.55], [0.6, 0.58]), [range(3)] * 2, 3)
    torn = raced({**whole.results, (0, 2): Score(10.0, 3.0, 1.0), (1, 2): None}, [range(3)] * 3, 3)
    assert torn.table() == whole.table()
    assert torn.chosen.values == whole.chosen.values
    assert torn.to_dict()["candidates"] == whole.to_dict()["candidates"]
    assert torn.answer.replace("8 trainings", "6 trainings") == whole.answer
    first = raced({**results_of([0.5], [0.6]), (0, 1): Score(10.0, 3.0, 1.0)}, [range(2)] * 2, 2)
    assert "With one training each" in first.answer


def test_candidates_that_were_never_trained_are_counted():
    race = raced(results_of([0.5]), [range(3)], 3)
    assert "2 of 3 candidates were not trained: the race ended before." in race.answer
    assert [row.note for row in race.rows][1:] == ["not trained", "not trained"]
    with pytest.raises(BadInput, match="the time was over before one training was done"):
        raced({}, [range(3)], 3).answer  # noqa: B018
    with pytest.raises(BadInput, match="the time was over"):
        raced({}, [], 3).answer  # noqa: B018


def test_a_round_that_was_not_finished_does_not_count():
    results = results_of([0.6], [0.5, 0.9], [0.7])
    assert final(results, [range(3), range(3)], EQUAL_BREADTH, RULES).order == (1, 0, 2)


def test_differences_are_over_common_runs():
    results = results_of([0.5, 0.6, 0.7], [0.4, 0.4])
    gap = against(results, 0, 1, 4, "score")
    assert gap is not None
    assert gap.mean == pytest.approx(0.15)
    assert gap.runs == 2
    accuracy = against(results, 0, 1, 4, "accuracy")
    assert accuracy is not None
    assert accuracy.mean == pytest.approx(-1.5)
