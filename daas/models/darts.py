"""Genotypes as DARTS and its successors print them, ``Genotype(normal=[...], ...)``, read out of any text."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from daas.errors import BadInput

_START = re.compile(r"(?:\b([A-Za-z_]\w*)\s*=\s*)?\bGenotype\s*\(")
_LONGEST = 100_000  # characters of one genotype
_WRAPPERS = ("int64", "int32", "int_", "intp", "str_", "array", "tensor")
_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")


def is_darts(text: str) -> bool:
    """Whether a text holds a genotype as DARTS prints it, and is no JSON object.

    >>> is_darts("epoch 50: Genotype(normal=[('skip_connect', 0)")
    True
    """
    return not text.lstrip().startswith("{") and _START.search(text) is not None


def read_darts(text: str, name: str = "") -> dict[str, Any]:
    """The cells of a genotype in a log, a Python file or a paper's appendix; nothing is run.

    DARTS lists the edges of a cell in one row, two for each node: nodes 2, 3, 4, ... take them in turn.

    Args:
        text: Anything that holds ``Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), ...)``.
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
    call = _parsed(_balanced(text, start.end() - 1))
    fields = dict(zip(_FIELDS, call.args, strict=False)) | {key.arg: key.value for key in call.keywords if key.arg}
    if set(fields) != set(_FIELDS):
        raise BadInput(
            f"Genotype(...) has the fields {', '.join(sorted(fields))[:200]}; it needs {', '.join(_FIELDS)}."
        )
    values = {key: _value(key, node) for key, node in fields.items()}
    return {key: _nodes(key, value) if key in ("normal", "reduce") else value for key, value in values.items()}


def _balanced(text: str, start: int) -> str:
    """From an opening parenthesis to its closing one."""
    depth = 0
    for place in range(start, min(len(text), start + _LONGEST)):
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth > 8:
            break
        if depth == 0:
            return text[start : place + 1]
    raise BadInput("Genotype(... is not closed: was the line cut off? Copy it whole.")


def _parsed(arguments: str) -> ast.Call:
    try:
        body = ast.parse(f"Genotype{' '.join(arguments.split())}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadInput(f"Genotype(...) is no Python: {str(error)[:100] or type(error).__name__}.") from error
    if not isinstance(body, ast.Call):
        raise BadInput("Genotype(...) is no Python call.")
    return body


class _Plain(ast.NodeTransformer):
    """Takes off what NumPy and torch print around values: ``np.int64(0)``, ``np.str_('none')``, ``tensor(2)``."""

    def visit_Call(self, node: ast.Call) -> ast.AST:  # the name that ast calls
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return node.args[0] if len(node.args) == 1 and name in _WRAPPERS else node


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
        return ast.literal_eval(_Plain().visit(node))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise BadInput(f"Genotype(...): {key} is no list of literals.") from error


def _nodes(key: str, edges: Any) -> list[list[Any]]:
    """Edges in one row -> two for each node, edges that stand in nodes already stay so; weights are left out."""
    if not isinstance(edges, (list, tuple)) or not all(isinstance(edge, (list, tuple)) for edge in edges):
        raise BadInput(f"Genotype(...): {key} is no list of ('primitive', input).")
    if edges and all(isinstance(part, (list, tuple)) for edge in edges for part in edge):
        return [[_unweighted(edge) for edge in node] for node in edges]
    edges = [_unweighted(edge) for edge in edges]
    if len(edges) % 2:
        raise BadInput(f"Genotype(...): {key} has {len(edges)} edges; DARTS has two for each node.")
    return [[edges[place], edges[place + 1]] for place in range(0, len(edges), 2)]


def _unweighted(edge: Any) -> Any:
    """('skip_connect', 1, 0.17), as GDAS prints an edge with its weight, without it."""
    return tuple(edge[:2]) if len(edge) == 3 and isinstance(edge[2], float) else edge


def named_after(path: str | Path, name: str = "") -> str:
    """What an imported genotype is called: the name it is assigned to, or its file's.

    >>> named_after("logs/search 3.txt")
    'search_3'
    """
    return re.sub(r"\W+", "_", name or Path(path).stem).strip("_")[:100] or "imported"
