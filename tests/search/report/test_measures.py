"""What is watched: signal against noise on made-up gradients, a policy against a uniform one, plain warnings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from daas.search.algorithm.state import State
from daas.search.options import SearchConfig, parse
from daas.search.report import measures, metrics, warnings
from daas.search.report.measures import PolicySignal, cells_rank, derived_accuracy, policy_gain
from daas.search.runs.build import SearchData, build_data, build_search
from daas.search.spaces.cells import ArchitectureDistribution
from daas.search.spaces.derivation import Limits
from daas.seeds import generator
from tests.conftest import SHORT_SEARCH

Run = Callable[..., tuple[int, Path]]
CPU = torch.device("cpu")


def small_config(tmp_path: Path, *arguments: str) -> SearchConfig:
    return parse([*SHORT_SEARCH, "--out", str(tmp_path / "none"), *arguments])


def with_cells(tmp_path: Path) -> tuple[State, SearchData, ArchitectureDistribution]:
    """A short search that has just begun."""
    config = small_config(tmp_path)
    data = build_data(config)
    search = build_search(config, data, CPU)
    assert search.architecture is not None
    return search, data, search.architecture


def test_noise_alone_has_a_ratio_of_one_and_signal_has_more() -> None:
    """By definition: the mean over many epochs of noise is 1; a mean gradient m adds n |m|^2 / trace."""
    random = torch.Generator().manual_seed(0)
    noise, signal = [], []
    for _ in range(400):
        for found, mean in ((noise, 0.0), (signal, 0.5)):
            watched = PolicySignal()
            for _ in range(10):
                watched.add({"pi": mean + torch.randn(2, 15, generator=random)})
            found.append(watched.ratios()["pi"])
    assert sum(noise) / 400 == pytest.approx(1, abs=0.06)
    assert sum(signal) / 400 == pytest.approx(1 + 10 * 0.25, rel=0.06)


def test_the_ratio_is_that_of_its_formula_and_survives_a_checkpoint() -> None:
    gradients = [{"pi": torch.tensor([1.0, 2.0]), "p_logit": torch.tensor([3.0])}, {"pi": torch.tensor([2.0, 4.0])}]
    watched = PolicySignal()
    watched.add({})
    watched.add(gradients[0])
    assert watched.ratios() == {}
    watched = PolicySignal.of(watched.tensors())
    watched.add({**gradients[1], "p_logit": torch.tensor([3.0])})
    assert watched.ratios() == {"pi": pytest.approx(2 * (1.5**2 + 3**2) / (0.5 + 2.0))}  # p is constant: no ratio


def test_watching_changes_nothing(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    data = build_data(config)
    search = build_search(config, data, CPU)
    before = {name: value.clone() for name, value in search.network.state_dict().items()}
    state = torch.get_rng_state()
    accuracy = derived_accuracy(search, data, CPU)
    gain = policy_gain(search, data, CPU, 3, 0.1, 2)
    assert all(torch.equal(value, before[name]) for name, value in search.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert 0 <= accuracy <= 100
    assert gain == policy_gain(search, data, CPU, 3, 0.1, 2)
    assert gain["n"] == 2


def test_cells_stand_among_uniform_ones_within_the_limits(tmp_path: Path) -> None:
    """Random cells are uniform whatever alpha says, and the same ones whatever is compared with them."""
    search, data, cells = with_cells(tmp_path)
    skip = cells.primitives.index("skip_connect")
    cells.limit(Limits(torch.zeros(0, 2, len(cells.edge_list), 7, dtype=torch.int64), (), 1, skip))
    before = {name: value.clone() for name, value in search.network.state_dict().items()}
    for name in ("max_pool_3x3", "sep_conv_3x3"):
        with torch.no_grad():
            cells.alpha.zero_()[..., cells.primitives.index(name)] = 9.0
        drawn = [cells.uniform().draw(generator(0, k)) for k in range(40)]
        assert len({z.operations for z in drawn}) == 40
        assert not all(map(cells.within, drawn))
        found = cells_rank(search, data, CPU, 8)
        assert found is not None
        assert found == cells_rank(search, data, CPU, 8)
        assert found["n"] == 8
        assert 0 <= found["better"] <= 8
    assert all(torch.equal(value, before[name]) for name, value in search.network.state_dict().items())


def test_cells_whose_loss_is_no_number_are_worse_than_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search, data, _ = with_cells(tmp_path)
    losses = iter([2.0, float("inf"), 1.0])
    monkeypatch.setattr(measures, "_path_loss", lambda *_: next(losses))
    assert cells_rank(search, data, CPU, 2) == {"n": 2, "better": 1}


def test_random_cells_have_every_rank_as_often(tmp_path: Path) -> None:
    """Cells by chance are better than none, one, two, three and all of four others, each as often."""
    search, data, cells = with_cells(tmp_path)
    ranks = []
    for seed in range(40):
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            cells.alpha.copy_(torch.randn(cells.alpha.shape, generator=random))
            cells.beta.copy_(torch.randn(cells.beta.shape, generator=random))
        search.seed = seed
        found = cells_rank(search, data, CPU, 4)
        assert found is not None
        ranks.append(found["better"])
    assert set(ranks) == {0, 1, 2, 3, 4}
    assert 1.2 <= sum(ranks) / len(ranks) <= 2.8  # 2 +- 0.22


def test_limits_that_hardly_any_cells_keep_leave_nothing_to_compare_with(tmp_path: Path) -> None:
    search, data, cells = with_cells(tmp_path)
    costs = torch.ones(1, 2, len(cells.edge_list), 7, dtype=torch.int64)
    costs[..., 2] = 0
    cells.limit(Limits(costs, (0,), None, 2))  # skip connections alone
    assert cells_rank(search, data, CPU, 2) is None


def test_a_uniform_policy_gains_nothing_and_a_harmful_one_loses(tmp_path: Path) -> None:
    """After a few steps of training, always inverting both times is worse than uniform; uniform equals itself."""
    from daas.search.algorithm.state import Moment
    from daas.search.algorithm.step import iteration

    config = small_config(tmp_path, "--mode", "arch", "--channels", "4")
    data = build_data(config)
    warm = build_search(config, data, CPU)
    for step in range(25):
        iteration(warm, data.train_batch(step, CPU), data.val_batch(step, CPU), Moment(step, 0.1, 1.0, False))
    search = build_search(small_config(tmp_path, "--channels", "4"), data, CPU)
    search.network.load_state_dict(warm.network.state_dict())
    assert search.augmentation is not None
    with torch.no_grad():
        search.augmentation.delta.zero_()
    same = policy_gain(search, data, CPU, 0, 0.1, 2)
    with torch.no_grad():
        search.augmentation.pi[0, 6] = 50.0  # Invert in the first slot only: negatives for every image
        search.augmentation.p_logit.fill_(50.0)
        search.augmentation.pi[1, 14] = 50.0  # and a hole in each
    worse = policy_gain(search, data, CPU, 0, 0.1, 8)
    assert (same["mean"], same["se"]) == (0.0, 0.0)
    assert worse["mean"] < 0


def lines_with(ratio: float) -> list[dict[str, object]]:
    return [{"policy_signal": {"pi": ratio}} for _ in range(4)]


def test_warnings_name_the_collapse_the_missing_signal_and_the_harm(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    search = build_search(config, build_data(config), CPU)
    assert search.architecture is not None
    assert search.augmentation is not None
    with torch.no_grad():
        search.augmentation.pi[:, 0] = 2.0
        search.architecture.alpha[0, :, search.architecture.primitives.index("sep_conv_3x3")] = 1.0
        search.architecture.alpha[1, :, search.architecture.primitives.index("sep_conv_3x3")] = 1.0
    good = {"mean": -0.1, "se": 0.1, "n": 8}
    assert warnings.about_search(search, lines_with(3.0), good) == {}
    found = warnings.about_search(search, lines_with(1.0), {"mean": -0.3, "se": 0.1, "n": 8})
    assert set(found) == {"no signal", "worse than uniform"}
    assert "signal-to-noise ratio is 1.00" in found["no signal"]
    assert "higher by 0.3000 +- 0.1000 (n = 8)" in found["worse than uniform"]
    with torch.no_grad():
        search.architecture.alpha[0, :, search.architecture.primitives.index("skip_connect")] = 2.0
        search.augmentation.pi.zero_()
    found = warnings.about_search(search, lines_with(3.0), None)
    assert set(found) == {"skips in normal", "no signal"}
    assert "100% of the normal cell's edges" in found["skips in normal"]
    assert "hardly moved from uniform" in found["no signal"]


def test_warnings_about_images() -> None:
    facts = {"class_names": ["a", "b", "c"], "class_counts": [50, 4, 0], "val_class_counts": [50, 4, 3], "skipped": 2}
    found = warnings.about_images(facts)
    assert set(found) == {"no training images", "imbalance", "skipped"}
    assert "1 of 3 classes have no training images: c." in found["no training images"]
    assert "50 training images in the largest, 4 in the smallest" in found["imbalance"]
    assert warnings.about_images({**facts, "class_counts": [5, 4, 3], "skipped": 0}) == {}


def test_comparisons_cost_a_share_of_the_search_and_are_made_at_a_step_that_says_something(
    run_search: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [measures.affordable(steps, 16) for steps in (9, 16, 64, 1000)] == [0, 2, 8, 16]
    monkeypatch.setattr(measures, "affordable", lambda steps, most: 2)
    _, out = run_search("--lr", "0.1", "--min-lr", "0.02")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((out / "summary.json").read_text())
    gains = [line["policy_gain"] for line in lines[1:]] + [summary["policy_gain"]]
    assert "cells_rank" not in summary  # two random cells say nothing
    assert [(gain["n"], gain["eta"]) for gain in gains] == [(2, pytest.approx(0.06))] * 3


def test_all_validation_images_count(run_search: Run) -> None:
    """200 images in batches of 64 are 192 and a rest of eight."""
    _, out = run_search("--max-steps", "1")
    summary = json.loads((out / "summary.json").read_text())
    counts = summary["data"]["val_class_counts"]
    right = sum(share * n for share, n in zip(summary["val_class_accuracy"], counts, strict=True))
    assert summary["val_accuracy"] == pytest.approx(right / sum(counts), abs=0.01)


def test_pooled_comparisons_are_those_of_all_pairs() -> None:
    assert metrics.pooled([]) is None
    found = metrics.pooled([{"mean": 1.0, "se": 0.3, "n": 4}, {"mean": 2.0, "se": 0.4, "n": 4}])
    assert found == {"mean": 1.5, "se": pytest.approx(0.25), "n": 8}


def test_the_metrics_and_the_summary_have_what_is_watched(whole_search: Path) -> None:
    lines = [json.loads(line) for line in (whole_search / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= line["derived_accuracy"] <= 100 for line in lines)
    assert "policy_signal" not in lines[0]
    for line in lines[1:]:
        assert set(line["policy_signal"]) == {"pi", "p", "delta"}
        assert "policy_gain" not in line  # an epoch of three iterations does not pay for two comparisons
    summary = json.loads((whole_search / "summary.json").read_text())
    assert "policy_gain" not in summary
    assert len(summary["val_class_accuracy"]) == len(summary["data"]["val_class_counts"]) == 10


def test_tensorboard_has_the_epochs(run_search: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    code, out = run_search("--tensorboard", "--mode", "arch", "--max-steps", "6")
    assert code == 0
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert {"train_loss", "val_accuracy", "derived_accuracy", "entropy/alpha", "skip_share"} <= set(
        events.Tags()["scalars"]
    )
    assert [event.step for event in events.Scalars("train_loss")] == [3, 6]


def test_tensorboard_is_asked_for_by_name(
    run_search: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    code, out = run_search("--tensorboard")
    assert code == 2
    assert "pip install 'timm-daas[tensorboard]'" in capsys.readouterr().err
    assert not out.exists()
