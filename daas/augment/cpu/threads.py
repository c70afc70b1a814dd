"""Threads that help with one piece of work, and start anew in a forked process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

_Task = Callable[[], None]


class Helpers:
    """A pool whose threads all run the same function, which shares its work out among its callers.

    Little happens in Python: what holds the interpreter's lock is what many threads would wait for. A thread that comes
    too late, because it was busy or the machine is, is not waited for.
    """

    def __init__(self) -> None:
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Threads do not survive a fork."""
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._count = 0
        self._lock = threading.Lock()

    def run(self, function: _Task, helpers: int) -> None:
        """Calls a function here and in other threads at once, and waits for those that have begun.

        Args:
            function: Takes a part of the work until there is none left.
            helpers: Threads beside this one.
        """
        if helpers < 1:
            function()
            return
        self._start(helpers)
        tickets = [function] * helpers  # who comes too late finds none, and so holds on to nothing
        done: SimpleQueue[BaseException | None] = SimpleQueue()

        def help_out() -> None:
            try:
                mine = tickets.pop()
            except IndexError:
                return
            try:
                mine()
            except BaseException as error:
                done.put(error)
            else:
                done.put(None)

        for _ in range(helpers):
            self._tasks.put(help_out)
        try:
            function()
        finally:
            begun = helpers - _take_back(tickets)
            errors = [error for error in (done.get() for _ in range(begun)) if error is not None]
        if errors:
            raise errors[0]

    def _start(self, count: int) -> None:
        with self._lock:
            tasks = self._tasks
            for number in range(self._count, count):
                threading.Thread(target=_serve, args=(tasks,), name=f"daas-augment-{number}", daemon=True).start()
            self._count = max(self._count, count)


def _serve(tasks: SimpleQueue[_Task]) -> None:
    while True:
        tasks.get()()


def _take_back(tickets: list[_Task]) -> int:
    """How many tickets nobody has taken; they are gone then."""
    count = 0
    while True:
        try:
            tickets.pop()
        except IndexError:
            return count
        count += 1
