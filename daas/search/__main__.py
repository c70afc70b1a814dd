"""``daas search``: exit code 0 when done, 2 for bad input, 130 when interrupted, 1 when it diverged."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from daas.errors import BadInput, plain
from daas.files import system_told
from daas.options import leave
from daas.search.options import parse
from daas.search.report import __main__ as report
from daas.search.report.commands import commands
from daas.search.report.verdict import verdict
from daas.search.runs.folder import folder
from daas.search.runs.stop import Diverged, Interrupted
from daas.shell import typed
from daas.whole.run import repeat, search


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
        with system_told():
            config = parse(words)
            found = repeat(config) if config.seeds else search(config)
    except BadInput as error:
        print(f"{error_word}: {error}", file=sys.stderr)
        return 2
    except (Diverged, FloatingPointError, RuntimeError) as error:  # a lost process of the search or of the race, too
        print(f"{error_word}: {error}", file=sys.stderr)
        return 1
    except Interrupted as stopped:
        if not number:
            print(f"\n{stopped}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print(
            "\nStopped at once. What is finished is kept; the same command with --resume auto goes on.", file=sys.stderr
        )
        return 130
    if not number:
        print(f"Done. Results in {config.out}{f'; look at {found.page}' if found.page else ''}")
        for sentence in verdict(found.summary):
            print(f"  {plain(sentence)}")
        next_ = commands(folder(config), found.summary, found.genotype is not None, found.policy is not None)
        if next_["train"]:
            print(f"Next: {plain(typed(next_['train']))}\n{next_['note']}".rstrip())
    return 0


if __name__ == "__main__":
    leave(main)
