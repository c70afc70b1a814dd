"""The compiled path among threads and processes, and where its code is kept."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import pytest
import torch
from torch import Tensor

from daas.augment.cpu import driver, jit
from daas.augment.ops import apply
from tests.augment.inputs import all_pairs, draw_of, pictures

IMAGES, DRAW = pictures(225, 32, 32), draw_of(all_pairs(), seed=1)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch is told to use two threads, and every batch is worth one."""
    monkeypatch.setattr(driver, "_WORTH_A_THREAD", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_threads_share_a_batch_without_changing_it(two_threads: None) -> None:
    assert torch.equal(apply(IMAGES, DRAW, backend="numba"), apply(IMAGES, DRAW, backend="torch"))
    statistics = ((0.5,) * 3, (0.25,) * 3)
    expected = apply(IMAGES, DRAW, backend="torch", normalize=statistics)
    assert torch.equal(apply(IMAGES, DRAW, backend="numba", normalize=statistics), expected)
    assert torch.equal(apply(IMAGES[:1], DRAW[:1], backend="numba"), apply(IMAGES[:1], DRAW[:1], backend="torch"))


def test_several_callers_at_once_do_not_share_buffers() -> None:
    sizes = [(32, 32), (17, 23), (40, 12), (9, 64)] * 8
    batches = [pictures(225, *size, seed=k) for k, size in enumerate(sizes)]
    expected = [apply(batch, DRAW, backend="torch") for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda batch: apply(batch, DRAW, backend="numba"), batches))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert driver._loop.targetoptions["nogil"]  # type: ignore[attr-defined]  # a numba dispatcher


def _child(queue: multiprocessing.Queue[list[int]]) -> None:
    result = apply(IMAGES, DRAW, backend="numba")
    queue.put(result.flatten().tolist())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_started_after_use_work_on_their_own(method: str, two_threads: None) -> None:
    expected = apply(IMAGES, DRAW, backend="numba")  # the pool of threads exists now, and does not survive a fork
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_child, args=(queue,))
    process.start()
    found: Tensor = torch.tensor(queue.get(timeout=600), dtype=torch.uint8).view_as(expected)
    process.join(timeout=60)
    assert process.exitcode == 0
    assert torch.equal(found, expected)


def test_where_nothing_can_be_kept_on_disk_it_is_compiled_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    def njit(*arguments: object, **options: object) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(*arguments, **options)

    monkeypatch.setattr(numba, "njit", njit)
    with pytest.warns(UserWarning, match="NUMBA_CACHE_DIR"):
        function = jit.compiled_entry(lambda x: x + 1)
    assert function(1) == 2


def test_compiled_code_is_kept_and_its_key_is_the_source(tmp_path: Path) -> None:
    code = (
        "import numpy as np, sys\n"
        "from daas.augment.cpu import jit\n"
        "def make(digest):\n"
        "    @jit.compiled_entry\n"
        "    def entry(x):\n"
        "        _ = digest\n"
        "        return x + 1\n"
        "    return entry\n"
        "entry = make(sys.argv[1]); entry(1)\n"
        "print(sum(entry.stats.cache_hits.values()))\n"
    )
    script = tmp_path / "entry.py"
    script.write_text(code)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.getcwd()}
    hits = [
        subprocess.run(
            [sys.executable, str(script), digest], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        for digest in ("a", "a", "b")
    ]
    assert hits == ["0", "1", "0"]
    assert len(jit.source_digest()) == 64
