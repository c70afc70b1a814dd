from pathlib import Path

import pytest
import torch

from benchmarks import pairs
from benchmarks.pairs import Bench, Size, go
from benchmarks.pairs_table import WITH_CELLS, best_of_the_shelf, judged, page
from benchmarks.regret_lines import Lines
from daas.data import MemoryImages

SEARCH = {"preset": "cpu", "channels": 8, "layers": 3, "nodes": 2, "batch_size": 25, "max_steps": 1, "architectures": 1}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A seed of a few seconds."""
    monkeypatch.setattr(pairs, "CELLS", ("darts_v2",))
    monkeypatch.setattr(pairs, "POLICIES", ("none", "cutout"))
    random = torch.Generator().manual_seed(0)
    photographs = torch.randint(256, (160, 3, 8, 8), generator=random, dtype=torch.uint8)
    images = MemoryImages("noise", photographs, torch.arange(160) % 2, ("a", "b"))
    size = Size(images=120, test=40, side=8, epochs=1, trainings=4, folds=2, search=SEARCH)
    return Bench(1, images, Lines(tmp_path / "lines.jsonl"), tmp_path / "seed-1", size)


def test_every_pair_is_trained_once_at_equal_size(bench: Bench):
    go(bench, ["found", "darts_v2 x none"])
    assert [line["pair"] for line in Lines(bench.lines.path)] == ["found", "darts_v2 x none"]
    go(bench)
    lines = list(Lines(bench.lines.path))
    whole = {line["pair"]: line for line in lines if line["kind"] == "whole"}
    assert set(whole) == {"found", "darts_v2 x none", "darts_v2 x cutout", "random", "chosen", WITH_CELLS}
    assert all(abs(line["params"] / whole["found"]["params"] - 1) <= 0.1 for line in whole.values())
    assert whole["chosen"]["params"] == whole["found"]["params"]
    assert "cutout 4" in whole["darts_v2 x cutout"]["candidate"]
    runs = [line for line in lines if line["kind"] == "run"]
    assert 2 <= len(runs) <= 8  # of two races
    assert "found, flip" in {line["pair"] for line in runs}
    bench.lines = Lines(bench.lines.path)
    go(bench)
    assert list(bench.lines) == lines


def test_what_searches_and_what_judges_has_no_image_in_common(bench: Bench):
    seen = {image.numpy().tobytes() for image in bench.images.images}
    assert len(seen) == 120
    assert not seen & {image.numpy().tobytes() for image in bench.test.images}


def lines_of(*rows: tuple[str, int, float]) -> list[dict[str, object]]:
    return [{"kind": "whole", "pair": pair, "seed": seed, "accuracy": value, "params": 5} for pair, seed, value in rows]


def test_the_table_compares_with_the_best_of_the_shelf_and_with_a_random_pair():
    lines = lines_of(
        ("chosen", 1, 71.0), ("chosen", 2, 73.0), ("random", 1, 60.0), ("random", 2, 63.0), ("a x none", 1, 70.0),
        ("a x none", 2, 71.0), ("b x none", 1, 69.0), ("b x none", 2, 73.0), ("c x none", 1, 99.0),
    )  # fmt: skip
    assert best_of_the_shelf(judged(lines)) == "b x none"
    text = page(lines)
    assert (
        "chosen minus the best of the shelf (b x none): 1.00 (sd 1.41, n = 2), 95% interval -11.71 to +13.71." in text
    )
    assert f"{WITH_CELLS} minus random" in page([*lines, {**lines[0], "pair": WITH_CELLS}])
    assert "chosen minus random: 10.50 (sd 0.71, n = 2), 95% interval +4.15 to +16.85, p = 0.0303" in text
    assert "found minus" not in text


def test_seeds_that_suggested_a_way_are_told_apart():
    lines = lines_of(
        ("a x none", 1, 70.0), ("a x none", 2, 71.0), ("a x none", 3, 72.0),
        ("a x none", 4, 73.0), (WITH_CELLS, 1, 71.0), (WITH_CELLS, 2, 70.0), (WITH_CELLS, 3, 73.0),
        (WITH_CELLS, 4, 75.0),
    )  # fmt: skip
    text = page(lines)
    assert f"{WITH_CELLS} minus the best of the shelf (a x none): 0.75 (sd 1.26, n = 4)" in text
    assert "Without seeds 1 to 3, by which it was suggested: 2.00 (n = 1), too few for an interval." in text


def test_a_table_of_nothing_says_nothing():
    assert best_of_the_shelf({}) is None
    assert "minus" not in page([])
