"""What a search says when it begins: images, network, length; a warning where it cannot learn much."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from daas.search.options import SearchConfig
from daas.search.report import start
from daas.search.runs.build import build_data
from daas.search.runs.plan import Plan

Run = Callable[..., tuple[int, Path]]


def test_it_says_what_begins_and_how_long_it_takes(run_search: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_search("--max-steps", "2")[0] == 0
    said = capsys.readouterr()
    assert "Images: digits, 200 to train and 200 to validate on, of 10 classes, 16 x 16 pixels." in said.out
    assert "cells and a policy, on a network of 3 cells and 2 channels" in said.out
    assert "in 2 iterations of 64 images, 0 of them with the policy" in said.out
    assert (
        "The lines below: derived, the accuracy of the cells as they would be found now; skips, the share of their "
        "edges that skip; entropy of alpha, which operations the edges take and of pi, which the policies take: 1 is "
        "undecided, 0 decided; signal / noise of the gradient that the policies learn from: 1 is noise alone."
    ) in said.out
    assert re.search(r"The first iteration took \d+\.\d s: about 1 min in all\. Memory: \d+\.\d GiB\.", said.out)


def test_on_cuda_it_says_whether_passes_are_captured() -> None:
    cuda = torch.device("cuda")
    assert start.launches(SearchConfig(graph="on"), cuda) == ["Passes: captured as CUDA graphs."]
    assert start.launches(SearchConfig(graph="off"), cuda) == ["Passes: operation by operation; --graph off."]
    assert start.launches(SearchConfig(), torch.device("cpu")) == []


def warned(**options: object) -> tuple[SearchConfig, str]:
    config = SearchConfig(dataset="digits", screen=False, race=0, **options)
    data = build_data(config)
    return config, start.too_few(config, data, Plan(config, data.train.steps_per_epoch))


def test_three_hundred_images_under_the_preset_cpu_are_too_few_and_what_it_names_is_enough() -> None:
    config, text = warned(preset="cpu", max_images=300)
    assert "150 training images and these epochs make 96 sampled policies" in text
    words = re.findall(r"--(batch-size|warmup-epochs|epochs) (\d+)", text)
    more = {name.replace("-", "_"): int(value) for name, value in words}
    assert set(more) == {"batch_size", "warmup_epochs", "epochs"}
    assert warned(preset="cpu", max_images=300, **more)[1] == ""
    assert more["batch_size"] < config.batch_size


def test_enough_images_are_not_warned_of_and_cells_count_iterations() -> None:
    assert warned(preset="demo")[1] == ""
    assert "20 iterations; cells need about 200" in warned(preset="cpu", max_images=300, mode="arch")[1]
    assert warned(preset="cpu", max_images=300, mode="arch", epochs=100)[1] == ""


def test_a_rate_that_rises_is_warned_of(run_search: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert start.rising(SearchConfig(lr=0.1, min_lr=0.1)) == ""
    assert run_search("--max-steps", "1", "--lr", "0.0001", "--min-lr", "0.001")[0] == 0
    assert "Warning: The learning rate rises, from --lr 0.0001 to --min-lr 0.001" in capsys.readouterr().err
