"""``python -m daas.search``: exit code 0 when done, 2 for bad input, 130 when interrupted, 1 when it diverged."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from daas.errors import BadInput, memory_told
from daas.options import leave
from daas.processes import RankLost, RanksDiffer
from daas.search.options import parse
from daas.search.report import __main__ as report
from daas.search.report.verdict import verdict
from daas.search.runs.one import search
from daas.search.runs.seeds import repeat
from daas.search.runs.stop import Diverged, Interrupted


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a search from the command line and says where its results are.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit code.
    """
    number = int(os.environ.get("RANK", "0"))  # of this process, under torchrun
    error_word = f"error in process {number}" if number else "error"
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["report"]:
        return report.main(words[1:])
    try:
        config = parse(words)
        with memory_told():
            found = None if config.seeds else search(config)
            page = repeat(config) if found is None else found.page
    except BadInput as error:
        print(f"{error_word}: {error}", file=sys.stderr)
        return 2
    except (Diverged, RankLost, RanksDiffer) as error:
        print(f"{error_word}: {error}", file=sys.stderr)
        return 1
    except Interrupted as stopped:
        if not number:
            print(f"\n{stopped}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print(
            "\nStopped at once; go on from the last checkpoint, if there is one, with --resume auto.", file=sys.stderr
        )
        return 130
    if not number:
        print(f"Done. Results in {config.out}{f'; look at {page}' if page else ''}")
        for sentence in () if found is None else verdict(found.summary):
            print(f"  {sentence}")
    return 0


if __name__ == "__main__":
    leave(main)
