"""Genotype: a checked, frozen description of a normal and a reduction cell; JSON both ways."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import torch

from daas.errors import BadInput
from daas.files import write_text
from daas.models.darts import is_darts, named_after, read_darts
from daas.models.primitives import DARTS_PRIMITIVES, known_primitives
from daas.reading import parse_json, read_text

FORMAT = "daas-genotype/1"
Edge = tuple[str, int]
Node = tuple[Edge, ...]
_TEXT = 2000  # characters of name and source
_MOST = 64  # nodes of a cell, and edges of a node; the papers' cells have up to 7 and 2
_LOOKED_AT = 10_000  # characters of a file in which other programs are recognised
_BY_CHOICES = {
    r"['\"](?:normal|reduce)(?:/\w+|_n\d+_\w+)['\"]\s*:": "NNI",
    r"(?:edge|inputs_node)_(?:normal|reduce)_\d": "NAS-Bench-301",
}
_KEYS = ("format", "name", "source", "normal", "normal_concat", "reduce", "reduce_concat")


@dataclass(frozen=True)
class Genotype:
    """Two cells. States 0 and 1 of a cell are its inputs, state 2 + n is its node n, the sum of the node's edges.

    Attributes:
        name: What it is called.
        source: Where it comes from: paper, repository, or the search that found it.
        normal: Per node, its edges (primitive, input state); an input must be an earlier state.
        normal_concat: States whose concatenation is the cell's output.
        reduce: The same for the cell that halves the resolution: edges from inputs 0 and 1 have stride 2.
        reduce_concat: The same; may not name the cell's inputs, which have another resolution.

    Raises:
        BadInput: Anything that describes no network, with the cell, node and edge, what is allowed and what to do.
    """

    name: str
    source: str
    normal: tuple[Node, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Node, ...]
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for key in ("name", "source"):
            if not isinstance(getattr(self, key), str) or len(getattr(self, key)) > _TEXT:
                raise BadInput(
                    f"genotype: {key} is {_short(getattr(self, key))}; it must be a text of at most {_TEXT} characters."
                )
        for cell in ("normal", "reduce"):
            nodes = _checked_nodes(cell, getattr(self, cell))
            object.__setattr__(self, cell, nodes)
            concat = _checked_concat(cell, getattr(self, f"{cell}_concat"), len(nodes))
            object.__setattr__(self, f"{cell}_concat", concat)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, with ``format``."""
        return {
            "format": FORMAT,
            "name": self.name,
            "source": self.source,
            "normal": [[list(edge) for edge in node] for node in self.normal],
            "normal_concat": list(self.normal_concat),
            "reduce": [[list(edge) for edge in node] for node in self.reduce],
            "reduce_concat": list(self.reduce_concat),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Genotype:
        """The inverse of ``to_dict``.

        Raises:
            BadInput: Another format, missing or unknown keys, or cells that describe no network.
        """
        if not isinstance(values, Mapping):
            raise BadInput(f"a genotype is a JSON object with the keys {', '.join(_KEYS)}; found {_short(values)}.")
        if values.get("format") != FORMAT:
            raise BadInput(
                f"genotype: format is {_short(values.get('format'))}; this version reads {FORMAT!r}. Write the file "
                "with Genotype.save, or add the format if you wrote it by hand."
            )
        missing = [key for key in _KEYS if key not in values]
        unknown = [key for key in values if key not in _KEYS]
        if missing or unknown:
            raise BadInput(
                f"genotype: missing keys {missing}, unknown keys {_short(unknown)}; it has exactly the keys "
                f"{', '.join(_KEYS)}."
            )
        return cls(**{key: values[key] for key in _KEYS if key != "format"})

    @classmethod
    def load(cls, path: str | Path, name: str = "") -> Genotype:
        """Reads a genotype file, or a genotype as DARTS prints it (``Genotype(normal=[...], ...)``) out of a log.

        Args:
            path: The file.
            name: Which, where a log or Python file has several that are assigned to names; by default the last one.

        Raises:
            BadInput: No such file, no JSON, or no genotype; the message names the file.
        """
        text = read_text(path, "genotype")
        try:
            if is_darts(text):
                return cls(
                    named_after(path, name), f"imported from {Path(path).name}"[:_TEXT], **read_darts(text, name)
                )
            if other := _of_others(text):
                raise BadInput(other)
            return cls.from_dict(parse_json(text))
        except BadInput as error:
            hint = " A genotype file is written by Genotype.save." if "no JSON" in str(error) else ""
            raise BadInput(f"{path}: {error}{hint}") from error

    def save(self, path: str | Path) -> None:
        """Writes the genotype file, one edge list per node and line.

        Raises:
            BadInput: The disk is full, or the folder cannot be written.
        """
        values = self.to_dict()
        lines = [f"  {json.dumps(key)}: {_node_lines(value)}" for key, value in values.items()]
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def random(
        cls,
        generator: torch.Generator,
        nodes: int = 4,
        primitives: Sequence[str] = DARTS_PRIMITIVES,
        name: str = "random",
    ) -> Genotype:
        """A uniformly random genotype of the search space: two distinct inputs per node, any operations."""

        def cell() -> tuple[Node, ...]:
            made = []
            for state in range(2, 2 + nodes):
                inputs = torch.randperm(state, generator=generator)[:2].sort().values.tolist()
                chosen = torch.randint(len(primitives), (2,), generator=generator).tolist()
                made.append(tuple((primitives[op], source) for op, source in zip(chosen, inputs, strict=True)))
            return tuple(made)

        concat = tuple(range(2, 2 + nodes))
        return cls(name, "uniformly random", cell(), concat, cell(), concat)

    def diff(self, other: Genotype) -> list[str]:
        """How ``other`` differs, one line per difference; empty when both build the same network."""
        lines = []
        for cell in ("normal", "reduce"):
            mine, theirs = getattr(self, cell), getattr(other, cell)
            for index in range(max(len(mine), len(theirs))):
                a = Counter(mine[index] if index < len(mine) else ())
                b = Counter(theirs[index] if index < len(theirs) else ())
                for sign, edges in (("-", a - b), ("+", b - a)):
                    found = sorted(edges.elements())
                    lines += [f"{cell} node {index + 2}: {sign} {op} from {source}" for op, source in found]
            concat = (getattr(self, f"{cell}_concat"), getattr(other, f"{cell}_concat"))
            if concat[0] != concat[1]:
                lines.append(f"{cell} output: {list(concat[0])} -> {list(concat[1])}")
        return lines


def _of_others(text: str) -> str:
    """What a text is that another program has written, or empty."""
    if re.search(r"\|\w+~\d\|", text[:_LOOKED_AT]):
        return (
            "this is an architecture of NAS-Bench-201, one cell of three nodes with operations that no network here "
            "has. A genotype has a normal and a reduction cell."
        )
    for pattern, program in _BY_CHOICES.items():
        if re.search(pattern, text[:_LOOKED_AT]):
            return (
                f"this is an architecture as {program} exports it, by the names of its choices. Write its two cells "
                "down as a genotype (docs/models.md)."
            )
    return ""


def _checked_nodes(cell: str, nodes: Any) -> tuple[Node, ...]:
    if isinstance(nodes, (list, tuple)) and len(nodes) > _MOST:
        raise BadInput(f"genotype, {cell} cell: {len(nodes)} nodes; at most {_MOST} are read.")
    if not isinstance(nodes, (list, tuple)) or not nodes:
        raise BadInput(f"genotype, {cell} cell: expected a list of nodes with at least one; found {_short(nodes)}.")
    checked = []
    for index, node in enumerate(nodes):
        where = f"genotype, {cell} cell, node {index + 2}"
        if isinstance(node, (list, tuple)) and len(node) > _MOST:
            raise BadInput(f"{where}: {len(node)} edges; at most {_MOST} are read.")
        if not isinstance(node, (list, tuple)) or not node:
            raise BadInput(
                f"{where}: expected a list of [primitive, input] edges with at least one; found {_short(node)}."
            )
        checked.append(tuple(_checked_edge(f"{where}, edge {k}", edge, index + 2) for k, edge in enumerate(node)))
    return tuple(checked)


def _checked_edge(where: str, edge: Any, state: int) -> Edge:
    if not isinstance(edge, (list, tuple)) or len(edge) != 2:
        raise BadInput(f"{where}: expected [primitive, input]; found {_short(edge)}.")
    primitive, source = edge
    if not isinstance(primitive, str) or primitive not in known_primitives():
        hint = "One of your own is known once daas.register_primitive has run."
        if primitive == "none":
            hint = "An edge that is none adds nothing: leave it out."
        raise BadInput(
            f"{where}: unknown primitive {_short(primitive)}; known are {', '.join(known_primitives())}. {hint}"
        )
    if not _whole(source) or not source >= 0:
        raise BadInput(f"{where}: input {_short(source)}; an input is a whole number from 0 to {state - 1}.")
    if source >= state:
        raise BadInput(
            f"{where}: input {source} is the node itself or a later one, which would close a loop; allowed are 0 to "
            f"{state - 1} (0 and 1 are the cell's inputs, 2 is its first node)."
        )
    return (str(primitive), int(source))


def _whole(value: Any) -> bool:
    """Whether a value is a whole number, of Python or NumPy."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _checked_concat(cell: str, concat: Any, nodes: int) -> tuple[int, ...]:
    first = 0 if cell == "normal" else 2
    if (
        not isinstance(concat, (list, tuple))
        or not concat
        or any(not _whole(i) or not first <= i < nodes + 2 for i in concat)
        or len(set(concat)) != len(concat)
    ):
        raise BadInput(
            f"genotype, {cell}_concat: expected a list of different states from {first} to {nodes + 1}; found "
            f"{_short(concat)}."
        )
    return tuple(int(i) for i in concat)


def _node_lines(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "[\n    " + ",\n    ".join(json.dumps(node) for node in value) + "\n  ]"
    return json.dumps(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
