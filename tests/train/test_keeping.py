"""A training that is kept after every epoch, and goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from daas.errors import BadInput
from daas.train.fit import Recipe, Stopped
from daas.train.keeping import Kept
from tests.train.test_fit import trained

RECIPE = Recipe(epochs=4, batch_size=16, opt="adamw", lr=0.01, mixup=0.5, model_ema=True, model_ema_decay=0.9)


def after(batches: int) -> Callable[[], bool]:
    """Says stop at one batch."""
    seen = [0]

    def stop() -> bool:
        seen[0] += 1
        return seen[0] == batches

    return stop


@pytest.mark.parametrize("sched", ["onecycle", "cosine", "step"])
def test_it_goes_on_with_the_same_bits(sched: str, tmp_path: Path) -> None:
    """Optimizer, schedule, moving average, random streams: stopped within the third of four epochs of four batches."""
    recipe, kept = replace(RECIPE, sched=sched), Kept(tmp_path, {"images": "sides"})
    whole = trained(recipe)
    assert kept.found() is None
    with pytest.raises(Stopped):
        trained(recipe, kept=kept, stop=after(10))
    assert kept.found() == {"images": "sides"}
    epochs: list[Any] = []
    again = trained(recipe, kept=kept, progress=lambda done, of, loss: epochs.append((done, of)))
    assert epochs == [(3, 4), (4, 4)]
    assert again.losses == whole.losses
    assert torch.equal(again.logits, whole.logits)
    finished = trained(recipe, kept=kept)  # nothing is left to do
    assert torch.equal(finished.logits, whole.logits)
    kept.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_recipe_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {})
    trained(replace(RECIPE, epochs=1), kept=kept)
    with pytest.raises(BadInput, match=r"--lr was 0.01 and is 0.02"):
        trained(replace(RECIPE, epochs=1, lr=0.02), kept=kept)
    kept.path.write_bytes(kept.path.read_bytes()[:-20])
    with pytest.raises(BadInput, match="no whole checkpoint"):
        trained(replace(RECIPE, epochs=1), kept=kept)
