from pathlib import Path

import pytest
import torch

from benchmarks import regret
from benchmarks.regret import Bench, Regime, race, random_search
from benchmarks.regret_judged import judged
from benchmarks.regret_lines import Lines
from benchmarks.regret_table import BEGIN, DOCS, END, GOALS, README, by_task_and_way, interval, page, short
from daas.data import MemoryImages
from daas.race.candidates import Candidate


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A task of a few seconds."""
    monkeypatch.setitem(regret.REGIMES, "tiny", Regime("tilted", 80, 30, 1))
    random = torch.Generator().manual_seed(0)
    pixels = (torch.rand(120, 3, 8, 8, generator=random) * 255).to(torch.uint8)
    labels = torch.arange(120) % 3
    return Bench("tiny", 1, MemoryImages("noise", pixels, labels, ("a", "b", "c")), Lines(tmp_path / "lines.jsonl"))


def test_a_training_is_done_once_and_read_again(bench: Bench):
    candidate = Candidate(regret.NETWORK, None, "none", (("hflip", 0.0),))
    first = bench.run(candidate, 0)
    bench.whole(candidate)
    again = Bench.__new__(Bench)
    again.__dict__.update(bench.__dict__, lines=Lines(bench.lines.path))
    assert again.run(candidate, 0) == first
    again.whole(candidate)
    kinds = [line["kind"] for line in Lines(bench.lines.path)]
    assert kinds == ["run", "whole"]
    assert all({"command", "revision", "seconds"} <= set(line) for line in bench.lines)


def test_ways_of_choosing_share_their_trainings_and_keep_to_their_cost(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    given = ["none,hflip=0", "none,hflip=0.5"]
    chosen, trainings = race(bench, given, None, 4)
    assert trainings == 4
    assert len(list(bench.lines)) == 4
    bench.choice("race", lambda: race(bench, given, None, 4))
    assert [line["kind"] for line in bench.lines][4:] == ["choice", "whole"]
    assert bench.lines.find({"way": "race"})["candidate"] == chosen.policy_words
    monkeypatch.setattr(regret, "default", lambda _: [chosen])
    assert random_search(bench, 2) == chosen
    assert len(list(bench.lines)) == 6


def lines_of(*rows: tuple[str, int, str, float]) -> list[dict[str, object]]:
    return [
        {"kind": "whole", "task": task, "seed": seed, "candidate": candidate, "accuracy": accuracy}
        for task, seed, candidate, accuracy in rows
    ]


def test_regret_is_against_the_best_on_average_not_the_luckiest():
    lines = lines_of(
        ("t", 1, "none, flip", 60.0), ("t", 2, "none, flip", 70.0), ("t", 1, "mine", 64.0), ("t", 2, "mine", 67.0),
        ("t", 1, "once", 99.0),
    )  # fmt: skip
    lines += [
        {"kind": "choice", "task": "t", "seed": seed, "way": "race", "candidate": "none, flip"} for seed in (1, 2)
    ]
    one = judged(lines)["t"]
    assert one.best() == ("mine", {1: 64.0, 2: 67.0})
    assert one.regret() == {"none, flip": {1: 4.0, 2: -3.0}, "race": {1: 4.0, 2: -3.0}}


def test_a_seed_whose_candidates_are_not_all_judged_yet_decides_nothing():
    """The best of the few that are would be a low bar."""
    lines = lines_of(
        ("t", 1, "none, flip", 60.0), ("t", 1, "mine", 64.0), ("t", 2, "none, flip", 70.0), ("t", 2, "weak", 50.0)
    )
    lines.append({"kind": "choice", "task": "t", "seed": 1, "way": "race", "candidate": "mine"})
    one = judged(lines)["t"]
    assert one.best() == ("mine", {1: 64.0})
    assert one.regret() == {"none, flip": {1: 4.0}, "race": {1: 0.0}}


def test_page_says_what_is_missing(tmp_path: Path):
    lines = Lines(tmp_path / "lines.jsonl")
    lines.append({"kind": "run", "task": "t", "seed": 2, "candidate": "mine", "run": 0, "accuracy": 61.0})
    text = page(lines, ["t"], [1, 2])
    assert "0 of 2 (task, seed) are complete: none" in text
    assert "Under way, t, seed 2" in text
    assert "mine 61.0 (1)" in text
    for line in lines_of(("t", 1, "none, flip", 60.0), ("t", 1, "mine", 64.0)):
        lines.append(line)
    text = page(lines, ["t"], [1, 2])
    assert "best mine 64.0 (seeds 1)" in text
    assert "| none, flip | 1     | 4.0 (4.0 to 4.0)    | 4.0   | 4.0 (1) |" in text


def test_interval_of_the_mean_over_tasks():
    low, high = interval([{1: 0.0, 2: 2.0}, {1: 4.0, 2: 6.0}])
    assert 0.0 <= low < 3.0 < high <= 6.0
    assert interval([{1: 1.0}, {1: 1.0}]) == (1.0, 1.0)


def test_the_short_table_has_what_the_goals_speak_of_and_nothing_else():
    lines = lines_of(*(("t", seed, way, 80.0 - seed) for way in GOALS for seed in (1, 2)), ("t", 1, "best", 90.0))
    lines += lines_of(("t", 2, "best", 86.0), ("half", 1, "none, flip", 1.0))
    for seed in (1, 2):
        for way, candidate in (("screen", "best"), ("screen, race", "best"), ("random policy", "none, flip")):
            lines.append({"kind": "choice", "task": "t", "seed": seed, "way": way, "candidate": candidate})
    text = short(lines)
    assert "(1 tasks, 2 runs)" in text  # the other task has no choices
    rows = {row.split("|")[1].strip(): [float(cell) for cell in row.split("|")[2:4]] for row in text.splitlines()[2:]}
    assert rows["none, flip"] == rows["a random policy, flip"] == [9.5, 9.5]
    assert rows["**what the screen allows**, its flip"] == [0.0, 0.0]


def test_the_readme_and_the_page_of_results_have_the_tables_of_the_records():
    lines = Lines(regret.RESULTS)
    for path, own in ((README, short(lines)), (DOCS, by_task_and_way(lines, list(regret.REGIMES)) + "\n")):
        assert path.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0] == own
