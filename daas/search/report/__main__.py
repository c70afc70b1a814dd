"""``daas search report RUN``, or ``python -m daas.search.report RUN``: makes the page of a search again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from daas.errors import BadInput, plain
from daas.files import system_told
from daas.parser import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the page of a finished search again, without the pictures of its images.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit code: 0 when done, 2 for bad input.
    """
    parser = Parser(prog="daas search report", description="Makes the page of a search again.")
    parser.add_argument("run", metavar="RUN", type=Path, help="output folder of daas search")
    from daas.search.report.page import write_report  # at need: it draws

    try:
        with system_told():
            print(plain(str(write_report(parser.parse_args(argv).run))))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
