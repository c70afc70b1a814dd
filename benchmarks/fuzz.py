"""Hostile and damaged inputs at every door: ``python -m benchmarks.fuzz --inputs 12000 --seed 0 --out FILE.md``.

Whatever a file holds, a door takes it in or raises ``BadInput``. Anything else is counted as a fault: another
exception, more than ten seconds, a gigabyte of memory, a process that is started, a pickle that is opened.
"""

from __future__ import annotations

import argparse
import platform
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.fuzzing.door import Door, quiet
from benchmarks.fuzzing.doors import doors
from daas.errors import BadInput
from daas.files import write_text

SECONDS, WAIT, BYTES = 10, 60, 2**30
"""Limits for an input: the processor's seconds (a busy machine is no fault), seconds of the clock, memory."""
_WATCHED = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "pickle.find_class",
    "webbrowser.open",
)


class Hang(BaseException):
    """The time of an input is over; nothing catches it by mistake."""


@dataclass
class Tally:
    """What happened at a door.

    Attributes:
        taken: Inputs that were taken in.
        refused: Inputs that were refused with ``BadInput``.
        faults: Descriptions of everything else, with their number.
        slowest: Seconds.
        grown: Bytes by which the process' peak grew.
    """

    taken: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    grown: int = 0


def try_door(door: Door, inputs: int, number: int) -> Tally:
    """Tries inputs at a door.

    Args:
        door: Which.
        inputs: How many.
        number: Seed of the inputs.
    """
    tally, ran = Tally(), Watch()
    before = _peak(anew=True)

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(door.inputs)
    def one(value: Any) -> None:
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(WAIT)
        try:
            with ran:
                door.go(value)
            tally.taken += 1
        except BadInput as error:
            tally.refused += 1
            if not str(error).replace("\n", " ").isprintable():
                tally.faults["a message with control characters"] += 1
        except Hang:
            tally.faults[f"more than {SECONDS} s"] += 1
        except Exception as error:  # what the fuzz is there to find
            tally.faults[_described(error)] += 1
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
        tally.slowest = max(tally.slowest, time.monotonic() - start)

    def over(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, over)
    signal.signal(signal.SIGPROF, over)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one()
    tally.faults.update({f"code was run: {event}": times for event, times in ran.events.items()})
    tally.grown = _peak() - before
    if tally.grown > BYTES:
        tally.faults["more than 1 GB"] += 1
    return tally


class Watch:
    """Counts events that mean that code runs or could be run, while it is entered."""

    _hooked = False
    _now: Watch | None = None

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        if not Watch._hooked:
            Watch._hooked = True
            sys.addaudithook(Watch._heard)

    @staticmethod
    def _heard(event: str, _: tuple[Any, ...]) -> None:
        if Watch._now is not None and event in _WATCHED:
            Watch._now.events[event] += 1

    def __enter__(self) -> Watch:
        Watch._now = self
        return self

    def __exit__(self, *_: object) -> None:
        Watch._now = None


def _described(error: Exception) -> str:
    trace = error.__traceback__
    where = ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/daas/" in name:
            where = f" at daas/{name.rpartition('/daas/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}: {str(error)[:80]!r}{where}"


def _peak(anew: bool = False) -> int:
    """The most memory that the process has had, in bytes; where Linux lets it, since the last call with ``anew``."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def table(tallies: dict[str, Tally], command: str) -> str:
    """The result as Markdown."""
    rows = [
        f"| {name} | {t.taken + t.refused + t.faults.total():,} | {t.taken:,} | {t.refused:,} | {t.faults.total()} "
        f"| {t.slowest:.1f} | {t.grown / 2**20:.0f} |"
        for name, t in tallies.items()
    ]
    total = sum(t.taken + t.refused + t.faults.total() for t in tallies.values())
    faults = Counter[str]()
    for tally in tallies.values():
        faults.update(tally.faults)
    found = [f"- {times} x {text}" for text, times in faults.most_common()] or ["None."]
    return "\n".join(
        [
            "# Hostile and damaged inputs",
            "",
            f"`{command}`, Python {platform.python_version()}: {total:,} inputs, {faults.total()} faults.",
            f"A fault is any exception but `BadInput`, more than {SECONDS} s of the processor, 1 GB, a process",
            "or a pickle that was opened, a message with control characters. Memory: growth of the process' peak.",
            "",
            "| door | inputs | taken in | refused | faults | slowest (s) | memory (MiB) |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            "## Faults",
            "",
            *found,
            "",
        ]
    )


def main() -> int:
    """Tries all doors, prints the table, and writes it; exit code 1 where there are faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=12_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="doors whose name begins with this")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    tallies = {}
    with tempfile.TemporaryDirectory() as place:
        found = doors(Path(place))
        share = sum(door.share for door in found)
        for door in found:
            if door.name.startswith(arguments.only):
                tallies[door.name] = try_door(door, round(arguments.inputs * door.share / share), arguments.seed)
                print(door.name, tallies[door.name], file=sys.stderr, flush=True)
    text = table(tallies, f"python -m benchmarks.fuzz --inputs {arguments.inputs} --seed {arguments.seed}")
    print(text)
    if arguments.out:
        write_text(arguments.out, text)
    return int(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
