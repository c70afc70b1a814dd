"""The report: one self-contained page, with everything that was searched, and safe with any class name."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from daas.augment import Policy
from daas.augment.policy import PolicyOp, SubPolicy
from daas.errors import BadInput
from daas.search.found import found_in
from daas.search.report import page as page_
from daas.search.report.commands import HELD_OUT_PHOTOS, commands
from daas.search.report.page import write_report
from daas.search.report.plots import heat_map
from daas.train import parse

Run = Callable[..., tuple[int, Path]]


def test_the_page_shows_everything_and_loads_nothing(run_search: Run) -> None:
    _, out = run_search()
    page = (out / "report.html").read_text()
    for text in (
        "Normal cell",
        "Reduction cell",
        "close to uniform",  # after nine iterations
        "All options",
        "--preset",
        "data:image/png;base64",
    ):
        assert text in page
    assert page.count("<img ") == 8 * 6 + 10  # the grid of the policy, one image per class
    assert page.count("<svg") >= 8
    assert "Below is what the search has found" not in page  # nothing raced
    references = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert all(reference.startswith(("data:", "#")) for reference in references)
    assert f"genotype={out / 'genotype.json'}" in words_of(out)


def test_the_command_of_the_page_runs_at_the_size_of_the_search_and_runs_twice(
    run_search: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from daas.train.__main__ import main

    monkeypatch.chdir(tmp_path)
    _, out = run_search("--max-steps", "2")
    words = words_of(out)
    options = parse(words)
    assert options.model_kwargs == {"genotype": str(out / "genotype.json"), "channels": 2, "layers": 3}
    assert (options.batch_size, options.lr, options.experiment) == (64, 0.1, "run")
    assert options.epochs == 250  # of 6 batches each: 1,500 updates
    words[words.index("--epochs") + 1] = "1"
    assert main(words) == 0
    weights = tmp_path / "output" / "train" / "run" / "last.safetensors"
    first = weights.read_bytes()
    assert main(words) == 0
    assert weights.read_bytes() == first


def test_a_page_without_the_files_of_the_search_has_no_commands_for_them(run_search: Run, tmp_path: Path) -> None:
    _, out = run_search("--max-steps", "2")
    found = found_in(out)
    page = found.report(tmp_path / "elsewhere" / "page.html").read_text()
    assert "genotype.json" not in page
    assert "create_model" not in page
    assert "found.save(" in page
    assert 'class="command"' not in page
    assert 'class="command"' in (found.save(tmp_path / "saved") / "report.html").read_text()


def test_the_papers_presets_are_trained_by_the_papers_recipes() -> None:
    options = {
        "preset": "paper-cifar10", "dataset": "torch/cifar10", "data_dir": None, "val_dir": None, "model": "",
        "model_kwargs": [], "hflip": None, "crop_padding": None, "skip_bad_images": False,
    }  # fmt: skip
    data = {"image_size": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "class_names": ["a", "b"]}
    said = commands(Path("runs/mine"), {"options": options, "data": data}, True, True)
    given = parse(shlex.split(said["train"])[2:])
    assert (given.model, given.epochs, given.experiment) == ("daas_cell_cifar", 600, "mine")
    assert given.model_kwargs["genotype"] == "runs/mine/genotype.json"
    assert given.aa == "daas:runs/mine/policy.json"
    race = {"policy": False, "recipe": ["--epochs", "30"], "cells": ["darts_v2_cifar", "channels=7", "layers=5"]}
    said = commands(Path("runs/mine"), {"options": options, "data": data, "race": race}, True, True)
    given = parse(shlex.split(said["train"])[2:])
    assert (given.model, given.model_kwargs["channels"], given.model_kwargs["layers"]) == ("darts_v2_cifar", 7, 5)
    assert "timm.create_model('darts_v2_cifar', num_classes=2, channels=7, layers=5)" in said["python"]


@pytest.mark.parametrize("mode", ["arch", "aug"])
def test_one_half_of_the_pair_is_enough(run_search: Run, mode: str, small_convnet: str) -> None:
    extra = ["--model", small_convnet] if mode == "aug" else []
    _, out = run_search("--mode", mode, *extra)
    page = (out / "report.html").read_text()
    assert ("Normal cell" in page) == (mode == "arch")
    assert ("How often each operation" in page) == (mode == "aug")
    assert ("shared with all" in page) == (mode == "arch")


def words_of(out: Path) -> list[str]:
    command = re.search(r'<pre class="command">(.*?)</pre>', (out / "report.html").read_text())
    assert command is not None
    return shlex.split(html.unescape(re.sub("<[^>]*>", "", command[1])))[2:]


def test_the_command_of_a_policy_search_trains_the_network_that_was_searched_for(
    run_search: Run, small_convnet: str
) -> None:
    _, out = run_search(
        "--mode", "aug", "--max-steps", "1", "--model", small_convnet, "--model-kwargs", "width=6", "--hflip", "0.25",
        "--crop-padding", "3",
    )  # fmt: skip
    options = parse(words_of(out))
    assert (options.model, options.model_kwargs) == (small_convnet, {"width": 6})
    assert (options.hflip, options.crop_padding) == (0.25, 3)
    page = html.unescape((out / "report.html").read_text())
    assert f"timm.create_model('{small_convnet}', num_classes=10, width=6)" in page


def test_the_command_for_a_folder_asks_for_images_to_test_on(run_search: Run, two_classes: Path) -> None:
    (two_classes / "dark" / "broken.png").write_text("no picture")
    small = ("--data-dir", str(two_classes), "--image-size", "16", "--batch-size", "8", "--max-steps", "1")
    _, out = run_search(*small, "--skip-bad-images")
    options = parse(words_of(out))
    assert options.val_dir == HELD_OUT_PHOTOS
    assert options.skip_bad_images
    assert f"{HELD_OUT_PHOTOS}: a folder" in (out / "report.html").read_text()
    own = shutil.copytree(two_classes, two_classes.parent / "own")
    _, named = run_search(*small, "--skip-bad-images", "--val-dir", str(own), out="named")
    assert parse(words_of(named)).val_dir == str(own)
    assert HELD_OUT_PHOTOS not in (named / "report.html").read_text()
    for part in ("train", "val"):
        shutil.copytree(two_classes, two_classes.parent / "divided" / part)
    _, divided = run_search(
        *small, "--skip-bad-images", "--data-dir", str(two_classes.parent / "divided"), out="divided"
    )
    assert HELD_OUT_PHOTOS not in (divided / "report.html").read_text()


def test_class_names_and_warnings_are_text_not_markup(run_search: Run) -> None:
    _, out = run_search()
    summary = json.loads((out / "summary.json").read_text())
    summary["data"]["class_names"][0] = "<script>alert(1)</script>"
    summary["warnings"] = ["careful <b>"]
    (out / "summary.json").write_text(json.dumps(summary))
    page = write_report(out).read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "careful &lt;b&gt;" in page


def test_a_folder_without_a_finished_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no finished search"):
        write_report(tmp_path)


def test_a_uniform_policy_is_called_uniform_and_another_is_listed_in_words() -> None:
    lines = [{"epoch": 1, "phase": "joint"}]
    assert page_._policy(Policy.of_operations(slots=2), lines, None)["uniform"]
    parts = ((0.9, PolicyOp("ShearX", 0.5, 0.07)), (0.1, PolicyOp("Invert", 0.5, None)))
    subs = tuple(SubPolicy(weight, (op,)) for weight, op in parts)
    peaked = page_._policy(Policy("peaked", "by hand", subs), lines, None)
    assert not peaked["uniform"]
    assert peaked["best"][0] == ("90.00%", ["ShearX by 7% of the height, either direction, in 50% of its turns"])


def test_no_line_of_a_command_breaks_within_an_option(run_search: Run) -> None:
    _, out = run_search("--max-steps", "1")
    page = (out / "report.html").read_text()
    assert "<span>--epochs " in page
    assert re.search(r"<span>--mean [\d.]+ [\d.]+ [\d.]+</span>", page)
    assert page.index("Next, train it") < page.index("<h2>")


@pytest.mark.parametrize(("classes", "most"), [(100, 250_000), (1000, 2_500)])
def test_of_very_many_classes_the_pictures_are_small(classes: int, most: int) -> None:
    names = [f"class {number}" for number in range(classes)]
    data = {"class_names": names, "class_counts": [1] * classes, "val_class_counts": [1] * classes}
    noise = torch.randint(256, (3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    summary = {"data": data, "val_class_accuracy": [50.0] * classes}
    rows = page_._classes(summary, dict.fromkeys(names[:3], noise))
    assert len(rows) == classes
    assert most / 10 < len(rows[2]["picture"]) < most
    assert rows[3]["picture"] == ""


def test_a_dollar_in_a_name_is_drawn_as_it_is() -> None:
    """A primitive of one's own may be called anything; ``$x_{2$`` as a formula could not be parsed."""
    assert "$x_{2$" in heat_map([[0.5]], ["$x_{2$"], ["a"], "alpha", (2.0, 2.0))
