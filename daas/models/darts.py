"""Genotypes as DARTS and its successors print them, ``Genotype(normal=[...], ...)`` or a dict, out of any text."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from daas.errors import BadInput
from daas.literals import literal

_DICT = r"\{(?=\s*['\"](?:normal|reduce)(?:_concat)?['\"]\s*:)"
_START = re.compile(rf"(?:\b([A-Za-z_]\w*)\s*=\s*)?(?:\bGenotype\s*\(|{_DICT})")
_LONGEST = 100_000  # characters of one genotype
_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
_ALIKE = {"dua_sepc_": "sep_conv_", "dil_sepc_": "dil_conv_"}  # what AutoDL-Projects calls DARTS's operations


def is_darts(text: str) -> bool:
    """Whether a text holds a genotype as DARTS prints it, and is none of this package's own files.

    >>> is_darts("epoch 50: Genotype(normal=[('skip_connect', 0)")
    True
    """
    return not (text.lstrip().startswith("{") and '"format"' in text) and _START.search(text) is not None


def read_darts(text: str, name: str = "") -> dict[str, Any]:
    """The cells of a genotype in a log, a Python file or a paper's appendix; nothing is run.

    DARTS lists the edges of a cell in one row, two for each node: nodes 2, 3, 4, ... take them in turn. An edge that
    is ``none`` adds nothing, and is left out. Where edges are (primitive, node, input), as FairDARTS prints them, they
    belong to the node that they name; nodes without edges are left out there, and with them what they are the input of.

    Args:
        text: Anything that holds ``Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), ...)``, or a
            dict of these four, in Python or JSON.
        name: That it is assigned to, where there are several; by default the last one is read.

    Returns:
        ``normal``, ``normal_concat``, ``reduce``, ``reduce_concat`` as ``Genotype`` takes them.

    Raises:
        BadInput: None is there, none of that name, or it is not made of literals.

    >>> read_darts("Genotype(normal=[('skip_connect', 0), ('skip_connect', 1)], normal_concat=[2],"
    ...            " reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1)], reduce_concat=range(2, 3))")["reduce"]
    [[('max_pool_3x3', 0), ('max_pool_3x3', 1)]]
    """
    found = list(_START.finditer(text))
    named = [start for start in found if name and start[1] == name]
    if not found or (name and not named):
        names = sorted({start[1] for start in found if start[1]})
        what = f" named {name!r}" if name else ""
        raise BadInput(
            f"no Genotype(normal=[...], ...){what} is in there; it has {', '.join(names)[:200] or 'none with a name'}."
        )
    start = (named or found)[-1]
    given = _parsed(_balanced(text, start.end() - 1))  # AutoDL-Projects has fields more, which are None
    fields = {key: node for key, node in given.items() if not (isinstance(node, ast.Constant) and node.value is None)}
    if set(fields) != set(_FIELDS):
        raise BadInput(f"the genotype has the fields {', '.join(sorted(fields))[:200]}; it needs {', '.join(_FIELDS)}.")
    values: dict[str, Any] = {key: _value(key, node) for key, node in fields.items()}
    for cell in ("normal", "reduce"):
        values |= _cell(cell, values[cell], values[f"{cell}_concat"])
    return values


def _balanced(text: str, start: int) -> str:
    """From an opening bracket to its closing one, without comments."""
    text = re.sub("#.*", "", text[start : start + _LONGEST])
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth > 8:
            break
        if depth == 0:
            return text[: place + 1]
    raise BadInput("Genotype(... is not closed: was the line cut off? Copy it whole.")


def _parsed(arguments: str) -> dict[str, ast.expr]:
    """The fields of what stands in brackets: the arguments of a call, or the entries of a dict."""
    source = arguments if arguments.startswith("{") else f"Genotype{arguments}"
    try:
        body = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadInput(f"Genotype(...) is no Python: {str(error)[:100] or type(error).__name__}.") from error
    if isinstance(body, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in body.keys]
        return {str(key): value for key, value in zip(keys, body.values, strict=True)}
    if not isinstance(body, ast.Call):
        raise BadInput("Genotype(...) is no Python call.")
    return dict(zip(_FIELDS, body.args, strict=False)) | {key.arg: key.value for key in body.keywords if key.arg}


def _value(key: str, node: ast.expr) -> Any:
    """A literal, or ``range(a, b)`` or ``list(range(a, b))`` as a list."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id in ("list", "tuple") and len(node.args) == 1:
            return _value(key, node.args[0])
        given = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        bounds = [bound for bound in given if isinstance(bound, int) and 0 <= bound <= 100]
        if node.func.id == "range" and 1 <= len(bounds) == len(node.args) <= 2:
            return list(range(*bounds))
    try:
        return literal(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise BadInput(f"Genotype(...): {key} is no list of literals.") from error


def _cell(cell: str, edges: Any, concat: Any) -> dict[str, Any]:
    """The nodes of a cell and what its output is made of, by their keys."""
    if not isinstance(edges, (list, tuple)) or not all(isinstance(edge, (list, tuple)) for edge in edges):
        raise BadInput(f"Genotype(...): {cell} is no list of ('primitive', input).")
    if edges and all(len(edge) == 3 and all(isinstance(part, int) for part in edge[1:]) for edge in edges):
        return _by_node(cell, edges, concat)
    if not (edges and all(isinstance(part, (list, tuple)) for edge in edges for part in edge)):
        if len(edges) % 2:
            raise BadInput(f"Genotype(...): {cell} has {len(edges)} edges; DARTS has two for each node.")
        edges = [edges[place : place + 2] for place in range(0, len(edges), 2)]
    nodes = [[_edge(edge) for edge in node if list(edge[:1]) != ["none"]] for node in edges]
    for index, node in enumerate(nodes):
        if edges[index] and not node:
            raise BadInput(
                f"Genotype(...): node {index + 2} of {cell} has no edge but none, so that it is nothing but zeros; "
                "there is no network of such a cell here."
            )
    return {cell: nodes, f"{cell}_concat": concat}


def _by_node(cell: str, edges: Any, concat: Any) -> dict[str, Any]:
    """(primitive, node, input), as FairDARTS prints an edge; nodes without edges are left out, and others move up."""
    used = sorted({node for _, node, _ in edges})
    if used[0] < 2:
        raise BadInput(f"Genotype(...): {cell} has an edge to node {used[0]}; nodes begin with 2.")
    states = {state: place for place, state in enumerate([0, 1, *used])}

    def moved(state: Any) -> Any:
        """Where a state is now, None for one without edges; what is no state stays, and is refused later."""
        return states.get(state) if isinstance(state, int) and state >= 0 else state

    nodes: list[list[Any]] = [[] for _ in used]
    for primitive, node, source in edges:
        if moved(source) is not None and primitive != "none":
            nodes[states[node] - 2].append(_edge((primitive, moved(source))))
    places = [moved(state) for state in concat] if isinstance(concat, (list, tuple)) else concat
    kept = [place for place in places if place is not None] if isinstance(places, list) else places
    return {cell: nodes, f"{cell}_concat": kept}


def _edge(edge: Any) -> Any:
    """An edge without the weight that GDAS prints behind it, ('skip_connect', 1, 0.17), and by DARTS's name."""
    if len(edge) == 3 and isinstance(edge[2], float):
        edge = edge[:2]
    if len(edge) == 2 and isinstance(edge[0], str) and edge[0][:9] in _ALIKE:
        return (_ALIKE[edge[0][:9]] + edge[0][9:], edge[1])
    return tuple(edge)


def named_after(path: str | Path, name: str = "") -> str:
    """What an imported genotype is called: the name it is assigned to, or its file's.

    >>> named_after("logs/search 3.txt")
    'search_3'
    """
    return re.sub(r"\W+", "_", name or Path(path).stem).strip("_")[:100] or "imported"
