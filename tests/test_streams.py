"""Programs whose terminal, reader or disk goes away, or which are told to end: what they do is done."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import daas

ALONE = (
    "import sys, time, types\n"
    f"sys.modules['daas'] = types.ModuleType('daas'); sys.modules['daas'].__path__ = {list(daas.__path__)!r}\n"
)
"""The package without what it imports by itself, timm and torch, which take seconds."""
TALKS = (
    f"{ALONE}"
    "from pathlib import Path\n"
    "from daas.options import leave\n"
    "def main():\n"
    "    for number in range(50):\n"
    "        print('line', number, flush=True)\n"
    "        print('more', number, file=sys.stderr)\n"
    "        time.sleep(0.01)\n"
    "    Path(sys.argv[1]).write_text('done')\n"
    "    return 3\n"
    "leave(main)"
)
WAITS = (
    f"{ALONE}"
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job behind & begins without
    "from pathlib import Path\n"
    "from daas.options import leave\n"
    "def main():\n"
    "    try:\n"
    "        Path(sys.argv[1]).write_text('began')\n"
    "        time.sleep(60)\n"
    "    except KeyboardInterrupt:\n"
    "        if sys.argv[2] == 'silent': raise\n"
    "        print('Stopped. Go on.', file=sys.stderr)\n"
    "        return 130\n"
    "    finally:\n"
    "        Path(sys.argv[1]).write_text('cleared')\n"
    "leave(main)"
)


def test_a_run_goes_on_without_its_reader(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TALKS, str(tmp_path / "result")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        process.stdout.read(5)
        process.stdout.close()
        assert process.wait(30) == 3
    assert (tmp_path / "result").read_text() == "done"


def test_a_run_goes_on_without_its_terminal(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", TALKS, str(tmp_path / "result")], stdout=its, stderr=its) as process:
        os.close(its)
        os.read(ours, 5)
        os.close(ours)
        assert process.wait(30) == 3
    assert (tmp_path / "result").read_text() == "done"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_a_full_disk_under_what_is_said_is_told_at_the_end(tmp_path: Path) -> None:
    ends_well = TALKS.replace("return 3", "return 0")
    with open("/dev/full", "wb") as full:
        found = subprocess.run(
            [sys.executable, "-c", ends_well, str(tmp_path / "result")],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (tmp_path / "result").read_text() == "done"
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1] == "error: not all that was said could be written: No space left on device."


def test_letters_that_a_terminal_does_not_have_are_escaped() -> None:
    code = ALONE + "from daas.options import leave\nleave(lambda: print('\u2260 \udcc3', flush=True) or 0)"
    found = subprocess.run(
        [sys.executable, "-c", code.encode("ascii", "backslashreplace").decode()],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stdout) == (0, "\\u2260 \\udcc3\n")


@pytest.mark.parametrize("answer", ["speaks", "silent"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_end_a_program_clears_up_and_says_one_line(
    answer: str, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    command = [sys.executable, "-c", WAITS, str(mark), answer]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 30
        while not (mark.exists() and mark.read_text()) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == code
    assert mark.read_text() == "cleared"
    assert said.split("\n")[:-1] == (["Stopped. Go on."] if answer == "speaks" else ["", "Stopped."])


@pytest.mark.parametrize(("pause", "code"), [(0, 143), (2.1, -signal.SIGTERM)])
def test_a_second_sigterm_ends_a_program_at_once_unless_it_was_passed_on(pause: float, code: int) -> None:
    """Launchers and containers pass on the one that the process had already."""
    program = (
        f"{ALONE}import os\n"
        "from daas.options import leave\n"
        "def main():\n"
        "    try: os.write(1, b'begun\\n'); time.sleep(60)\n"
        f"    except KeyboardInterrupt: os.write(1, b'clears\\n'); time.sleep({pause + 1})\n"
        "    return 130\n"
        "leave(main)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for said, waited in (("begun", 0), ("clears", pause)):
            assert process.stdout.readline() == f"{said}\n"
            time.sleep(waited)
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == code


def test_a_forked_process_ends_at_once_where_it_is_told_to() -> None:
    code = (
        f"{ALONE}import os, signal\n"
        "from daas.options import leave\n"
        "def main():\n"
        "    heard, says = os.pipe()\n"
        "    child = os.fork()\n"
        "    if child == 0: os.write(says, b'.'); time.sleep(60)\n"
        "    os.read(heard, 1)\n"
        "    os.kill(child, signal.SIGTERM)\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) + 100\n"
        "leave(main)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=50)
    assert (found.returncode, found.stderr) == (100 - signal.SIGTERM, "")
