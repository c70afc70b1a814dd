"""``daas hub``: exit code 0 when done, 1 for faults or no connection, 2 for bad input, 130 interrupted."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from daas.answers import HubFailure, scrub
from daas.errors import BadInput
from daas.files import system_told
from daas.hub.exporting import APACHE, export
from daas.hub.pulling import pull
from daas.hub.pushing import push
from daas.hub.verifying import verify
from daas.options import leave
from daas.parser import Parser

_REPOSITORY = "user/name, or user/name@revision (a branch, tag or commit)"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit code.
    """
    for handler in logging.getLogger("huggingface_hub").handlers:
        handler.addFilter(_scrubbed)  # its warnings name addresses that may be signed
    try:
        with system_told():
            return _do(_parser().parse_args(argv))
    except BadInput as error:
        print(f"error: {scrub(str(error))}", file=sys.stderr)
        return 2
    except HubFailure as error:
        print(f"error: {scrub(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Nothing was published that was not complete.", file=sys.stderr)
        return 130


def _scrubbed(record: logging.LogRecord) -> bool:
    record.msg, record.args = scrub(record.getMessage()), ()
    return True


def _do(options: argparse.Namespace) -> int:
    if options.verb == "export":
        made = export(options.run, options.folder, options.weights, options.license, options.license_file)
        print(f'{made} is ready. After import daas: timm.create_model("local-dir:{made}", pretrained=True)')
        return 0
    if options.verb == "push":
        print(push(options.source, options.repo, options.private, options.force, options.dry_run, options.message))
        return 0
    report = verify(options.source) if options.verb == "verify" else pull(options.repo, options.folder)
    print(report)
    if options.verb == "pull":
        print(f"{options.folder}: {'not written' if report.faults else 'written'}")
    return 1 if report.faults else 0


def _parser() -> Parser:
    parser = Parser(
        prog="daas hub",
        description="Turns a training run into a repository of the Hugging Face Hub, and back. Tokens are taken from "
        "where huggingface_hub keeps them (hf auth login, or HF_TOKEN) and from nowhere else.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="export|push|verify|pull")
    make = verbs.add_parser("export", help="run folder -> repository folder")
    make.add_argument("run", metavar="RUN", help="output folder of daas train")
    make.add_argument("folder", metavar="FOLDER", help="repository folder to make; its name is the model's name")
    make.add_argument("--weights", choices=("best", "last"), default="best", help="epoch whose weights are taken")
    make.add_argument("--license", default=APACHE, metavar="ID", help="of the weights, as the Hub names it")
    make.add_argument("--license-file", metavar="FILE", help="text of the licence, for another than the default")
    send = verbs.add_parser("push", help="run or repository folder -> one commit on the Hub")
    send.add_argument("source", metavar="RUN|FOLDER", help="a run folder is exported first, with the best weights")
    send.add_argument("repo", metavar="REPO", help="user/name, or user/name@branch; made if it is not there")
    send.add_argument("--private", action="store_true", help="make a new repository private")
    send.add_argument("--force", action="store_true", help="write over newer weights, or changes made on the Hub")
    send.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
    send.add_argument("--message", metavar="TEXT", help="of the commit")
    check = verbs.add_parser("verify", help="check checksums, genotype, policy, keys, shapes and logits")
    check.add_argument("source", metavar="REPO|FOLDER", help=f"a folder, or {_REPOSITORY}")
    load = verbs.add_parser("pull", help="repository -> checked folder")
    load.add_argument("repo", metavar="REPO", help=_REPOSITORY)
    load.add_argument("folder", metavar="FOLDER", help="where to; must not exist, or be empty")
    return parser


if __name__ == "__main__":
    leave(main)
