import pytest

from benchmarks.regret_comparisons import BEST_MEAN, PROPOSED, RULE, against_shelf, between, comparisons, holm
from benchmarks.regret_judged import Judged, judged


def tasks(*rows: tuple[str, int, str, float], **chosen: str) -> dict[str, Judged]:
    """Judged candidates (task, seed, candidate, accuracy); ways take the same one with every seed."""
    lines = [{"kind": "whole", "task": t, "seed": s, "candidate": c, "accuracy": a} for t, s, c, a in rows]
    keys = {(row[0], row[1]) for row in rows}
    lines += [
        {"kind": "choice", "task": t, "seed": s, "way": way, "candidate": taken}
        for t, s in sorted(keys)
        for way, taken in chosen.items()
    ]
    return judged(lines)


def test_the_best_of_the_shelf_is_that_of_the_task_over_the_seeds() -> None:
    one = tasks(
        ("natural", 1, "none, flip", 40.0), ("natural", 2, "none, flip", 50.0), ("natural", 1, "mine", 47.0),
        ("natural", 2, "mine", 48.0), ("natural", 1, "randaugment, flip", 46.0),
        ("natural", 2, "randaugment, flip", 47.0),
        screen="mine",
    )  # fmt: skip
    assert against_shelf(one, "screen") == {("natural", 1): 1.0, ("natural", 2): 1.0}
    said = comparisons(one)
    assert said[0].startswith(
        "On natural photographs, *screen* minus the best off the shelf (randaugment, flip): +1.00 "
    )
    assert against_shelf(one, "race") == {}


def test_only_later_seeds_judge_the_way_that_the_first_suggested() -> None:
    rows = [("digits", s, c, a + s) for s in (1, 2, 3) for c, a in (("a", 60.0), ("b", 61.5))]
    one = tasks(*rows, **{RULE: "a", BEST_MEAN: "b"})
    assert set(between(one, BEST_MEAN, RULE).values()) == {1.5}
    assert comparisons(one) == [
        f"*{BEST_MEAN}* minus *{RULE}*, seeds 2 and 3: +1.50 points (sd 0.00, n = 2, 95% interval +1.50 to +1.50)."
    ]


def test_what_the_screen_and_the_proposals_add_is_paired_by_task_and_seed() -> None:
    rows = [("digits", 1, c, a) for c, a in (("a", 60.0), ("b", 61.5), ("c", 63.5))]
    assert comparisons(tasks(*rows, **{"race": "a", RULE: "b", PROPOSED: "c"})) == [
        f"What the gradient's proposals add, at equal trainings, *{PROPOSED}* minus *{RULE}*: +2.00 (n = 1).",
        f"What the screen adds to a race, at equal trainings, *{RULE}* minus *race*: +1.50 (n = 1).",
    ]


def test_ranks_are_compared_with_the_entry_that_is_hardest_to_beat() -> None:
    rows = [
        (task, seed, candidate, 50.0 + gap * (seed + place))
        for place, task in enumerate("abcd")
        for seed in (1, 2)
        for candidate, gap in (("none, flip", -2.0), ("randaugment, flip", -1.0), ("mine", 1.0))
    ]
    (said,) = comparisons(tasks(*rows, screen="mine"))
    assert said.startswith("*screen* minus *randaugment, flip*, the best of the shelf over all tasks: +6.00 points")
    assert said.endswith("p = 0.016 (Wilcoxon; Holm over two).")


def test_holm() -> None:
    assert holm({"a": 0.03, "b": 0.01, "c": 0.04}, planned=3) == pytest.approx({"b": 0.03, "a": 0.06, "c": 0.06})
    assert holm({"a": 0.03}, planned=2) == pytest.approx({"a": 0.06})
    assert holm({}, planned=2) == {}
