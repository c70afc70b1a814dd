"""Threads that help, and threads that come too late."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from daas.augment.cpu.threads import Helpers


def test_all_work_is_done_once_by_several_threads() -> None:
    pool, left, done = Helpers(), list(range(200)), []
    together = threading.Barrier(4, timeout=60)

    def work() -> None:
        together.wait()  # nobody gets on alone
        while left:
            try:
                item = left.pop()
            except IndexError:
                return
            done.append((item, threading.get_ident()))
            time.sleep(0.0005)

    pool.run(work, 3)
    assert sorted(item for item, _ in done) == list(range(200))
    assert len({thread for _, thread in done}) == 4


def test_who_comes_too_late_is_not_waited_for_and_holds_on_to_nothing() -> None:
    pool, busy = Helpers(), threading.Event()
    blocker = threading.Thread(target=lambda: pool.run(lambda: busy.wait(60) or None, 1))  # type: ignore[arg-type,return-value]
    blocker.start()
    while pool._tasks.qsize():  # until the only helper is busy
        time.sleep(0.001)

    class Work:
        count = 0

        def __call__(self) -> None:
            self.count += 1

    work = Work()
    pool.run(work, 1)
    assert work.count == 1
    seen = weakref.ref(work)
    del work
    gc.collect()
    assert seen() is None
    busy.set()
    blocker.join(60)


@pytest.mark.parametrize("where", ["here", "there"])
def test_an_error_comes_out_where_the_work_was_asked_for(where: str) -> None:
    here, both = threading.get_ident(), threading.Barrier(2, timeout=60)

    def work() -> None:
        both.wait()
        if (threading.get_ident() == here) == (where == "here"):
            raise KeyError(where)

    pool = Helpers()
    with pytest.raises(KeyError, match=where):
        pool.run(work, 1)
    pool.run(lambda: None, 1)
