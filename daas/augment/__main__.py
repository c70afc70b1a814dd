"""``daas augment``: the shipped policies; what a policy does to your pictures; policies in other formats."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from daas.augment.export import torchvision_source
from daas.augment.files import SCHEDULE_FORMAT, read_json
from daas.augment.find import find_policy, list_policies
from daas.augment.grid import grid, pictures
from daas.augment.importers import PREFIXES, import_policy
from daas.augment.policy import Policy
from daas.augment.schedule import PolicySchedule
from daas.augment.space import OPERATIONS, known
from daas.errors import BadInput
from daas.files import system_told, write_text, written
from daas.options import leave
from daas.parser import Parser

_ENDINGS = {"daas": ".json", "torchvision": ".py"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit code: 0 when done, 2 for bad input.
    """
    try:
        with system_told():
            options = _parser().parse_args(argv)
            {"list": _list, "show": _show, "convert": _convert}[options.command](options)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> Parser:
    parser = Parser(prog="daas augment", description="Augmentation policies.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|show|convert")
    what = "a shipped policy, a policy file, hf-hub:user/repository, or one of the formats of convert"
    listing = commands.add_parser(
        "list", help="the shipped policies: size, how often each operation is applied, source"
    )
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.add_argument(
        "--operations", action="store_true", help="the operations instead: ranges, units, what they do"
    )

    show = commands.add_parser("show", help="draw what a policy does to your pictures")
    show.add_argument("policy", help=what)
    show.add_argument("--images", type=Path, required=True, help="folder of pictures, with or without subfolders")
    show.add_argument("--out", type=Path, required=True, help="the drawing, .png or .jpg")
    show.add_argument("--size", type=int, default=224, help="side of the pictures that the policy sees")
    show.add_argument("--rows", type=int, default=5, help="number of pictures")
    show.add_argument("--columns", type=int, default=6, help="versions of each")
    show.add_argument("--seed", type=int, default=0, help="of the draws")

    convert = commands.add_parser(
        "convert",
        help="read a published format; write a policy file, or a Python file for torchvision",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="formats of POLICY besides shipped names and policy files:\n"
        + "\n".join(f"  {prefix}\n      {text}" for prefix, text in PREFIXES.items()),
    )
    convert.add_argument("policy", help="a shipped policy, a policy file, hf-hub:user/repository, or a format below")
    convert.add_argument("out", type=Path, help="file to write: .json, or .py with --to torchvision")
    convert.add_argument(
        "--to", choices=tuple(_ENDINGS), default="daas",
        help="daas: a policy (or schedule) file; torchvision: a Python file that needs only torch, torchvision, Pillow",
    )  # fmt: skip
    convert.add_argument("--name", help="name of the policy; by default that of the original")
    for command in (show, convert):
        command.add_argument(
            "--image-size",
            type=int,
            help="torchvision, randaugment, trivialaugment: translations in whole pixels of this size",
        )
        command.add_argument("--epochs", type=int, help="pba: length of the search")
        command.add_argument("--epoch", type=int, help="of a schedule: the policy of this epoch, from 0")
        command.add_argument(
            "--leave-out", action="append", default=[], metavar="OPERATION",
            help="timm, fast-autoaugment, dada: an operation to treat as doing nothing; may be repeated",
        )  # fmt: skip
        command.add_argument("--force", action="store_true", help="write over a file that is there")
    return parser


def _list(options: argparse.Namespace) -> None:
    if options.operations:
        _list_operations(options.json)
        return
    found = [find_policy(name) for name in list_policies()]
    if options.json:
        rows = [
            {"name": p.name, "source": p.source, "sub_policies": len(p.sub_policies), "slots": p.slots,
             "operation_share": p.operation_share()} for p in found
        ]  # fmt: skip
        print(json.dumps(rows, indent=2))
        return
    print("How often each operation is applied to an image, in percent:\n")
    width = max(len(policy.name) for policy in found)
    shares = [policy.operation_share() for policy in found]
    print(f"{'':14} " + " ".join(f"{number:>4}" for number in range(1, len(found) + 1)))
    for operation in dict.fromkeys(name for share in shares for name in share):
        print(f"{operation:14} " + " ".join(f"{100 * share.get(operation, 0.0):4.0f}" for share in shares))
    print(f"{'sum':14} " + " ".join(f"{100 * sum(share.values()):4.0f}" for share in shares) + "\n")
    for number, policy in enumerate(found, start=1):
        print(f"{number:3} {policy.name:{width}} {len(policy.sub_policies):4} sub-policies. {policy.source}")


def _list_operations(as_json: bool) -> None:
    keys = ("name", "family", "unit", "low", "high", "identity", "signed", "smallest", "largest")
    rows = [{key: getattr(row, key) for key in keys} | {"searched": row in OPERATIONS} for row in known()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'':14} {'family':10} {'search space':>15} {'does nothing at':>15} {'allowed':>11}  unit")
    for row in known():
        cells = ("-",) * 3
        if row.has_magnitude:
            cells = (f"{row.low:g} to {row.high:g}", f"{row.identity:g}", f"{row.smallest:g} to {row.largest:g}")
        notes = [row.unit] if row.unit else []
        notes += ["either direction"] if row.signed else []
        notes += [] if row in OPERATIONS else ["not in the search space unless it names it"]
        print(
            f"{row.name:14} {row.family:10} {cells[0]:>15} {cells[1]:>15} {cells[2]:>11}  {'; '.join(notes)}".rstrip()
        )


def _show(options: argparse.Namespace) -> None:
    if options.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise BadInput(f"--out {options.out}: drawings are .png or .jpg files.")
    for name in ("size", "rows", "columns"):
        if getattr(options, name) < 1:
            raise BadInput(f"--{name} {getattr(options, name)}: at least 1.")
    _check_free(options)
    policy = _one_policy(options)
    images = pictures(options.images, options.rows, options.size)
    drawing = grid(policy, images, options.columns, options.seed)
    with written(options.out) as aside:
        drawing.save(aside, "PNG" if options.out.suffix.lower() == ".png" else "JPEG")
    print(f"{options.out}: {policy.name} on {len(images)} pictures, {options.columns} versions each")


def _convert(options: argparse.Namespace) -> None:
    ending = _ENDINGS[options.to]
    if options.out.suffix != ending:
        raise BadInput(f"{options.out}: with --to {options.to} the file ends with {ending}.")
    _check_free(options)
    found = _one_policy(options) if options.to == "torchvision" or options.epoch is not None else _find(options)
    if options.name:
        found = dataclasses.replace(found, name=options.name)
    if options.to == "torchvision" and isinstance(found, Policy):
        write_text(options.out, torchvision_source(found))
    else:
        found.save(options.out)
    if isinstance(found, PolicySchedule):
        print(f"{options.out}: schedule {found.name}, {found.epochs} epochs, {len(found.segments)} policies")
    else:
        share = sum(found.operation_share().values())
        print(f"{options.out}: {found.name}, {len(found.sub_policies)} sub-policies, {share:.2f} operations per image")


def _find(options: argparse.Namespace) -> Policy | PolicySchedule:
    """What the command line names: imported, a schedule file, or whatever ``find_policy`` finds."""
    text = options.policy
    prefix, colon, _ = text.partition(":")
    if colon and prefix in {known.partition(":")[0] for known in PREFIXES}:
        return import_policy(text, options.image_size, options.epochs, options.leave_out)
    for option, given in (
        ("image-size", options.image_size),
        ("epochs", options.epochs),
        ("leave-out", options.leave_out),
    ):
        if given not in (None, []):
            raise BadInput(f"--{option} belongs to a published format ({', '.join(PREFIXES)}); {text} is none.")
    if text not in list_policies() and os.path.isfile(Path(text)):
        values = read_json(text)
        if isinstance(values, dict) and values.get("format") == SCHEDULE_FORMAT:
            return PolicySchedule.load(text)
    return find_policy(text)


def _one_policy(options: argparse.Namespace) -> Policy:
    """The same, but one policy: of a schedule that of ``--epoch``."""
    found = _find(options)
    if isinstance(found, PolicySchedule):
        if options.epoch is None:
            raise BadInput(f"{options.policy} is a schedule of {found.epochs} epochs; say with --epoch N which policy.")
        return found.at(options.epoch)
    if options.epoch is not None:
        raise BadInput(f"--epoch {options.epoch}: {options.policy} is one policy for all epochs.")
    return found


def _check_free(options: argparse.Namespace) -> None:
    if os.path.exists(options.out) and not options.force:
        raise BadInput(f"{options.out} is there already; --force writes over it.")


if __name__ == "__main__":
    leave(main)
