"""``daas train``: exit code 0 when done, 1 when the loss diverged, 2 for bad input, 130 when interrupted."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from daas.errors import BadInput
from daas.files import system_told
from daas.options import leave
from daas.train.command_line import parse
from daas.train.run import train


def main(argv: Sequence[str] | None = None) -> int:
    """Trains from the command line.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit code.
    """
    joined = _joined()
    try:
        with system_told():
            options = parse(sys.argv[1:] if argv is None else argv)
            result = train(options)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Go on from the last checkpoint with the same command and --resume auto.", file=sys.stderr)
        return 130
    finally:
        first = not _joined() or torch.distributed.get_rank() == 0
        if _joined() and not joined:
            torch.distributed.destroy_process_group()
    if not options.validate and first:
        print(f"Done: top-1 {result['top1']:.2f}% (best {result['best_top1']:.2f}%). Results in {result['output']}")
    return 0


def _joined() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


if __name__ == "__main__":
    leave(main)
