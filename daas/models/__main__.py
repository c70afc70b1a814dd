"""``python -m daas.models``: the models and their costs; drawings of cells; how two genotypes differ."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import timm
import torch

from daas.errors import BadInput
from daas.files import write_text
from daas.models.cell_net import CellNet
from daas.models.drawing import genotype_svg
from daas.models.genotype import Genotype
from daas.models.table import markdown, rows
from daas.models.zoo import find_genotype


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit code: 0 when done, 2 for bad input.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.draw and options.json:
        parser.error("--json prints the table or, with --diff, differences; a drawing is an .svg file.")
    try:
        if options.draw:
            _draw(options.draw[0], Path(options.draw[1]))
        elif options.diff:
            first, second = map(_genotype_of, options.diff)
            differences = first.diff(second)
            print(json.dumps(differences) if options.json else "\n".join(differences) or "the same cells")
        else:
            found = rows()
            print(json.dumps([asdict(row) for row in found], indent=2) if options.json else markdown(found))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m daas.models",
        description="Without options: a table of all models, counted (C: channels of the first cells; MACs: "
        "multiply-adds of convolutions and linear layers), beside what the papers print (≠ where the network differs).",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--draw",
        nargs=2,
        metavar=("NAME", "OUT.svg"),
        help="draw both cells of a model, a registered genotype or a genotype file",
    )
    what.add_argument("--diff", nargs=2, metavar=("A", "B"), help="say how genotype B differs from A")
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
    print(out)


if __name__ == "__main__":
    sys.exit(main())
