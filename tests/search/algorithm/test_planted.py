"""A planted answer: validation images that all carry one operation make the search find that operation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from daas.augment.draw import Draw
from daas.augment.ops import apply
from daas.augment.space import INDEX
from daas.data import load_images, stratified_halves
from tests.conftest import folder_of, write_folder


@pytest.mark.parametrize("estimator", ["per-image", "policy-gradient"])
@pytest.mark.parametrize(("operation", "magnitude"), [("Rotate", 30.0), ("Invert", 0.0)])
def test_the_planted_operation_rises_to_the_top(
    run_search: Callable[..., tuple[int, Path]],
    small_convnet: str,
    tmp_path: Path,
    operation: str,
    magnitude: float,
    estimator: str,
) -> None:
    """Training images as they are, validation images all rotated (or inverted): its share must lead the 15."""
    digits = load_images("digits")
    first, second = stratified_halves(digits.labels, seed=0)
    folder_of(tmp_path / "plain", digits.subset(first))
    count = len(second)
    op = torch.full((count, 1), INDEX[operation])
    value = torch.full((count, 1), magnitude, dtype=torch.float64)
    always = torch.ones(count, 1, dtype=torch.bool)
    draw = Draw.from_choices(op, value, always, torch.Generator().manual_seed(1))
    write_folder(tmp_path / "changed", apply(digits.fetch(second), draw), digits.labels[second], digits.class_names)
    epochs = "40" if estimator == "per-image" else "80"
    code, out = run_search(
        "--data-dir", str(tmp_path / "plain"), "--val-dir", str(tmp_path / "changed"), "--image-size", "16",
        "--mode", "aug", "--model", small_convnet, "--aug-estimator", estimator, "--policies",
        "1" if estimator == "per-image" else "2", "--batch-size", "64", "--warmup-epochs", "10", "--epochs", epochs,
        "--lr", "0.05", "--min-lr", "0.05", "--aug-lr", "0.03", "--crop-padding", "0", "--hflip", "0",
    )  # fmt: skip
    assert code == 0
    first_line = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    assert first_line["operation_share"][operation] == pytest.approx(0.0667, abs=1e-3)
    share = json.loads((out / "summary.json").read_text())["operation_share"]
    assert max(share, key=share.get) == operation
    assert share[operation] > 0.15
