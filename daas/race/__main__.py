"""``daas race``: exit code 0 done, 1 every loss diverged or a worker was lost, 2 bad input, 130 interrupted."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from daas.errors import BadInput, plain
from daas.files import system_told
from daas.options import leave
from daas.race.options import parse
from daas.search.report.commands import HELD_OUT_PHOTOS
from daas.shell import typed


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a race from the command line, and says who won.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit code.
    """
    out = None
    try:
        with system_told():
            options = parse(sys.argv[1:] if argv is None else argv)
            out = options.out
            from daas.race.api import race  # after the options: --help needs none of it
            from daas.race.watch import print_line

            found = race(**options.arguments(), callbacks=[print_line])
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (FloatingPointError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"\nStopped. Trainings that are done are kept in {out}; go on with the same command and --resume.",
            file=sys.stderr,
        )
        return 130
    for text in found.warnings:
        print(f"Warning: {plain(text)}", file=sys.stderr)
    print(plain(f"{found.table()}\n\n{found.answer}\n", keep="\n"))
    command = found.command(options.out)
    note = f"{HELD_OUT_PHOTOS}: a folder of class folders with images that nothing has seen.\n"
    print(f"Train it: {plain(typed(command))}\n{note if HELD_OUT_PHOTOS in command else ''}" if command else "", end="")
    print(f"Done. Results in {options.out}; look at {options.out / 'race.html'}")
    return 0


if __name__ == "__main__":
    leave(main)
