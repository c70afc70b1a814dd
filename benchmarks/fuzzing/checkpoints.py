"""Checkpoints with valid checksums around hostile content, at the doors of searches and trainings; damaged bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from benchmarks.fuzzing.door import Door
from benchmarks.fuzzing.inputs import damaged, trees
from daas import checkpoint
from daas.search.given import Given as SearchGiven
from daas.search.options import SearchConfig, options
from daas.search.runs import checkpoint as search_checkpoint
from daas.search.runs.build import build_data, build_search
from daas.train import run as training
from daas.train.assemble import Given, put_together
from daas.train.batches import Place
from daas.train.command_line import parse
from daas.train.output import CHECKPOINT, METRICS
from daas.train.training import Progress


def checkpoint_doors(place: Path) -> Iterator[Door]:
    """Valid checksums around hostile content, at the search's door; and damaged bytes."""
    images, labels = torch.zeros(32, 3, 8, 8, dtype=torch.uint8), torch.arange(32) % 2
    images += torch.arange(32).view(-1, 1, 1, 1).to(torch.uint8)
    config = SearchConfig(preset="demo", channels=2, layers=3, nodes=2, batch_size=8, dataset="", device="cpu")
    data = build_data(config, SearchGiven(data=(images, labels)))
    search = build_search(config, data, torch.device("cpu"))
    path, told = place / "checkpoint.safetensors", options(config)
    good = search_checkpoint.tensors(search)
    meta = {"format": search_checkpoint.FORMAT, "progress": {"step": 1, "seconds": 1.0}, "options": told, "inputs": {}}

    def restore(given: tuple[Any, dict[str, Any]]) -> None:
        header, changed = given
        tensors = {name: tensor for name, tensor in (good | changed).items() if tensor is not None}
        path.unlink(missing_ok=True)
        checkpoint.save(path, tensors, header)
        search_checkpoint.restore(path, search, told, {})

    yield Door("checkpoints of searches, valid checksum", st.tuples(trees(meta), _changes(sorted(good))), restore, 0.5)
    yield _training_checkpoints(place)
    checkpoint.save(path, {"a": torch.arange(20.0)}, {"n": 1})
    content = path.read_bytes()

    def load(damage: bytes) -> None:
        path.write_bytes(damage)
        checkpoint.load(path)

    yield Door("checkpoints, damaged", damaged(content), load)


def _training_checkpoints(place: Path) -> Door:
    """The same at a training's door: what is taken in must also be what its results can be written from."""
    folder = place / "training"
    words = [
        "--dataset", "digits", "--val-split", "test", "--model", "daas_cell_cifar", "--img-size", "8", "--epochs", "3",
        "--batch-size", "400", "--lr", "0.05", "--model-kwargs", "channels=2", "layers=3", "--device", "cpu",
    ]  # fmt: skip
    run, _ = put_together(parse(words), Place(torch.device("cpu")), folder, Given())
    metrics = dict.fromkeys(METRICS, 1.0)
    run.rows = [{"epoch": 0, "train": {"loss": 1.0}, "eval": metrics, "lr": 0.1}]
    run.best, run.progress = 0, Progress(1)
    folder.mkdir()
    training._save(run, within_epoch=False)
    good, meta = checkpoint.load(folder / CHECKPOINT)
    path = folder / "hostile.safetensors"

    def restore(given: tuple[Any, dict[str, Any]]) -> None:
        header, changed = given
        path.unlink(missing_ok=True)
        checkpoint.save(path, {name: tensor for name, tensor in (good | changed).items() if tensor is not None}, header)
        training._restore(run, path)
        training._write(run)

    return Door(
        "checkpoints of trainings, valid checksum", st.tuples(trees(meta), _changes(sorted(good))), restore, 0.5
    )


def _changes(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Tensors in the place of others, further ones, and None for those that are left out."""
    odd = st.sampled_from(
        [torch.zeros(0), torch.zeros(2), torch.zeros(3, 3, dtype=torch.int8), torch.full((1,), float("nan")), None]
    )
    return st.dictionaries(st.one_of(st.sampled_from(names), st.text(max_size=20)), odd, max_size=3)
