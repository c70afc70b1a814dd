"""``python -m daas.search.report RUN``: makes the page of a search again."""

from __future__ import annotations

import sys
from pathlib import Path

from daas.errors import BadInput
from daas.search.report.page import write_report


def main() -> int:
    """``python -m daas.search.report RUN``: writes the page again (without the pictures of the images)."""
    if len(sys.argv) != 2:
        print("usage: python -m daas.search.report RUN", file=sys.stderr)
        return 2
    try:
        print(write_report(Path(sys.argv[1])))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
