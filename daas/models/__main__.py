"""``daas models``: the models and their costs; drawings of cells; how two genotypes differ."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import timm
import torch

from daas.errors import BadInput, plain
from daas.files import system_told, write_text
from daas.models.cell_net import CellNet
from daas.models.drawing import genotype_svg
from daas.models.genotype import Genotype
from daas.models.table import markdown, rows
from daas.models.zoo import find_genotype
from daas.options import leave
from daas.parser import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit code: 0 when done, 2 for bad input.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with system_told():
            if words[:1] == ["convert"]:
                _convert(words[1:])
            else:
                _show(words)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _show(words: list[str]) -> None:
    parser = _parser()
    options = parser.parse_args(words)
    if options.count and (options.draw or options.diff):
        parser.error("--count is for the table of all models.")
    if options.draw and options.json:
        parser.error("--json prints the table or, with --diff, differences; a drawing is an .svg file.")
    if options.draw:
        _draw(options.draw[0], Path(options.draw[1]))
    elif options.diff:
        first, second = map(_genotype_of, options.diff)
        differences = first.diff(second)
        print(json.dumps(differences) if options.json else "\n".join(differences) or "the same cells")
    else:
        found = rows(options.count)
        print(json.dumps([asdict(row) for row in found], indent=2) if options.json else markdown(found))


def _convert(words: list[str]) -> None:
    parser = Parser(
        prog="daas models convert",
        description="Makes a genotype file of a genotype as DARTS and its successors print it, Genotype(normal=[...], "
        "normal_concat=range(2, 6), reduce=[...], ...), in a log, a Python file or any other text.",
    )
    parser.add_argument("log", metavar="LOG", help="the text; of several genotypes the last one is taken")
    parser.add_argument("out", metavar="OUT.json", help="genotype file to write")
    parser.add_argument("--name", default="", help="the genotype that is assigned to this name")
    options = parser.parse_args(words)
    out = Path(options.out)
    if out.suffix != ".json":
        raise BadInput(f"{out}: genotype files end with .json; give the file that ending.")
    if os.path.exists(out):
        raise BadInput(f"{out} exists already, and nothing is written over. Name another file, or remove it.")
    genotype = Genotype.load(options.log, options.name)
    genotype.save(out)
    print(f"{out}: genotype {plain(genotype.name)}. --model daas_cell_cifar --model-kwargs genotype={plain(str(out))}")


def _parser() -> Parser:
    parser = Parser(
        meant=lambda word: f"--draw {shlex.quote(word)} OUT.svg",
        prog="daas models",
        description="Without options: a table of all models, counted (C: channels of the first cells; MACs: "
        "multiply-adds of convolutions and matrix products), beside what the papers print (≠ where the network "
        "differs). The verb convert LOG OUT.json makes a genotype file of a genotype that stands in a log (convert "
        "--help).",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--draw",
        nargs=2,
        metavar=("NAME", "OUT.svg"),
        help="draw both cells of a model, a registered genotype or a genotype file",
    )
    what.add_argument("--diff", nargs=2, metavar=("A", "B"), help="say how genotype B differs from A")
    parser.add_argument(
        "--count",
        action="store_true",
        help="build every model and count again, instead of taking what was counted for this version",
    )
    parser.add_argument("--json", action="store_true", help="print the table or the differences as JSON")
    return parser


def _genotype_of(name: str) -> Genotype:
    """A genotype by its own name, by the name of a model of it, or by the path of its file."""
    if timm.is_model(name):
        with torch.device("meta"):
            model = timm.create_model(name)
        if isinstance(model, CellNet):
            return model.genotype
    return find_genotype(name)


def _draw(name: str, out: Path) -> None:
    drawing = genotype_svg(_genotype_of(name))
    if out.suffix != ".svg":
        raise BadInput(f"{out}: cells are drawn as .svg; give the file that ending.")
    write_text(out, drawing)
    print(plain(str(out)))


if __name__ == "__main__":
    leave(main)
