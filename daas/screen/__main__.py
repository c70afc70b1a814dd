"""``daas screen``: exit code 0 when done, 1 when it diverged, 2 for bad input, 130 when interrupted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from daas.errors import BadInput
from daas.files import system_told
from daas.options import leave
from daas.screen.options import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Screens the images that a command line names, and says what changes their labels.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit code.
    """
    try:
        with system_told():
            options = parse(sys.argv[1:] if argv is None else argv)
            from daas.screen.api import run  # after the options: --help needs none of it
            from daas.screen.saving import PAGE, POLICY
            from daas.screen.words import next_lines, report

            found = run(options)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command with --resume auto goes on.", file=sys.stderr)
        return 130
    assert options.out is not None, "parse gives a folder"
    policy, page = options.out / POLICY, options.out / PAGE
    print(report(found))
    print("\n" + "\n".join(next_lines(found, str(policy) if os.path.exists(policy) else None)))
    print(f"\nDone. Results in {options.out}{f'; look at {page}' if os.path.exists(page) else ''}")
    return 0


if __name__ == "__main__":
    leave(main)
